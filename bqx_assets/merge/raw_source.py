"""Where a raw checkpoint's bytes are: a file of this machine, or an object of a bucket that is read by ranges.

Belongs here: opening one, its facts, and that all ranges are of one version. Does not: which there are (``raw``), or
what their columns are (``raw_file``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from bqx_assets.base.checksums import Sums, crc32c, sums_of_blocks, sums_of_files
from bqx_assets.base.errors import ChecksumMismatch, MergeRefused, ObjectMissing, PreconditionFailed
from bqx_assets.base.files import TEMP_MARK, open_regular
from bqx_assets.base.frame_files import PARQUET_MAGIC
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_text
from bqx_assets.extract.object_file import BLOCK_BYTES, ObjectFile
from bqx_assets.merge.footer import read_end, read_file_end, refuse_other_head

Range = tuple[int, int]
"""A first byte, and the one behind the last."""

_GUESS_BYTES = 32 << 10
"""Of an object, read at once: the footer of 100 columns and more, as pandas writes it."""
_GAP_BYTES = 64 << 10
"""Bytes nobody wants that are read too, where that spares a request."""


class RawSource(Protocol):
    """One raw checkpoint's bytes, and what a manifest says of them."""

    @property
    def table(self) -> str:
        """Its name without the suffix."""
        ...

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine; None for an object."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...

    @property
    def modified(self) -> datetime:
        """When it was written."""
        ...

    @property
    def etag(self) -> str:
        """Tells one content from another under the same name."""
        ...

    def end(self, subject: str) -> bytes:
        """Return its last bytes: the footer, its length, magic. Raises FooterError where it is no whole file."""
        ...

    def open(self, ranges: Iterable[Range] = ()) -> BinaryIO:
        """Open it; ``ranges`` are what will be read, fetched at once where each read would be a request."""
        ...

    def sums(self) -> Sums:
        """Return the checksums of all its bytes. **Cost**: reads them."""
        ...


@dataclass(frozen=True)
class FileSource:
    """A file. Implements ``RawSource``."""

    path: Path

    @property
    def table(self) -> str:
        """The file's stem."""
        return self.path.stem

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size

    @property
    def modified(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    @property
    def etag(self) -> str:
        """Size and moment."""
        stat = self.path.stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def end(self, subject: str) -> bytes:
        """Return its last bytes, as ``read_file_end``."""
        return read_file_end(self.path, subject)[0]

    def open(self, ranges: Iterable[Range] = ()) -> BinaryIO:
        """Open it. Raises OSError: it is no file, or a link to none."""
        del ranges
        return open_regular(self.path)

    def sums(self) -> Sums:
        """Return the checksums of all its bytes."""
        return sums_of_files([(self.path, 0)])


@dataclass(frozen=True)
class ObjectSource:
    """An object, as the listing found it. Implements ``RawSource``.

    Raises at any reading:
        MergeRefused: it was replaced or removed since: two ranges would be of two files.
    """

    store: ObjectStore
    info: ObjectInfo
    path: None = None

    @property
    def table(self) -> str:
        """The name without the suffix."""
        return Path(self.info.name).stem

    @property
    def size_bytes(self) -> int:
        """The object's size."""
        return self.info.size_bytes

    @property
    def modified(self) -> datetime:
        """When it was written."""
        return self.info.updated

    @property
    def etag(self) -> str:
        """The version."""
        return self.info.version

    def read(self, start: int, length: int) -> bytes:
        """Return a range of this very version. **Cost**: one request. Raises MergeRefused: it is gone."""
        try:
            return self.store.read(self.info.name, start, length, only_if=self.info.version)
        except (PreconditionFailed, ObjectMissing) as error:
            raise MergeRefused(
                self.store.uri(self.info.name),
                got="replaced or removed while it was being read",
                expected=f"{version_text(self.info.version)} from the merge's first look to its last",
                cure="Merge again, once nobody writes there any more.",
            ) from error

    def end(self, subject: str) -> bytes:
        """Return its last bytes. **Cost**: two requests, three for a long footer."""
        end = read_end(self.read, self.size_bytes, subject, guess_bytes=_GUESS_BYTES)
        refuse_other_head(self.read(0, len(PARQUET_MAGIC)), self.size_bytes, subject)
        return end

    def open(self, ranges: Iterable[Range] = ()) -> BinaryIO:
        """Open it. **Cost**: the ``ranges`` in memory; a request a run of them, or for 8 MiB of one."""
        return cast("BinaryIO", _FetchedFile(self, ranges))

    def sums(self) -> Sums:
        """Return the checksums of all its bytes."""
        return sums_of_blocks(self._blocks())

    def fetch(self, scratch: Path) -> Path:
        """Return a temporary file of its bytes in ``scratch``, to be removed. **Cost**: 8 MiB in memory.

        Raises:
            ChecksumMismatch: other bytes came than the store has.
        """
        # A name that remove_partials knows: a killed merge's leavings go at the next one.
        path = scratch / f".{self.table}.parquet{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            with path.open("xb") as file:
                for block in self._checked_blocks():
                    file.write(block)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _checked_blocks(self) -> Iterator[bytes]:
        crc = 0
        for block in self._blocks():
            crc = crc32c(block, crc)
            yield block
        if self.info.crc32c not in (None, crc):
            raise ChecksumMismatch(
                self.store.uri(self.info.name),
                got=f"bytes with CRC32C {crc:08x}",
                expected=f"{self.info.crc32c:08x}, as the store states it",
                cure="Merge again; if it stays, put the object there again.",
            )

    def _blocks(self) -> Iterator[bytes]:
        for start in range(0, self.size_bytes, BLOCK_BYTES):
            yield self.read(start, min(BLOCK_BYTES, self.size_bytes - start))


@dataclass(frozen=True)
class FetchedSource(FileSource):
    """A temporary file of an object's bytes: its facts stay the object's. Implements ``RawSource``."""

    origin: ObjectSource

    @property
    def table(self) -> str:
        """The object's name without the suffix."""
        return self.origin.table

    @property
    def modified(self) -> datetime:
        """When the object was written."""
        return self.origin.modified

    @property
    def etag(self) -> str:
        """The object's version."""
        return self.origin.etag


class _FetchedFile(ObjectFile):
    """An object of which some ranges are in memory; another one is a request."""

    def __init__(self, source: ObjectSource, ranges: Iterable[Range]) -> None:
        super().__init__(source.store, source.info.name, source.size_bytes)
        self._source = source
        self._fetched = [(start, source.read(start, end - start)) for start, end in _requests(ranges)]

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes from here; fewer only where the object ends."""
        end = self._size_bytes if size < 0 else min(self._at + size, self._size_bytes)
        found = b"".join(
            data[max(0, self._at - start) : end - start]
            for start, data in self._fetched
            if start < end and start + len(data) > self._at
        )
        if len(found) < end - self._at:
            found = self._source.read(self._at, end - self._at)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Let go of what was fetched."""
        self._fetched = []
        super().close()


def _requests(ranges: Iterable[Range]) -> Sequence[Range]:
    """Return the ranges in order, near ones as one, in requests of at most 8 MiB."""
    runs: list[Range] = []
    for start, end in sorted(ranges):
        if runs and start - runs[-1][1] <= _GAP_BYTES:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return [(at, min(at + BLOCK_BYTES, end)) for start, end in runs for at in range(start, end, BLOCK_BYTES)]
