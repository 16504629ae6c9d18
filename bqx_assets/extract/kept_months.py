"""Keeps the states of months beside the tables of an embedded warehouse, as BigQuery keeps those of partitions.

``bqx warehouse create`` and ``advance`` write them. They hold for a file as it was then, to the nanosecond of its last
change of any kind, so that those of a file that was written, replaced or copied since are not used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from bqx_assets.base.artifacts import FormatVersion, Record
from bqx_assets.base.errors import BqxError
from bqx_assets.base.files import open_regular
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.columns import KeyBounds
from bqx_assets.extract.embedded_layout import MONTHS_FILE, table_path
from bqx_assets.extract.embedded_months import FileMonths, months_or_none
from bqx_assets.extract.warehouse import MonthState

_CODE = 1
"""Raise it when ``embedded_months`` gives another state to the same bytes."""
_TICK_SECONDS = 0.05
"""More than the step of a file system's clock: a later change has another time than one that was seen before this."""
_AT_ONCE = 4


class _KeptTable(Record):
    """The months of one file, and what the file was like when they were found."""

    mark: tuple[int, ...]
    etag: str
    columns: tuple[tuple[str, str], ...]
    months: dict[str, MonthState] | None
    bounds: list[KeyBounds | None]


class KeptMonths(Record):
    """The content of ``.months.json``: the months of each table, by dataset and table."""

    format_version: FormatVersion = 1
    code: int = _CODE
    tables: dict[str, _KeptTable] = Field(default_factory=dict)

    def of(self, file: BinaryIO, table: TableDescription) -> FileMonths | None:
        """Return the months of an open file; None if none were kept, or the file is not the same as it was then."""
        kept = self.tables.get(_name(table))
        if self.code != _CODE or kept is None:
            return None
        same = (kept.mark, kept.etag, kept.columns) == (_mark(file), table.etag, tuple(table.columns))
        return FileMonths(kept.months, kept.bounds) if same else None


def load_months(root: Path) -> KeptMonths:
    """Return what was kept in a warehouse; nothing if it is missing or not readable, since it can be found again."""
    try:
        return KeptMonths.load(root / MONTHS_FILE)
    except BqxError:
        return KeptMonths()


def keep_months(root: Path, tables: Sequence[TableDescription]) -> None:
    """Find the months of all tables of a warehouse that can be read, and keep them there.

    **Cost**: that of ``file_months`` for each table.
    """
    time.sleep(_TICK_SECONDS)  # what changes a file from here on also changes its mark
    found = in_threads(lambda table: _found(root, table), tables, _AT_ONCE, "months")
    kept = {_name(table): each for table, each in zip(tables, found, strict=True) if each is not None}
    KeptMonths(tables=kept).save(root / MONTHS_FILE)


def _found(root: Path, table: TableDescription) -> _KeptTable | None:
    with suppress(OSError), open_regular(table_path(root, table.dataset, table.table)) as file:
        mark = _mark(file)
        found = months_or_none(file, table)
        if found is not None and mark == _mark(file):
            months = None if found.months is None else dict(found.months)
            return _KeptTable(mark=mark, etag=table.etag, columns=table.columns, months=months, bounds=found.bounds)
    return None


def _name(table: TableDescription) -> str:
    return f"{table.dataset}/{table.table}"


def _mark(file: BinaryIO) -> tuple[int, ...]:
    """Return what changes with every change of a file: device, number, size, time of the content and of the file."""
    stat = os.fstat(file.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
