"""Tells the state of each calendar month of a table in the embedded warehouse, from the bytes of its file.

A month's state is a digest of the checksums of the row groups that may hold rows of it. It follows from nothing else
than those bytes, so that no changed value is missed, and an unchanged row group counts as unchanged wherever it lies.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import fingerprint
from bqx_assets.base.checksums import crc32c_of_blocks
from bqx_assets.base.errors import BqxError
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.columns import ColumnFile, KeyBounds, bounds_of
from bqx_assets.extract.warehouse import MonthState

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileMonths:
    """The months of a table's file, and the keys of its row groups, which are decoded for them."""

    months: Mapping[str, MonthState] | None
    """The state of each month that has rows; None if rows are there but none has a key."""
    bounds: list[KeyBounds | None]
    """The bounds of each row group; None for one with no row, or with a row that has no key."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: the digest and size of its bytes, its rows with a key by month, and its first and last key."""

    digest: str
    size_bytes: int
    rows: dict[str, int]
    bounds: KeyBounds | None

    def may_hold(self, month: str) -> bool:
        """Return whether a row of the month may be in it; a row without a key may belong to any."""
        return self.bounds is None or min(self.rows) <= month <= max(self.rows)


def file_months(file: BinaryIO, table: TableDescription) -> FileMonths:
    """Return the state of each month of an open file.

    **Cost**: reads the file once in blocks and decodes its keys, a row group at a time: 0.2 s of a processor for a GB,
    and 0.03 s for a million keys.

    Raises:
        InexactValue, ArrowException, OSError: the file is damaged, or its key cannot be read.
    """
    columns = ColumnFile(file, table.table)
    block = memoryview(bytearray(_BLOCK_BYTES))  # one for the whole file: fresh memory costs as much as the checksum
    groups = [_group(file, columns, number, block) for number in columns.groups]
    some = [group for group in groups if group.rows or group.size_bytes]
    months = sorted({month for group in some for month in group.rows})
    states = {month: _state(table, month, [group for group in some if group.may_hold(month)]) for month in months}
    return FileMonths(None if some and not months else states, [group.bounds for group in groups])


def months_or_none(file: BinaryIO, table: TableDescription) -> FileMonths | None:
    """Return the months as :func:`file_months` does; None if they cannot be read, of which reading the rows tells."""
    try:
        return file_months(file, table)
    except (BqxError, pa.ArrowException, pl.exceptions.PolarsError, OSError, KeyError, UnicodeDecodeError):
        return None


def _state(table: TableDescription, month: str, groups: list[_Group]) -> MonthState:
    facts = {"columns": table.columns, "groups": [group.digest for group in groups]}
    rows = [group.rows.get(month, 0) for group in groups]
    # A row group may have no key at all.
    sizes = (
        group.size_bytes * some // max(1, sum(group.rows.values())) for group, some in zip(groups, rows, strict=True)
    )
    return MonthState(fingerprint(facts), sum(rows), sum(sizes), modified=None)


def _group(file: BinaryIO, columns: ColumnFile, number: int, block: memoryview) -> _Group:
    stored = columns.metadata.row_group(number)
    if not columns.row_count([number]):
        return _Group("", 0, {}, None)
    chunks = [stored.column(place) for place in range(stored.num_columns)]
    keys = columns.read([KEY], [number]).to_series()
    return _Group(
        digest=fingerprint({"rows": stored.num_rows, "chunks": _checksums(file, chunks, block)}),
        size_bytes=sum(chunk.total_compressed_size for chunk in chunks),
        rows=_rows_by_month(keys),
        bounds=bounds_of(keys),
    )


def _rows_by_month(keys: pl.Series) -> dict[str, int]:
    """Return the number of keys in each month. **Shape**: the keys of a row group, null where a row has none."""
    first, last = cast("tuple[datetime | None, datetime | None]", (keys.min(), keys.max()))
    if first is None or last is None:
        return {}
    if _month(first) == _month(last):  # made warehouses cut row groups by month; to count takes 0.012 s a million keys
        return {_month(first): keys.len() - keys.null_count()}
    rows: Counter[str] = Counter()
    for day, count in cast("Iterable[tuple[date, int]]", keys.drop_nulls().dt.date().value_counts().iter_rows()):
        rows[_month(day)] += count
    return rows


def _month(day: date) -> str:
    return day.isoformat()[:7]


def _checksums(file: BinaryIO, chunks: list[pq.ColumnChunkMetaData], block: memoryview) -> list[str]:
    """Return what identifies the stored columns: codec, size and checksum. Encodings are in the bytes themselves."""
    file_bytes = os.fstat(file.fileno()).st_size  # a damaged footer states any size
    found: list[str] = []
    for chunk in chunks:
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
            start = min(start, chunk.dictionary_page_offset)
        end = min(start + chunk.total_compressed_size, file_bytes)
        total = crc32c_of_blocks(_blocks(file, start, end, block))
        found.append(f"{chunk.compression}-{max(0, end - start):x}-{total:08x}")
    return found


def _blocks(file: BinaryIO, start: int, end: int, block: memoryview) -> Iterator[memoryview]:
    """Yield the bytes from ``start`` to ``end``; each block is overwritten by the next."""
    for place in range(start, end, len(block)):
        yield block[: os.preadv(file.fileno(), [block[: min(len(block), end - place)]], place)]
