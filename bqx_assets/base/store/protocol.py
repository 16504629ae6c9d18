"""The protocol of an object store: what every stage may ask of the place that keeps its files.

A local folder (``local``) and a Cloud Storage bucket (``gcs``) implement it; the tests add a third store, in memory.
Nothing here is Cloud Storage's own but ``BucketPolicy``, which only a store that ``Governed`` describes has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Condition = str
"""What must hold for a write or a read: the version that the object must have, or :data:`ABSENT`."""
ABSENT: Condition = "absent"
"""The version of an object that does not exist: as a condition, "only create"."""
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
    crc32c: int | None
    """Of the object's bytes; None where the store cannot say it without reading them: ``verify`` reads them."""
    version: str
    """Opaque, and another one after every write: a generation in Cloud Storage and in a folder, elsewhere an ETag."""
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    own: bool = False
    """Written through this package, by what the store itself keeps beside the bytes."""
    verified: Verified | None = field(default=None, compare=False)
    """None: ``crc32c`` is a claim, the bytes could have changed since anybody read them (a folder only)."""

    @property
    def generation(self) -> int | str:
        """The version as JSON documents keep it: an integer, where it is one."""
        return int(self.version) if self.version.isdecimal() else self.version


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
    """Named, immutable objects; a write replaces an object as a whole and gives it a new version.

    Every write, and ``read``, takes ``only_if``: None (no condition), :data:`ABSENT`, or the version that the object
    must have; if it does not hold, ``PreconditionFailed`` is raised and nothing is changed. ``metadata`` are short
    texts that ``head`` and ``list_objects`` return with the object. A folder of working files keeps none, so metadata
    may only save requests or reading; what must be known is kept in an object of its own.
    """

    def uri(self, name: str) -> str:
        """Return what Polars can scan: a path, or ``gs://bucket/name``."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Return the file that an object's bytes lie in, whether or not there is one; None where they are remote."""
        ...

    def scratch(self, beside: str = "") -> AbstractContextManager[Path]:
        """Give a temporary folder for the block, from which ``put_file`` with ``move`` costs no copy if possible.

        ``beside``: the prefix of the names under which its files will be stored.
        """
        ...

    def lock(self, name: str) -> AbstractContextManager[None] | None:
        """Return the store's own lock of ``name``, or of all names that begin with it if it ends in ``/`` or is empty.

        Entering it raises FolderBusy where somebody holds it. None: the store has no locks, ``lease`` makes one of an
        object.
        """
        ...

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts, None if there is none. No byte of the object is read."""
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
        """Yield the facts of all objects whose name starts with ``prefix``, by name. No byte of them is read."""
        ...

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
        """Return ``length`` bytes from ``start``. Raises ObjectMissing, PreconditionFailed."""
        ...

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, only_if: Condition | None = None
    ) -> ObjectInfo:
        """Store ``data``."""
        ...

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        move: bool = False,
    ) -> ObjectInfo:
        """Store a local file, in constant memory: a copy or, with ``move``, the file itself, which is gone then.

        A file of ``scratch`` is moved by renaming it where that is possible. A condition that fails leaves it or not.
        """
        ...

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of objects of this store; no byte passes through this process."""
        ...

    def delete(self, name: str, *, only_if: Condition | None = None) -> None:
        """Delete an object. Raises ObjectMissing."""
        ...


def version_of(info: ObjectInfo | None) -> Condition:
    """Return the condition that an object is still as it was found: its version, or ``ABSENT`` if there was none."""
    return ABSENT if info is None else info.version


def version_text(version: Condition) -> str:
    """Return a version as messages say it."""
    return "no object" if version == ABSENT else f"version {version}"


def head_with_crc32c(store: ObjectStore, name: str) -> ObjectInfo | None:
    """Return the object's facts, its CRC32C among them: the bytes are read only where the store cannot state it."""
    info = store.head(name)
    return store.verify(name) if info is not None and info.crc32c is None else info


@runtime_checkable
class Governed(Protocol):
    """A store that itself removes what is old, by rules of its own; a folder does not."""

    def policy(self) -> BucketPolicy:
        """Return the rules in force."""
        ...

    def set_policy(self, policy: BucketPolicy) -> None:
        """Set them. Raises PreconditionFailed where somebody changed them since they were read."""
        ...
