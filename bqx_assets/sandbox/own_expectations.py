"""Writes the expectations of one embedded warehouse: numbers and names that differ from the packaged expectations.

They are measured on each table while it is made, before any fault can be injected: what correct data leave empty
follows from how the features' code computes each column on this market's bars.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from bqx_assets.base.names import KEY, output_column, table_prefix, target_name
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.catalogue.toml_text import assignment
from bqx_assets.extract.align import KEY_TYPE, as_key, match_rows
from bqx_assets.extract.embedded_layout import WarehouseSpec
from bqx_assets.sandbox.market.bars import Bars, Market
from bqx_assets.sandbox.selection import Selection

_USUAL_MISSING = 0.01
"""Share of the spine's rows that any table may lack, as in the packaged expectations: a quirk removes one in 1,000."""

_RANGE_SHARE = 0.01
"""Added to the share of nulls: in a part of the history the share may be larger than in the whole."""

_PIECE_CELLS = 1 << 22
"""Number of values that are put on a spine at once, 32 MB: a whole table would be held twice."""


@dataclass(frozen=True, slots=True)
class OnSpine:
    """The missing rows, nulls and constant columns of a table on one pair's spine, measured when it was made."""

    table: str
    pair: str
    rows: int
    """Rows of the spine."""
    missing: int
    nulls: Mapping[str, int]
    """Number of nulls by column name of the training file, without columns that look into the future."""
    constant: tuple[str, ...]
    """Columns that have only one value besides nulls."""


def spine_keys(bars: Bars, facts: Expectations, *, whole: bool = False) -> pl.Series:
    """Return the rows whose shortest target is known: from the first BQX to the last bar that has the shortest horizon.

    With ``whole`` (see ``targets_frame``) they start at the first bar with a known target.
    """
    head = _head(facts, whole=whole)
    return pl.Series(KEY, bars.times[head : max(head, bars.rows - min(facts.horizons))]).cast(KEY_TYPE)


def _head(facts: Expectations, *, whole: bool) -> int:
    """Return the number of bars before the spine's first row."""
    return max(0, min(facts.windows) - min(facts.horizons)) if whole else min(facts.windows)


def least_bars(facts: Expectations, *, whole: bool) -> int:
    """Return the least number of bars whose spine has a row and the row one shortest horizon later."""
    return _head(facts, whole=whole) + 2 * min(facts.horizons) + 1


