"""What real tables are like: a minute missing here, one too many there, rows of another pair, rows out of order.

Belongs here: from a clean frame to the table as it lies in the warehouse. Does not: values (``features``).
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.families import PAIR_COLUMN, ExpectedTable

SEVERAL_PAIRS: tuple[str, ...] = ("base_bqx", "base_idx", "tmp")
"""Kinds whose tables hold another pair's rows as well: readers must filter."""
ALL_NULL: tuple[tuple[str, str], ...] = (("corr_etf_idx", "ewa"), ("corr_etf_idx", "ewg"))
"""Two tables a pair, by prefix and instrument, without a single value: 16 columns, identifiers included. The users know
two such tables of this kind and keep them; of the instruments that their report names these are the first two."""

_MISSING_TABLES, _EXTRA_TABLES, _UNSORTED_TABLES = 0.12, 0.12, 0.08
"""Shares of the tables; the rest have exactly their clock's rows, in order."""
_MISSING_ROWS = 0.001
_EXTRA_ROWS = 12


def as_stored(
    frame: pl.DataFrame, table: ExpectedTable, pair: Pair | None, seed: int, *, quirks: bool = True
) -> pl.DataFrame:
    """Return a computed frame as its table holds it: ``pair`` column where the grammar has one, then its quirk if any.

    **Shape**: key, ``pair`` if any, the features; the same ``seed`` and table name give the same rows. Without
    ``quirks`` the rows and values of ``frame``.
    """
    rng = np.random.default_rng([seed, 3, crc32(table.table.encode())])
    empty = [f"{prefix}_{pair}_{instrument}" for prefix, instrument in ALL_NULL]
    if quirks and table.table in empty:
        frame = frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in frame.schema.items() if name != KEY)
    if PAIR_COLUMN in table.keys and pair is not None:
        frame = frame.select(KEY, pl.lit(pair.name).alias(PAIR_COLUMN), pl.all().exclude(KEY))
    if not quirks:
        return frame
    draw = rng.random()
    if draw < _MISSING_TABLES:
        gone = rng.choice(frame.height, max(1, round(frame.height * _MISSING_ROWS)), replace=False)
        return frame[np.setdiff1d(np.arange(frame.height), gone)]
    if draw < _MISSING_TABLES + _EXTRA_TABLES:
        return _with_extra_rows(frame, rng)
    if draw < _MISSING_TABLES + _EXTRA_TABLES + _UNSORTED_TABLES:
        half = frame.height // 2
        return pl.concat([frame[half:], frame[:half]])
    return frame


def with_other_pair(own: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of both, by time, as a table clustered by pair delivers them."""
    return pl.concat([own, other]).sort(KEY, maintain_order=True)


def _with_extra_rows(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Rows before the first bar, after the last and in gaps, each with the values of the bar before it."""
    times = frame.get_column(KEY).to_physical().to_numpy()
    steps = np.diff(times)
    bar = int(steps.min())
    gaps = np.flatnonzero(steps > bar)
    inside = np.sort(rng.choice(gaps, min(_EXTRA_ROWS, gaps.size), replace=False)) if gaps.size else gaps
    before = np.arange(int(rng.integers(1, _EXTRA_ROWS)), 0, -1)
    after = np.arange(1, int(rng.integers(2, _EXTRA_ROWS)))
    rows = np.concatenate([np.zeros(before.size, np.int64), inside, np.full(after.size, frame.height - 1)])
    moments = np.concatenate([times[0] - before * bar, times[inside] + bar, times[-1] + after * bar])
    extra = frame[rows].with_columns(pl.Series(KEY, moments).cast(frame.schema[KEY]))
    return pl.concat([frame, extra]).sort(KEY, maintain_order=True)
