"""What a stage may ask of an object store: the part of Cloud Storage's contract this package relies on.

Belongs here: the protocol and the facts of an object. Does not: an implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

ABSENT = 0
"""As ``if_generation``: write only if no object of that name exists (Cloud Storage's own meaning of 0)."""
STAGING = "staging/"
"""Every object that is not published, slabs and components included, has a name that starts so."""


VerifiedBy = Literal["reading", "store checksum"]
"""``reading``: somebody read all bytes. ``store checksum``: the store made its CRC32C from the bytes it holds."""


@dataclass(frozen=True, slots=True)
class Verified:
    """When, and how, an object's CRC32C was last made from its bytes."""

    at: datetime
    by: VerifiedBy


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's facts as the store itself reports them."""

    name: str
    size_bytes: int
    crc32c: int
    generation: int
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    own: bool = False
    """Written through this package, by what the store itself keeps beside the bytes."""
    verified: Verified | None = field(default=None, compare=False)
    """None: ``crc32c`` is a claim, the bytes could have changed since anybody read them (a folder only)."""


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """How long a bucket keeps what, and what else it holds to, as Cloud Storage's JSON API has it."""

    rules: tuple[Mapping[str, Any], ...]
    """Lifecycle rules."""
    versioning: bool
    soft_delete_seconds: int
    metageneration: int
    retention_seconds: int = 0
    """No object younger than this can be replaced or deleted."""
    retention_locked: bool = False
    object_retention: bool = False
    """Single objects may be given a time before which they cannot be replaced or deleted."""
    default_hold: bool = False
    """Every new object is under an event-based hold."""
    requester_pays: bool = False
    hierarchical: bool = False
    """A hierarchical namespace: neither versions nor rules about them."""
    public_access_prevented: bool = False
    uniform_access: bool = False
    location: str = ""
    """``EU``, ``US``, ``EUROPE-WEST1``: in upper case, as the API writes it."""
    location_type: str = ""
    storage_class: str = ""
    kms_key: str = ""
    """The key that new objects are encrypted with, if it is not Google's own."""


class ObjectStore(Protocol):
    """Named, immutable runs of bytes; a write replaces an object whole and gives it a new generation.

    Every writing call, and ``read``, takes ``if_generation``: None (no condition), :data:`ABSENT`, or the generation
    the object must still have; else ``PreconditionFailed`` and nothing is changed.
    """

    def uri(self, name: str) -> str:
        """Return what Polars can scan: a path, or ``gs://bucket/name``."""
        ...

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts, None if there is none."""
        ...

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts with the CRC32C of the bytes that are there now, None if there is none.

        A reading after ``since`` of a file that did not change since then counts; None: read now.
        """
        ...

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        """Return the facts of the earlier versions of an object that are kept, oldest first."""
        ...

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the facts of all objects whose name starts with ``prefix``, by name."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None, if_generation: int | None = None) -> bytes:
        """Return ``length`` bytes from ``start``. Raises ObjectMissing, PreconditionFailed."""
        ...

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store ``data``."""
        ...

    def put_file(
        self, name: str, path: Path, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store a copy of a local file in constant memory."""
        ...

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of objects of this store; no byte passes through this process."""
        ...

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """Delete an object. Raises ObjectMissing."""
        ...


@runtime_checkable
class Governed(Protocol):
    """A store that itself removes what is old, by rules of its own; a folder does not."""

    def policy(self) -> BucketPolicy:
        """Return the rules in force."""
        ...

    def set_policy(self, policy: BucketPolicy) -> None:
        """Set them. Raises PreconditionFailed where somebody changed them since they were read."""
        ...
