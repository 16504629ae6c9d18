"""Limits the memory of an extraction: estimates its peak, cuts periods into time slices, admits tables by a budget.

An extraction that cannot fit is refused before it is read, by an estimate from the catalogue. What counts is the widest
table's piece of the longest period, not the history.

Measured (``benchmarks.piece_memory``): libraries and clients 230 to 400 MB, before anything is read; the spine's period
120 bytes a row; a piece 8.3 to 8.6 bytes a value, since its columns are encoded a few at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from bqx_assets.base.artifacts import Column
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import NotEnoughMemory
from bqx_assets.base.process import is_memory, memory_limit_bytes
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.periods import TICK

_COPIES = 3
"""Copies of a time slice: Arrow batches, aligned frames, and what is copied of them."""
_PIECE_SHARE = 1.1
"""Memory of a piece as a share of its decoded size: decoded columns are let go as encoded ones take their place."""
_STRIP_BYTES = 64 << 20
"""Memory for the columns that are encoded at once."""
_SPINE_ROW_BYTES = 130
"""Of a row of the period at work: the key, and the values that the detector of look-ahead searches."""
_KEY_BYTES = 24
"""Of a row of the whole spine, while its keys are found."""
_PROCESS_BYTES = 450 << 20
"""Libraries, Dagster, Google's clients with their buffers, and what allocators keep. It is a constant, not the present
resident memory: a process that has read the keys would otherwise refuse the row count that its own message advised."""
USABLE = 0.95
"""Usable share of a container's memory."""
_GIB = 1 << 30


def row_bytes(table: TableDescription, columns: Sequence[Column]) -> int:
    """Return the decoded bytes of a row. BigQuery's own size of the table counts too: it includes all text lengths."""
    stated_bytes = table.size_bytes // max(1, table.rows)
    return max(stated_bytes, 8 + sum(COLUMN_TYPES[column.type].memory_bytes for column in columns))


def piece_memory_bytes(rows: int, width: int) -> int:
    """Return the memory that a piece of ``rows`` rows of ``width`` bytes takes while it is made."""
    whole = rows * width
    return min(whole, SLICE_BYTES) * _COPIES + int(whole * _PIECE_SHARE) + _STRIP_BYTES


def peak_bytes(rows: int, period_rows: int, widths: Sequence[int], *, files: bool) -> int:
    """Return the peak bytes of a process while it extracts a spine of ``rows`` rows, ``period_rows`` in a period.

    ``widths``: bytes of a row of each table. Tables side by side share half of the free memory, so the widest decides.
    ``files``: the slabs' folder is memory as well.
    """
    width = max(widths, default=0)
    kept = rows * sum(widths) if files else 0
    spine = rows * _KEY_BYTES + min(rows, period_rows) * _SPINE_ROW_BYTES
    return _PROCESS_BYTES + spine + piece_memory_bytes(min(rows, period_rows), width) + kept


def fits(job: Extraction, rows: int, longest: int, widths: Sequence[int]) -> bool:
    """Return whether by the estimate an extraction does not need more than the container's memory."""
    return not widths or peak_bytes(rows, longest, widths, files=_is_kept_in_memory(job)) <= _usable_bytes()


def _is_kept_in_memory(job: Extraction) -> bool:
    return job.slabs.folder is not None and is_memory(job.slabs.folder)


def _usable_bytes() -> int:
    return int(memory_limit_bytes() * USABLE)


def refuse_too_long(job: Extraction, rows: int, longest: int, widths: Sequence[int]) -> None:
    """Refuse an extraction that would need more than the container's memory.

    ``longest``: the rows of the longest period.

    Raises:
        NotEnoughMemory: by the estimate it would. The message says how many rows fit, and which container takes all.
    """
    if fits(job, rows, longest, widths):
        return
    unit, files, usable = job.settings.period, _is_kept_in_memory(job), _usable_bytes()
    needed = peak_bytes(rows, longest, widths, files=files)
    fit = _most_rows(widths, usable, files=files)
    shorter = [] if files or unit == "month" else ["Cut the history into shorter periods: BQX_PERIOD=month."]
    fewer = [f"Ask for fewer rows: BQX_LAST={fit} rows, or a range by BQX_START and BQX_END."] if fit else []
    larger = (
        f"{'Or take' if shorter or fewer else 'Take'} a container of {-int(-needed // (_GIB * USABLE))} GiB or more:"
        " the run tag bqx/memory_class names its job (large: 8 GiB)."
    )
    raise NotEnoughMemory(
        f"{job.pair}",
        got=f"{min(rows, longest):,} rows at once of up to {max(widths):,} bytes"
        f"{', files written included, which are memory here,' * files} take about {needed / _GIB:.1f} GiB",
        expected=f"at most {usable / _GIB:.1f} GiB of this machine's or container's {memory_limit_bytes() / _GIB:.1f}",
        cure=" ".join(["Nothing large was read.", *shorter, *fewer, larger]),
    )


def _most_rows(widths: Sequence[int], usable: int, *, files: bool) -> int:
    """Return how many rows of a single period fit, in whole thousands."""
    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high + 1) // 2
        enough = peak_bytes(middle * 1_000, middle * 1_000, widths, files=files) <= usable
        low, high = (middle, high) if enough else (low, middle - 1)
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


SLICE_BYTES = 64 << 20
"""Decoded size of a time slice. Each is a read of its own, which takes BigQuery a second or two: not too small."""


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """Consecutive rows of a period, which are read and aligned at once, and the range of keys that is read for them."""

    first_row: int
    keys: pl.Series
    start: datetime
    end: datetime
    """Inclusive, just before the next time slice, so that every row of a table is in exactly one slice."""


def time_slices(
    keys: pl.Series, row_bytes: int, start: datetime | None = None, end: datetime | None = None
) -> list[TimeSlice]:
    """Return a period's keys in time slices of at most ``SLICE_BYTES``. All table rows of a key are in one slice.

    The slices cover the range from ``start`` to ``end``, by default from the first to the last key.
    """
    size = max(1, SLICE_BYTES // row_bytes)
    found: list[TimeSlice] = []
    for first in range(0, keys.len(), size):
        after = first + size
        begin = keys[first] if found or start is None else start
        until = keys[after] - TICK if after < keys.len() else end or keys[-1]
        found.append(TimeSlice(first, keys.slice(first, size), begin, until))
    return found
