"""An object of a store as a file, read by range: of a Parquet object no more is fetched than is wanted.

Belongs here: the file, checked block by block or as it comes; columns of a Parquet one. Does not: which objects there
are, or writing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ChecksumMismatch
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore

BLOCK_BYTES = 8 << 20
"""Of a checked file: 8 hexadecimal digits each, within the 8 KiB of metadata that Cloud Storage keeps of an object."""


class ObjectFile(io.RawIOBase):
    """An object's bytes by one range request a read. Errors are the store's own."""

    def __init__(self, store: ObjectStore, name: str, size_bytes: int) -> None:
        self._store, self._name, self._size_bytes = store, name, size_bytes
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to ``offset`` from start, here or end."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes from here; fewer only where the object ends."""
        length = self._size_bytes - self._at
        data = self._store.read(self._name, self._at, length if size < 0 else min(size, length))
        self._at += len(data)
        return data


class CheckedFile(ObjectFile):
    """An object read in whole blocks, each held against its CRC32C: a range is as safe as the object.

    **Cost**: the last block in memory. Raises ChecksumMismatch besides the store's own errors.
    """

    def __init__(self, store: ObjectStore, info: ObjectInfo, checksums: str) -> None:
        super().__init__(store, info.name, info.size_bytes)
        self._checksums = checksums.split()
        self._last = (-1, b"")

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes from here; fewer only where the object ends."""
        end = self._size_bytes if size < 0 else min(self._at + size, self._size_bytes)
        parts: list[bytes] = []
        while self._at < end:
            number, offset = divmod(self._at, BLOCK_BYTES)
            parts.append(self._block(number)[offset : offset + end - self._at])
            self._at += len(parts[-1])
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number != self._last[0]:
            data = self._store.read(self._name, number * BLOCK_BYTES, BLOCK_BYTES)
            expected = min(BLOCK_BYTES, self._size_bytes - number * BLOCK_BYTES)
            if len(data) != expected or f"{crc32c(data):x}" != self._checksums[number]:
                raise ChecksumMismatch(
                    self._store.uri(self._name),
                    got=f"block {number} of {len(data):,} bytes with another CRC32C",
                    expected=f"{expected:,} bytes with {self._checksums[number]}",
                    cure="It is made again.",
                )
            self._last = (number, data)
        return self._last[1]


def block_checksums(path: Path) -> str:
    """Return the CRC32C of each of a file's blocks, as an object's metadata can hold them up to some 7 GB."""
    with path.open("rb") as file:
        return " ".join(f"{crc32c(block):x}" for block in iter(lambda: file.read(BLOCK_BYTES), b""))


def read_columns(source: ObjectFile, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of a Parquet object; neighbours in a row group are fetched by one request.

    **Cost**: them decoded, and one row group of them encoded.
    """
    file = pq.ParquetFile(pa.PythonFile(cast("Any", source), mode="r"), pre_buffer=True)
    groups = [file.read_row_group(number, columns=list(columns)) for number in range(file.num_row_groups)]
    return pl.DataFrame(pa.concat_tables(groups)).select(columns)
