"""Reads a raw checkpoint's bytes: from a local file, or from an object of a bucket by ranges of one version."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from bqx_assets.base.checksums import Sums, crc32c, sums_of_blocks, sums_of_files
from bqx_assets.base.errors import ChecksumMismatch, MergeRefused, ObjectMissing, PreconditionFailed
from bqx_assets.base.files import open_regular
from bqx_assets.base.frame_files import PARQUET_MAGIC
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_of, version_text
from bqx_assets.extract.object_file import BLOCK_BYTES, ObjectFile
from bqx_assets.merge.footer import read_end, read_file_end, refuse_other_head

Range = tuple[int, int]
"""The position of a first byte, and the position behind the last."""
_GUESS_BYTES = 32 << 10
"""First read of an object's end: enough for the footer of 100 columns as pandas writes it."""
_GAP_BYTES = 64 << 10
"""Unwanted bytes between two ranges that are read along, because that saves a request."""


@dataclass(frozen=True)
class RawSource:
    """One raw checkpoint's bytes and facts, pinned to the version that was listed.

    Raises at any reading:
        MergeRefused: the file or object was replaced or removed since: two reads would be of two contents.
    """

    store: ObjectStore
    info: ObjectInfo
    path: Path | None
    """The local file that is read; None for an object, of which ranges are read."""

    @classmethod
    def of(cls, store: ObjectStore, info: ObjectInfo) -> RawSource:
        """Return the source of a store's object: its file, where the store is a folder."""
        return cls(store, info, store.local_path(info.name))

    @cached_property
    def table(self) -> str:
        """The name without the suffix."""
        return PurePosixPath(self.info.name).stem

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.info.size_bytes

    @property
    def modified(self) -> datetime:
        """The time when it was written."""
        return self.info.updated

    @property
    def etag(self) -> str:
        """A mark that changes with the content under the same name: an object's version, a file's size and time."""
        version = self.info.version
        return version if self._is_object else f"{self.size_bytes}-{version}"

    @property
    def fetched(self) -> bool:
        """Return whether ``path`` is a temporary copy of an object."""
        return self.path is not None and self._is_object

    @property
    def _is_object(self) -> bool:
        return self.store.local_path(self.info.name) is None

    def end(self, subject: str) -> bytes:
        """Return the end of the file: the footer, its length and the magic.

        **Cost**: of an object two requests, three for a long footer. Raises FooterError where it is not a whole file.
        """
        if self.path is not None:
            return read_file_end(self.path, subject)[0]
        end = read_end(self.read, self.size_bytes, subject, guess_bytes=_GUESS_BYTES)
        refuse_other_head(self.read(0, len(PARQUET_MAGIC)), self.size_bytes, subject)
        return end

    def open(self, ranges: Iterable[Range] = ()) -> BinaryIO:
        """Open the file to read the ``ranges``. Raises OSError if it is not a file.

        **Cost**: of an object the ``ranges`` in memory, and one request for adjacent ones, of at most 8 MiB.
        """
        if self.path is None:
            return cast("BinaryIO", _FetchedFile(self, ranges))
        file = open_regular(self.path)
        if not self.fetched and version_of(self.store.head(self.info.name)) != self.info.version:
            file.close()
            raise self._replaced()
        return file

    def sums(self) -> Sums:
        """Return the checksums of all its bytes. **Cost**: reads them."""
        return sums_of_blocks(self._blocks()) if self.path is None else sums_of_files([(self.path, 0)])

    def fetch(self, scratch: Path) -> RawSource:
        """Return the source of a temporary copy of the object in ``scratch``. **Cost**: 8 MiB in memory.

        Raises:
            ChecksumMismatch: the bytes that arrived have another CRC32C than the store states.
        """
        path = scratch / f"{self.table}-{secrets.token_hex(4)}.parquet"
        with path.open("xb") as file:
            for block in self._checked_blocks():
                file.write(block)
        return replace(self, path=path)

    def read(self, start: int, length: int) -> bytes:
        """Return a range of the pinned version. **Cost**: one request."""
        try:
            return self.store.read(self.info.name, start, length, only_if=self.info.version)
        except (PreconditionFailed, ObjectMissing) as error:
            raise self._replaced() from error

    def _replaced(self) -> MergeRefused:
        return MergeRefused(
            self.store.uri(self.info.name),
            got="replaced or removed while it was being read",
            expected=f"{version_text(self.info.version)} during the whole merge",
            cure="Merge again, once nobody writes there any more.",
        )

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


class _FetchedFile(ObjectFile):
    """An object of which some ranges are in memory; reading other bytes is a request."""

    def __init__(self, source: RawSource, ranges: Iterable[Range]) -> None:
        super().__init__(source.store, source.info.name, source.size_bytes)
        self._source = source
        self._fetched = [(start, source.read(start, end - start)) for start, end in _requests(ranges)]

    def read(self, size: int = -1, /) -> bytes:
        """Return the next ``size`` bytes; fewer only where the object ends."""
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
        """Release the fetched bytes."""
        self._fetched = []
        super().close()


def _requests(ranges: Iterable[Range]) -> Sequence[Range]:
    """Return the ranges in order, neighbours merged, split into requests of at most 8 MiB."""
    runs: list[Range] = []
    for start, end in sorted(ranges):
        if runs and start - runs[-1][1] <= _GAP_BYTES:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return [(at, min(at + BLOCK_BYTES, end)) for start, end in runs for at in range(start, end, BLOCK_BYTES)]
