"""An object of a store as a file, read by range: of a Parquet object no more is fetched than is wanted.

Belongs here: the file, and columns of a Parquet one. Does not: which objects there are, or writing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.objects.protocol import ObjectStore


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
        """Where the next read begins."""
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


def open_parquet(source: ObjectFile | pa.Buffer, **options: Any) -> pq.ParquetFile:  # noqa: ANN401 -- pyarrow's own
    """Return a Parquet file; of an object, neighbouring columns of a row group are fetched by one request."""
    file = pa.PythonFile(cast("Any", source), mode="r") if isinstance(source, ObjectFile) else pa.BufferReader(source)
    return pq.ParquetFile(file, pre_buffer=isinstance(source, ObjectFile), **options)


def read_columns(source: ObjectFile, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of a Parquet object. **Cost**: them decoded, and one row group of them encoded."""
    file = open_parquet(source)
    groups = [file.read_row_group(number, columns=list(columns)) for number in range(file.num_row_groups)]
    return pl.DataFrame(pa.concat_tables(groups)).select(columns)
