"""The protocol of an object store, the only interface through which stages keep and find their files.

A local folder (``local``) and a Cloud Storage bucket (``gcs``) implement it; the tests add a third store, in memory.
Only ``BucketPolicy`` is specific to Cloud Storage; the stores that have one also implement ``Governed``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Condition = str
"""A condition of a write or a read: the version that the object must have, or :data:`ABSENT`."""
ABSENT: Condition = "absent"
"""The version of an object that does not exist: as a condition, "only create"."""
STAGING = "staging/"
"""The beginning of the names of all objects that are not published, slabs and components included."""


VerifiedBy = Literal["reading", "store checksum"]
"""``reading``: all bytes were read. ``store checksum``: the store made its CRC32C from the bytes that it holds."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The time and the way in which an object's CRC32C was last computed from its bytes."""

    at: datetime
    by: VerifiedBy


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's facts as the store itself reports them."""

    name: str
    size_bytes: int
    crc32c: int | None
    """The CRC32C of the bytes; None where the store does not know it without reading them, which ``verify`` does."""
    version: str
    """An opaque text that every write changes: a generation in Cloud Storage and in a folder, an ETag elsewhere."""
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    own: bool = False
    """Whether this package wrote the object, according to what the store keeps beside the bytes."""
    verified: Verified | None = field(default=None, compare=False)
    """None: ``crc32c`` is a claim, because the bytes could have changed since they were read (only in a folder)."""

    @property
    def generation(self) -> int | str:
        """The version in the form of JSON documents: an integer if it is a number."""
        return int(self.version) if self.version.isdecimal() else self.version


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """A bucket's rules and settings as Cloud Storage's JSON API gives them."""

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
    """Whether it has a hierarchical namespace, which has no versions."""
    public_access_prevented: bool = False
    location: str = ""
    """``EU``, ``US``, ``EUROPE-WEST1``: in upper case, as the API writes it."""
    storage_class: str = ""
    kms_key: str = ""
    """The key by which new objects are encrypted, if it is not Google's own."""


class ObjectStore(Protocol):
    """Named, immutable objects; a write replaces an object as a whole and gives it a new version.

    Every write, and ``read``, takes ``only_if``: None (no condition), :data:`ABSENT`, or the version that the object
    must have; if it does not hold, ``PreconditionFailed`` is raised and nothing is changed. ``metadata`` are short
    texts that ``head`` and ``list_objects`` return with the object. A folder of working files keeps none, so they may
    only save requests or reading; necessary facts are kept in an object of their own.
    """

    def uri(self, name: str) -> str:
        """Return a place that Polars can scan: a path, or ``gs://bucket/name``."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Return the file with an object's bytes, even if it does not exist yet; None if they are remote."""
        ...

    def scratch(self, beside: str = "") -> AbstractContextManager[Path]:
        """Give a temporary folder for the block, from which ``put_file`` with ``move`` needs no copy if possible.

        ``beside`` is the prefix of the names under which its files will be stored.
        """
        ...

    def lock(self, name: str) -> AbstractContextManager[None] | None:
        """Return the store's own lock of ``name``, or of all names that begin with it if it ends in ``/`` or is empty.

        Entering it raises FolderBusy if somebody holds it. None: the store has no locks, and ``lease`` uses an object.
        """
        ...

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts, None if there is none. No byte of the object is read."""
        ...

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts with the CRC32C of the bytes that are there now, None if there is none.

        A reading later than ``since`` counts if the file did not change since; with None the bytes are read now.
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

    def put_blocks(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        crc: int | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of ``blocks`` as one object; they are joined neither in memory nor in a file for it.

        ``crc``: the CRC32C of the concatenation if it is known, as in ``put_file``.
        """
        ...

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        move: bool = False,
        crc: int | None = None,
    ) -> ObjectInfo:
        """Store a copy of a local file in constant memory or, with ``move``, the file itself, which is then gone.

        A file of ``scratch`` is renamed if possible. After a failed condition the file may or may not be gone.
        ``crc``: the file's CRC32C if it is known. It saves a remote store, which refuses other bytes, one read of the
        file; a local store does not use it.
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
    """Return a version in the words of messages."""
    return "no object" if version == ABSENT else f"version {version}"


def head_with_crc32c(store: ObjectStore, name: str) -> ObjectInfo | None:
    """Return the object's facts with its CRC32C; the bytes are read only if the store does not know it."""
    info = store.head(name)
    return store.verify(name) if info is not None and info.crc32c is None else info


@runtime_checkable
class Governed(Protocol):
    """A store that removes old objects by its own rules; a folder does not."""

    def policy(self) -> BucketPolicy:
        """Return the rules in force."""
        ...

    def set_policy(self, policy: BucketPolicy) -> None:
        """Set the rules. Raises PreconditionFailed if somebody changed them since they were read."""
        ...
