"""Limits the memory of an extraction: estimates its peak, cuts tables into time slices, and admits tables by a budget.

An extraction that cannot fit is refused before it is read, by an estimate from the catalogue.

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
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import NotEnoughMemory
from bqx_assets.base.process import is_memory, memory_limit_bytes
from bqx_assets.catalogue.discovery import FeatureTable, TableDescription
from bqx_assets.extract.job import Extraction

_COPIES = 3
"""Copies of a table of one time slice: Arrow batches, aligned frames, and the one being encoded (or its file)."""
_GROUP_COPIES = 2
"""Copies of a row group of several time slices: decoded, and the one being encoded."""
_MEASURED_COPIES = 1.5
"""Copies of a row group at the measured peak. The two constants above decide how many tables are read at once."""
_SPINE_ROW_BYTES = 120
_PROCESS_BYTES = 450 << 20
"""Libraries, Dagster, Google's clients with their buffers, and what allocators keep. It is a constant, not the present
resident memory: a process that has read the keys would otherwise refuse the row count that its own message advised."""
_USABLE = 0.95
"""Usable share of a container's memory."""
_GIB = 1 << 30


Kept = Literal["elsewhere", "one at a time", "all"]
"""The slab files that are in memory at the same time: folders are memory on Cloud Run and in a tmpfs."""


def kept_in_memory(job: Extraction) -> Kept:
    """Return the slab files that count as memory: on the way to a bucket one at a time, in a folder all."""
    if (folder := job.slabs.folder) is not None:
        return "all" if is_memory(folder) else "elsewhere"
    return "one at a time" if is_memory(Path(tempfile.gettempdir())) else "elsewhere"


def row_bytes(table: TableDescription, columns: Sequence[Column]) -> int:
    """Return the decoded bytes of a row. BigQuery's own size of the table counts too: it includes all text lengths."""
    stated_bytes = table.size_bytes // max(1, table.rows)
    return max(stated_bytes, 8 + sum(COLUMN_TYPES[column.type].memory_bytes for column in columns))


def admitted_bytes(table: FeatureTable, row_groups: Sequence[int], kept: Kept) -> int:
    """Return the bytes that a table counts for in the budget: of a long history only its largest row group.

    The slab's file is added if it is in memory.
    """
    each = row_bytes(table.description, table.columns)
    if len(row_groups) == 1:
        return row_groups[0] * each * _COPIES
    written = 0 if kept == "elsewhere" else sum(row_groups) * each
    return max(row_groups) * each * _GROUP_COPIES + SLICE_BYTES * _COPIES + written


def peak_bytes(rows: int, widths: Sequence[int], row_group_rows: int, kept: Kept) -> int:
    """Return the peak bytes of a process and its files while it extracts ``rows`` rows of tables.

    ``widths``: bytes of a row of each table. Tables side by side share half of the free memory, so the widest decides.
    """
    width = max(widths, default=0)
    group = min(rows, row_group_rows or rows)
    slices = SLICE_BYTES * _COPIES if group < rows else 0
    written = {"elsewhere": 0, "one at a time": width, "all": sum(widths)}[kept]
    table = int(group * width * _MEASURED_COPIES) + slices + rows * written
    return _PROCESS_BYTES + rows * _SPINE_ROW_BYTES + table


def refuse_too_long(job: Extraction, rows: int, widths: Sequence[int]) -> None:
    """Refuse an extraction that would need more than the container's memory.

    Raises:
        NotEnoughMemory: by the estimate it would. The message says how many rows fit, and which container takes all.
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
    """Return how many rows fit, in whole thousands."""
    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high + 1) // 2
        fits = peak_bytes(middle * 1_000, widths, row_group_rows, kept) <= usable
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * 1_000


class MemoryBudget:
    """Admits work while the sum of its estimates stays within ``limit_bytes``; one alone is always admitted.

    The number of workers limits how many tables are read at once, this how wide they are together: of 2.16 million rows
    two tables of 232 columns would need 16 GB, two of 13 columns 0.9 GB.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._in_use_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, estimate_bytes: int) -> Generator[None]:
        """Wait until ``estimate_bytes`` fit, and hold them for the duration of the block."""
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
"""Decoded size of a time slice. Each is a read of its own, which takes BigQuery a second or two: not too small."""
_TICK = timedelta(microseconds=1)
"""The resolution of the key."""


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """Consecutive rows of a spine, which are read and aligned at once, and the range of keys that is read for them."""

    first_row: int
    keys: pl.Series
    start: datetime
    end: datetime
    """Inclusive, just before the next time slice, so that every row of a table is in exactly one slice."""


def time_slices(keys: pl.Series, row_groups: Sequence[int], row_bytes: int) -> list[TimeSlice]:
    """Return the spine in time slices of at most ``SLICE_BYTES``; a spine of one row group is one slice.

    So memory does not grow with the history. All table rows of one key are in the same slice.
    """
    size = keys.len() if len(row_groups) == 1 else max(1, SLICE_BYTES // row_bytes)
    found: list[TimeSlice] = []
    for first in range(0, keys.len(), size):
        after = first + size
        end = keys[after] - _TICK if after < keys.len() else keys[-1]
        found.append(TimeSlice(first, keys.slice(first, size), keys[first], end))
    return found
