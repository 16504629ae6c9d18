"""Gives computed tables the oddities of the users' tables: gaps, surplus rows, rows of other pairs, tables of no pair.

``as_stored`` adds the quirks that any embedded warehouse has, ``with_known_gaps`` the gaps that the users reported, and
``stray_tables`` makes the tables that lie in their datasets and are no features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.families import FEATURES_DATASET, PAIR_COLUMN, TARGETS_DATASET, ExpectedTable
from bqx_assets.sandbox.selection import Selection
from bqx_assets.sandbox.table_files import by_month

SEVERAL_PAIRS: tuple[str, ...] = ("base_bqx", "base_idx", "tmp")
"""Kinds of tables that also hold rows of another pair, so that readers must filter."""
ALL_NULL: tuple[tuple[str, str], ...] = (("corr_etf_idx", "ewa"), ("corr_etf_idx", "ewg"))
"""Prefix and instrument of the two tables of each pair that have no values, identifiers included (16 columns). The
users know of two such tables and keep them; their report does not say which, so these are the first two instruments
that it names."""

_MISSING_TABLES, _EXTRA_TABLES, _UNSORTED_TABLES = 0.12, 0.12, 0.08
"""Shares of the tables with each quirk; all other tables have exactly their clock's rows, in order."""
_MISSING_STEPS = (500, 1_500)
"""Least and greatest distance of two missing rows."""
_FIRST_MISSING = 64
"""The first missing row is one of so many, which small tables have too."""
_EXTRA_ROWS = 12


def as_stored(
    frame: pl.DataFrame, table: ExpectedTable, pair: Pair | None, seed: int, *, quirks: bool = True
) -> pl.DataFrame:
    """Return a computed frame as its table holds it: with a ``pair`` column if the grammar has one, and a quirk if any.

    **Shape**: key, ``pair`` if any, the features. The same ``seed`` and table name give the same rows, and rows that
    come later leave them as they are. Without ``quirks`` the rows and values are those of ``frame``.
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
        return _without_rows(frame, rng)
    if draw < _MISSING_TABLES + _EXTRA_TABLES:
        return _with_extra_rows(frame, rng)
    if draw < _MISSING_TABLES + _EXTRA_TABLES + _UNSORTED_TABLES:
        return pl.concat(_halves_swapped(month) for month in by_month(frame))
    return frame


def with_other_pair(own: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of both frames sorted by time, as a table clustered by pair delivers them."""
    return pl.concat([own, other]).sort(KEY, maintain_order=True)


def _without_rows(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    least, greatest = _MISSING_STEPS
    first = int(rng.integers(0, _FIRST_MISSING))
    gone = first + np.append(0, np.cumsum(rng.integers(least, greatest, frame.height // least)))
    return frame[np.setdiff1d(np.arange(frame.height), gone)]


def _with_extra_rows(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the frame with rows added before the first bar and in the first gaps."""
    times = frame.get_column(KEY).to_physical().to_numpy()
    steps = np.diff(times)
    bar = int(steps.min())
    before = np.arange(int(rng.integers(1, _EXTRA_ROWS)), 0, -1)
    inside = np.flatnonzero(steps > bar)[:_EXTRA_ROWS]
    rows = np.concatenate([np.zeros(before.size, np.int64), inside])
    moments = np.concatenate([times[0] - before * bar, times[inside] + bar])
    extra = frame[rows].with_columns(pl.Series(KEY, moments).cast(frame.schema[KEY]))
    return pl.concat([frame, extra]).sort(KEY, maintain_order=True)


def _halves_swapped(rows: pl.DataFrame) -> pl.DataFrame:
    half = rows.height // 2
    return pl.concat([rows[half:], rows[:half]])


_MINUTES = 2_164_285
"""Rows of a complete table in the users' report."""
_ETF_ROWS = {
    "ewa": 928_724,
    "ewg": 990_966,
    "ewj": 1_067_160,
    "ewu": 990_966,
    "gld": 1_190_996,
    "spy": 1_201_524,
    "uup": 1_037_017,
    "vix": 998_129,
}
"""Rows of each instrument's tables in the users' report. ewu was not counted: it has those of ewg, also European."""
_MISSING = {"tri": (0.04, 0.11), "cov": (0.01, 0.10)}
"""Least and greatest share of the rows that a table of the family lacks."""
_NULLS = {"tri": 0.2408, "cov": 0.1038, "mkt": 0.0818, "var": 0.0753, "csi": 0.0190}
"""Share of nulls in a family, missing rows included. That of corr follows from its rows and two empty tables."""
_ABSENT = 13
"""Number of cov_* tables, of all pairs, that do not exist."""


def with_known_gaps(frame: pl.DataFrame, table: ExpectedTable, seed: int) -> pl.DataFrame:
    """Return a computed frame without the rows and values that the users' table of its name lacks.

    **Shape**: the same columns, fewer rows; the same ``seed`` and name give the same rows, and rows that come later
    leave them as they are.
    """
    rng, rows_rng, values_rng = np.random.default_rng([seed, 4, crc32(table.table.encode())]).spawn(3)
    family = table.table.partition("_")[0]
    missing = 0.0
    if family == "corr":
        missing = 1 - _ETF_ROWS[table.table.rpartition("_")[2]] / _MINUTES
    elif family in _MISSING:
        missing = float(rng.uniform(*_MISSING[family]))
    kept = frame.filter(pl.Series(rows_rng.random(frame.height) >= missing))
    empty = max(0.0, (_NULLS.get(family, 0.0) - missing) / (1 - missing))
    known = pl.Series(values_rng.random(kept.height) >= empty)
    return kept.with_columns(pl.when(known).then(pl.all().exclude(KEY, PAIR_COLUMN)))


def without_absent(selection: Selection) -> Selection:
    """Return the selection without the ``cov_*`` tables that the users lack, but at most half of those selected."""
    cov = sorted((name for name in selection.made if name.startswith("cov_")), key=lambda name: crc32(name.encode()))
    gone = {*cov[: min(_ABSENT, len(cov) // 2)]}
    return replace(selection, made={name: each for name, each in selection.made.items() if name not in gone})


_STRAY_TARGETS = 7
"""Number of targets in the users' stray table, which is from a time when only one window had targets."""


def stray_targets(targets: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of one pair's targets that the stray table of all pairs holds."""
    names = [name for name in targets.columns if name.startswith("target_")][:_STRAY_TARGETS]
    return targets.select(KEY, PAIR_COLUMN, *names)


def stray_tables(
    tables: Iterable[ExpectedTable], targets: Sequence[pl.DataFrame]
) -> dict[tuple[str, str], pl.DataFrame]:
    """Return tables that lie among the features without being any, by (dataset, table).

    These are two ``mkt_*_summary`` tables without ``interval_time``, which discovery must leave out (an extraction once
    hung at table 620 of 669, waiting for their rows), and ``targets_all_fixed`` with the :func:`stray_targets` of each
    pair.
    """
    market = [table for table in tables if table.family == "market_wide"]
    summaries = {
        (FEATURES_DATASET, f"mkt_{topic}_summary"): pl.DataFrame(
            {
                "table_name": [each.table for each in market if topic in each.table],
                "feature_columns": [len(each.columns) for each in market if topic in each.table],
            },
            schema={"table_name": pl.String, "feature_columns": pl.Int64},
        )
        for topic in ("regime", "vol")
    }
    return summaries | {(TARGETS_DATASET, "targets_all_fixed"): pl.concat(targets)}
