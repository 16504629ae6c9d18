"""Reads an object of a store as a file, by ranges, so that only the wanted parts of a Parquet object are fetched."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ChecksumMismatch
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore

BLOCK_BYTES = 8 << 20
"""Size of a checked block. Its CRC32C takes 8 hexadecimal digits of an object's metadata, which may have 8 KiB."""


class ObjectFile(io.RawIOBase):
    """An object as a readable file: each read is one range request. Raises the store's own errors."""

    def __init__(self, store: ObjectStore, name: str, size_bytes: int) -> None:
        self._store, self._name, self._size_bytes = store, name, size_bytes
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to ``offset``, counted from the start, the present position or the end."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return the next ``size`` bytes; fewer only at the object's end."""
        length = self._size_bytes - self._at
        data = self._store.read(self._name, self._at, length if size < 0 else min(size, length))
        self._at += len(data)
        return data


class CheckedFile(ObjectFile):
    """An object that is read in whole blocks, each checked by its CRC32C, so that damage in any part is found.

    **Cost**: keeps two blocks in memory, the last that was read and the file's last: a Parquet reader begins with the
    footer, and comes back to what is before it. Raises ChecksumMismatch and the store's own errors.
    """

    def __init__(self, store: ObjectStore, info: ObjectInfo, checksums: str) -> None:
        super().__init__(store, info.name, info.size_bytes)
        self._checksums = checksums.split()
        self._kept: dict[int, bytes] = {}

    def read(self, size: int = -1, /) -> bytes:
        """Return the next ``size`` bytes; fewer only at the object's end."""
        end = self._size_bytes if size < 0 else min(self._at + size, self._size_bytes)
        parts: list[bytes] = []
        while self._at < end:
            number, offset = divmod(self._at, BLOCK_BYTES)
            parts.append(self._block(number)[offset : offset + end - self._at])
            self._at += len(parts[-1])
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        """Return a block, checked. Raises ChecksumMismatch."""
        if number not in self._kept:
            data = self._store.read(self._name, number * BLOCK_BYTES, BLOCK_BYTES)
            expected = min(BLOCK_BYTES, self._size_bytes - number * BLOCK_BYTES)
            if len(data) != expected or f"{crc32c(data):x}" != self._checksums[number]:
                raise ChecksumMismatch(
                    self._store.uri(self._name),
                    got=f"block {number} of {len(data):,} bytes with another CRC32C",
                    expected=f"{expected:,} bytes with {self._checksums[number]}",
                    cure="The object is made again.",
                )
            last = (self._size_bytes - 1) // BLOCK_BYTES
            self._kept = {each: kept for each, kept in self._kept.items() if each == last} | {number: data}
        return self._kept[number]


def block_checksums(pieces: Iterable[bytes]) -> str:
    """Return the CRC32C of each block of the concatenation of ``pieces`` as text.

    An object's metadata has room for those of about 7 GB. **Cost**: nothing is joined in memory.
    """
    found, crc, free = list[int](), 0, BLOCK_BYTES
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            part, rest = rest[:free], rest[free:]
            crc, free = crc32c(part, crc), free - len(part)
            if not free:
                found.append(crc)
                crc, free = 0, BLOCK_BYTES
    if free < BLOCK_BYTES:
        found.append(crc)
    return " ".join(f"{each:x}" for each in found)


def read_columns(source: ObjectFile, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of a Parquet object; neighbouring columns of a row group are fetched by one request.

    **Cost**: the columns decoded, and one row group of them encoded, in memory.
    """
    file = pq.ParquetFile(pa.PythonFile(cast("Any", source), mode="r"), pre_buffer=True)
    groups = [file.read_row_group(number, columns=list(columns)) for number in range(file.num_row_groups)]
    return pl.DataFrame(pa.concat_tables(groups)).select(columns)
