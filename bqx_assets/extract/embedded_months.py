"""Tells the state of each calendar month of a table in the embedded warehouse, from the bytes of its file.

A month's state is a digest of the checksums of the row groups that may hold rows of it. It follows from nothing else
than those bytes, so that no changed value is missed, and an unchanged row group counts as unchanged wherever it lies.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, cast

import pyarrow.parquet as pq

from bqx_assets.base.artifacts import fingerprint
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.columns import ColumnFile
from bqx_assets.extract.warehouse import MonthState


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: the digest and size of its bytes, its rows with a key by month, and whether others have none."""

    digest: str
    size_bytes: int
    rows: dict[str, int]
    loose: bool

    def may_hold(self, month: str) -> bool:
        """Return whether a row of the month may be in it, by its first and last key."""
        return self.loose or min(self.rows) <= month <= max(self.rows)


def file_months(file: BinaryIO, table: TableDescription) -> dict[str, MonthState] | None:
    """Return the state of each month of an open file that has rows; None if rows are there but none has a key.

    **Cost**: reads the file and decodes its keys, a column of a row group at a time: 0.2 s of a processor for a GB,
    and 0.04 s for a million keys.

    Raises:
        InexactValue, ArrowException, OSError: the file is damaged, or its key cannot be read.
    """
    columns = ColumnFile(file, table.table)
    groups = [_group(file, columns, number) for number in columns.groups if columns.row_count([number])]
    months = sorted({month for group in groups for month in group.rows})
    if groups and not months:
        return None
    return {month: _state(table, month, [group for group in groups if group.may_hold(month)]) for month in months}


def _state(table: TableDescription, month: str, groups: list[_Group]) -> MonthState:
    facts = {"columns": table.columns, "groups": [group.digest for group in groups]}
    rows = [group.rows.get(month, 0) for group in groups]
    # A row group may have no key at all.
    sizes = (
        group.size_bytes * some // max(1, sum(group.rows.values())) for group, some in zip(groups, rows, strict=True)
    )
    return MonthState(fingerprint(facts), sum(rows), sum(sizes), modified=None)


def _group(file: BinaryIO, columns: ColumnFile, number: int) -> _Group:
    stored = columns.metadata.row_group(number)
    chunks = [stored.column(place) for place in range(stored.num_columns)]
    keys = columns.read([KEY], [number]).to_series()
    rows: Counter[str] = Counter()
    for day, count in cast("Iterable[tuple[date | None, int]]", keys.dt.date().value_counts().iter_rows()):
        rows["" if day is None else day.isoformat()[:7]] += count
    loose = rows.pop("", 0) > 0
    return _Group(
        digest=fingerprint({"rows": stored.num_rows, "chunks": [_checksum(file, chunk) for chunk in chunks]}),
        size_bytes=sum(chunk.total_compressed_size for chunk in chunks),
        rows=rows,
        loose=loose,
    )


def _checksum(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> str:
    """Return what identifies a stored column: codec, size and checksum. Its encodings are in the bytes themselves."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    size_bytes = min(chunk.total_compressed_size, os.fstat(file.fileno()).st_size)  # a damaged footer states any size
    data = os.pread(file.fileno(), size_bytes, start)
    return f"{chunk.compression}-{len(data):x}-{crc32c(data):08x}"
