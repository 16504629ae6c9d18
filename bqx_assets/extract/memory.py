"""What an extraction takes in memory at its peak: rows of the widest table, and files where these are memory.

Belongs here: estimates from the catalogue, by what was measured, and the refusal of what cannot fit. Does not: letting
tables in one after another (``MemoryBudget``).

Measured (docs/adr/0013): libraries and clients 230 to 400 MB, before anything is read; the spine 120 bytes a row; a row
group of the table at work 1.5 times decoded, and three time slices; the slab's file, up to 8 bytes a value where no
value repeats. 232 columns x 400,000 rows of random numbers, two workers, a hard 2 GiB with the files in it: 1,554 MiB
at the peak, 944 MiB of it the process's own, 662 MiB the file; estimated 1,836 MiB. 300,000 rows: 1,168 MiB, estimated
1,647 MiB.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import polars as pl

from bqx_assets.base.artifacts import Column
from bqx_assets.base.errors import NotEnoughMemory
from bqx_assets.base.limits import is_memory, memory_limit_bytes
from bqx_assets.catalogue.discovery import FeatureTable
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.job import Extraction

_COPIES = 3
"""A table of one time slice is in memory as Arrow batches, as aligned frames, and while it is encoded (or a file)."""
_GROUP_COPIES = 2
"""A row group of several time slices is in memory decoded, and once more while it is encoded."""
_MEASURED_COPIES = 1.5
"""Of a row group, at the peak. The two above are what tables are let in by, side by side."""
_CELL_BYTES = {"BOOL": 1, "STRING": 24}
_SPINE_ROW_BYTES = 120
_PROCESS_BYTES = 450 << 20
"""Libraries, Dagster, Google's clients and their buffers, what allocators keep. Not what is resident now: a refusal's
advice would then be refused in its turn, by a process that has read the keys meanwhile."""
_USABLE = 0.95
"""Of a container's memory."""
_GIB = 1 << 30


Kept = Literal["elsewhere", "one at a time", "all"]
"""Which of the slabs' files are in memory at once, on a machine whose folders are: Cloud Run's, or a tmpfs."""


def kept_in_memory(job: Extraction) -> Kept:
    """Return which slabs' files count as memory: one a table on its way to a bucket; all of them where a folder is."""
    if job.kept_in is None:
        return "all" if is_memory(job.folder) else "elsewhere"
    return "one at a time" if is_memory(Path(tempfile.gettempdir())) else "elsewhere"


def row_bytes(table: TableDescription, columns: Sequence[Column]) -> int:
    """Of BigQuery the table's own size counts too: it has the letters of all texts, a file's size is encoded."""
    stated_bytes = table.size_bytes // max(1, table.rows)
    return max(stated_bytes, 8 + sum(_CELL_BYTES.get(column.type, 8) for column in columns))


def admitted_bytes(table: FeatureTable, row_groups: Sequence[int], kept: Kept) -> int:
    """Return by how much a table counts among those at work: of a long history no more than of its widest row group.

    And its slab's file, where that is in memory.
    """
    each = row_bytes(table.description, table.columns)
    if len(row_groups) == 1:
        return row_groups[0] * each * _COPIES
    written = 0 if kept == "elsewhere" else sum(row_groups) * each
    return max(row_groups) * each * _GROUP_COPIES + SLICE_BYTES * _COPIES + written


def peak_bytes(rows: int, widths: Sequence[int], row_group_rows: int, kept: Kept) -> int:
    """Return what a process and its files take at the peak of extracting ``rows`` of tables.

    ``widths``: their bytes a row. Several at once are let in within half of what is free, so that the widest decides.
    """
    width = max(widths, default=0)
    group = min(rows, row_group_rows or rows)
    slices = SLICE_BYTES * _COPIES if group < rows else 0
    written = {"elsewhere": 0, "one at a time": width, "all": sum(widths)}[kept]
    table = int(group * width * _MEASURED_COPIES) + slices + rows * written
    return _PROCESS_BYTES + rows * _SPINE_ROW_BYTES + table


def refuse_too_long(job: Extraction, rows: int, widths: Sequence[int]) -> None:
    """Do nothing, unless extracting so many rows of tables so wide would take more than the container's memory.

    Raises:
        NotEnoughMemory: it would, by the estimate. Says how many rows fit, and what container takes all.
    """
    kept, size = kept_in_memory(job), job.settings.row_group_rows
    needed, usable = peak_bytes(rows, widths, size, kept), int(memory_limit_bytes() * _USABLE)
    if not widths or needed <= usable:
        return
    fit = _most_rows(widths, size, kept, usable)
    fewer = f"Ask for fewer rows: BQX_LAST={fit} rows, or a range by BQX_START and BQX_END. Or" if fit else "Take"
    files = "" if kept == "elsewhere" else ", files written included, which are memory here,"
    raise NotEnoughMemory(
        f"{job.pair}",
        got=f"{rows:,} rows of up to {max(widths):,} bytes{files} take about {needed / _GIB:.1f} GiB",
        expected=f"at most {usable / _GIB:.1f} GiB of this machine's or container's {memory_limit_bytes() / _GIB:.1f}",
        cure=f"Nothing large was read. {fewer} a container of {-int(-needed // (_GIB * _USABLE))} GiB or more: the run"
        " tag bqx/memory_class names its job (large: 8 GiB).",
    )


def _most_rows(widths: Sequence[int], row_group_rows: int, kept: Kept, usable: int) -> int:
    """How many rows fit, in whole thousands."""
    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high + 1) // 2
        fits = peak_bytes(middle * 1_000, widths, row_group_rows, kept) <= usable
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * 1_000


class MemoryBudget:
    """Admits work while the sum of admitted estimates stays within ``limit_bytes``; always admits one alone.

    Workers decide how many tables are in work at once, this how wide they may be together: two tables of 232 columns
    by 2.16 million rows would need 16 GB where two of 13 need 0.9.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._in_use_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, estimate_bytes: int) -> Generator[None]:
        """Wait until ``estimate_bytes`` fit, and hold them for the block."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._in_use_bytes or self._in_use_bytes + estimate_bytes <= self.limit_bytes
            )
            self._in_use_bytes += estimate_bytes
        try:
            yield
        finally:
            with self._changed:
                self._in_use_bytes -= estimate_bytes
                self._changed.notify_all()


SLICE_BYTES = 32 << 20
"""Decoded size of a time slice. Each is a read of its own, a second or two by itself in BigQuery: not too small."""
_TICK = timedelta(microseconds=1)
"""Of the key."""


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """Consecutive rows of a spine, and the range of keys that is read for them."""

    first_row: int
    keys: pl.Series
    start: datetime
    end: datetime
    """Inclusive: until just before the next time slice, so that every row of a table is in one."""


def time_slices(keys: pl.Series, row_groups: Sequence[int], row_bytes: int) -> list[TimeSlice]:
    """Return the spine in time slices of at most ``SLICE_BYTES``; a spine of one row group is one time slice.

    All rows of one key are in one time slice.
    """
    size = keys.len() if len(row_groups) == 1 else max(1, SLICE_BYTES // row_bytes)
    found: list[TimeSlice] = []
    for first in range(0, keys.len(), size):
        after = first + size
        end = keys[after] - _TICK if after < keys.len() else keys[-1]
        found.append(TimeSlice(first, keys.slice(first, size), keys[first], end))
    return found