def on_spine(stored: pl.DataFrame, table: ExpectedTable, pair: Pair, spine: pl.Series) -> OnSpine:
    """Return what a stored table (only ``pair``'s rows) contributes to that pair's training file.

    **Cost**: a copy of some columns on the spine's rows, and three passes over each.
    """
    placed = match_rows(as_key(stored, table.table), spine, subject=table.table, policy="refuse", part=True)
    names = [name for name, _ in table.columns if not name.lower().startswith(FORWARD_PREFIX)]
    prefix = table_prefix(table.table, pair)
    nulls: dict[str, int] = {}
    constant: list[str] = []
    together = max(1, _PIECE_CELLS // max(1, spine.len()))
    for start in range(0, len(names), together):
        for column in placed.apply(stored.select(names[start : start + together])):
            nulls[output_column(prefix, column.name)] = column.null_count()
            if column.null_count() < column.len() and column.min() == column.max():
                constant.append(output_column(prefix, column.name))
    return OnSpine(
        table=table.table,
        pair=pair.name,
        rows=spine.len(),
        missing=placed.rows.missing,
        nulls=nulls,
        constant=tuple(constant),
    )


def readers(table: ExpectedTable, pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs whose training file has the table: those in its name, or all pairs if the table is shared."""
    return [pair for pair in pairs if table.shared or pair.name in table.table.split("_")]


def own_expectations(
    made: WarehouseSpec, pairs: Sequence[Pair], market: Market, selection: Selection, found: Sequence[OnSpine]
) -> str:
    """Return the text of the warehouse's ``expectations.toml``; ``found`` holds each table on each of its spines."""
    facts = load_expectations()
    whole = not made.quirks
    head = _head(facts, whole=whole)
    spines = [spine_keys(market.pairs[pair.name], facts, whole=whole).len() for pair in pairs]
    tables = [[each for each in expected_tables(pair) if each.table in selection.made] for pair in pairs]
    if made.known_gaps:
        return _sizes(made, spines, tables, selection)
    every = {name for each in found for name in each.nulls}
    empty = {name for each in found for name, nulls in each.nulls.items() if nulls == each.rows}
    constant = {name for each in found for name in each.constant}
    lines = [
        f"# What differs in this warehouse: {', '.join(made.pairs)}; {made.rows:,} bars per pair; "
        f"{'simulated rates' if made.rates is None else 'rates of the file with SHA-256 ' + made.rates}.",
        f"# The spine starts at bar {head} (counted from 0) and ends at the last one that has the shortest horizon.",
        assignment("min_rows", max(1, min(spines))),
        "# Key, targets and features, without columns whose names say that they look into the future.",
        assignment("min_columns", min(_columns(each, facts) for each in tables)),
        *_null_lines(found),
        assignment(
            "allowed_constant",
            [*facts.allowed_constant, *_targets(facts, head, spines, 1), *_patterns(constant, every)],
        ),
        assignment(
            "allowed_all_null",
            [*_targets(facts, head, spines, 0), *_patterns(empty, every)],
        ),
        "# Every table and column without values is named above; no number allows others.",
        assignment("max_all_null_columns", {}),
        assignment("max_absent_tables", {}),
        "",
        "[max_missing_fraction]",
        *(assignment(name, share) for name, share in (_missing(found) | {"*": _USUAL_MISSING}).items()),
        "",
        "[known_absent]",
        *(assignment(name, str(lack)) for name, lack in selection.absent.items()),
    ]
    return "\n".join(lines) + "\n"


def _null_lines(found: Sequence[OnSpine]) -> list[str]:
    return [
        "# Measured on these bars: windows that are not full, peers and instruments without a bar, undefined values",
        f"# (a ratio to zero) and missing rows of tables; plus {_RANGE_SHARE:.0%}, for a part of the bars.",
        assignment("max_feature_null_fraction", _round_up(_feature_nulls(found) + _RANGE_SHARE)),
        "# A target lacks values only where its window or horizon reaches beyond the bars.",
        assignment("max_target_null_fraction", 0.0001),
    ]


def _sizes(
    made: WarehouseSpec, spines: Sequence[int], tables: Sequence[Sequence[ExpectedTable]], selection: Selection
) -> str:
    """Return the text for a warehouse with known gaps, which differs from the packaged expectations only by its size.

    They hold where windows are full. In the first bars long windows are empty, and a small warehouse has little else.
    """
    lines = [
        f"# A small warehouse with the users' known gaps: {', '.join(made.pairs)}; {made.rows:,} bars per pair.",
        "# Only the size differs from the packaged expectations. Set BQX_START behind the first full long windows.",
        assignment("min_rows", max(1, min(spines) // 10)),
        assignment("min_columns", min(_columns(each, load_expectations()) for each in tables)),
        "",
        "[known_absent]",
        *(assignment(name, str(lack)) for name, lack in selection.absent.items()),
    ]
    return "\n".join(lines) + "\n"


def _columns(tables: Sequence[ExpectedTable], facts: Expectations) -> int:
    features = sum(not name.startswith(FORWARD_PREFIX) for table in tables for name, _ in table.columns)
    return 1 + len(facts.targets()) + features


def _feature_nulls(found: Sequence[OnSpine]) -> float:
    """Return the share of nulls over all features, for the pair with the largest share."""
    shares: list[float] = []
    for pair in {each.pair for each in found}:
        own = [each for each in found if each.pair == pair]
        cells = sum(each.rows * len(each.nulls) for each in own)
        shares.append(sum(sum(each.nulls.values()) for each in own) / max(1, cells))
    return max(shares, default=0.0)


def _targets(facts: Expectations, head: int, spines: Sequence[int], values: int) -> list[str]:
    """Return the targets that have ``values`` known values, 0 or 1, on one of the spines."""
    unknown = _unknown_targets(facts, head)
    return [name for name, nulls in unknown.items() if any(max(0, rows - nulls) == values for rows in spines)]


def _unknown_targets(facts: Expectations, head: int) -> dict[str, int]:
    """Return how many rows of a long spine lack each target: first rows by the window, last rows by the horizon."""
    first_horizon = min(facts.horizons)
    return {
        target_name(window, horizon): max(0, window - head - horizon) + horizon - first_horizon
        for window in facts.windows
        for horizon in facts.horizons
    }


def _missing(found: Sequence[OnSpine]) -> dict[str, float]:
    """Return the tables that lack more than half the usual share of a spine, each with its share plus the usual one."""
    shares: dict[str, float] = {}
    for each in found:
        share = each.missing / max(1, each.rows)
        if share > _USUAL_MISSING / 2:
            shares[each.table] = max(shares.get(each.table, 0.0), _round_up(share + _USUAL_MISSING))
    return dict(sorted(shares.items()))


def _patterns(names: Collection[str], every: Collection[str]) -> Iterator[str]:
    """Yield patterns that match ``names`` and no other of ``every``, one for a column name that all its tables have."""
    shared: dict[str, list[str]] = {}
    for name in sorted(every):
        shared.setdefault(name.partition("__")[2], []).append(name)
    for column, owners in shared.items():
        fitting = [name for name in owners if name in names]
        yield from [f"*__{column}"] if len(fitting) == len(owners) > 1 else fitting


def _round_up(share: float) -> float:
    """Return a limit just above the share, because a share must be below its limit."""
    return min(1.0, math.floor(share * 10_000 + 1) / 10_000)
