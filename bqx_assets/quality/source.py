"""Where a training file's bytes are: a local file, or an object of a store, each read by range.

Belongs here: reading ranges, and noticing a replaced object. Does not: what the bytes are, retries (the store's own).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from bqx_assets.base.errors import PreconditionFailed
from bqx_assets.base.files import open_regular
from bqx_assets.base.store.protocol import ABSENT, ObjectInfo, ObjectStore


class Source(Protocol):
    """Bytes that can be read in any order, from any thread."""

    name: str
    size_bytes: int
    crc32c: int | None
    """Of all bytes, as the store itself states it; of a local file nobody states any."""

    def read(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start``; fewer only where the source ends."""
        ...

    def confirm(self) -> None:
        """Raise where what was read cannot have been one and the same object."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class FileSource:
    """A local file. **Cost**: one descriptor, and nothing in memory."""

    crc32c: int | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file = open_regular(path)
        self.size_bytes = os.fstat(self._file.fileno()).st_size

    def read(self, start: int, length: int) -> bytes:
        """Return a range. Raises OSError."""
        data = os.pread(self._file.fileno(), length, start)
        while len(data) < length and (more := os.pread(self._file.fileno(), length - len(data), start + len(data))):
            data += more  # the kernel gives at most 2 GiB at once
        return data

    def confirm(self) -> None:
        """Pass: an open descriptor is of one file, whatever takes its name."""

    def close(self) -> None:
        """Close the descriptor."""
        self._file.close()


class ObjectSource:
    """An object of a store, by one range request a read. Errors are the store's own."""

    def __init__(self, store: ObjectStore, info: ObjectInfo) -> None:
        self._store, self._info = store, info
        self.name = info.name
        self.size_bytes = info.size_bytes
        self.crc32c: int | None = info.crc32c

    def read(self, start: int, length: int) -> bytes:
        """Return a range. Raises StoreError, ObjectMissing."""
        return self._store.read(self.name, start, length)

    def confirm(self) -> None:
        """Raise PreconditionFailed where the object is no longer the generation that the validation began with.

        A write always gives a new generation: the same one before and after means the same bytes between.
        """
        found = self._store.head(self.name)
        if found is None or found.generation != self._info.generation:
            raise PreconditionFailed(
                self._store.uri(self.name),
                got=f"generation {found.generation if found else ABSENT} after the validation",
                expected=f"generation {self._info.generation}, as before it",
                cure="Another run replaced the object meanwhile: validate again.",
            )

    def close(self) -> None:
        """Pass: a store keeps its own connections."""


def open_file(path: Path) -> FileSource | None:
    """Return a file as source; None where there is none. Raises OSError."""
    return FileSource(path) if path.is_file() else None


def open_object(store: ObjectStore, name: str) -> ObjectSource | None:
    """Return an object as source; None where there is none. **Cost**: one request. Raises StoreError."""
    info = store.head(name)
    return ObjectSource(store, info) if info is not None else None
