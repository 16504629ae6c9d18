"""What one embedded warehouse is expected to hold: the expectations file that lies in it.

Belongs here: the numbers and names in which it differs from the packaged expectations. What its right data leave empty
follows from how each column is computed: the features' code says it, on this market's bars, while a table is made and
before anybody can damage it. Does not: loading or comparing (``catalogue.expectations``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import FAMILIES, ExpectedTable, expected_tables
from bqx_assets.extract.align import KEY_TYPE, as_key, place
from bqx_assets.extract.embedded_layout import Made
from bqx_assets.sandbox.market import Bars, Market
from bqx_assets.sandbox.selection import Selection

_USUAL_MISSING = 0.01
"""Rows of the spine that any table may lack, as the packaged expectations say: a quirk takes one row in a thousand."""

_RANGE_SHARE = 0.01
"""A range holds more of the rows that lack something than the whole history does."""


@dataclass(frozen=True, slots=True)
class OnSpine:
    """What a table as it was made holds on one pair's spine."""

    table: str
    pair: str
    rows: int
    """Of the spine."""
    missing: int
    nulls: Mapping[str, int]
    """By the training file's column names, those that look forward left out."""
    constant: tuple[str, ...]
    """Columns of one value, nulls apart."""


def spine_keys(bars: Bars, facts: Expectations, *, whole: bool = False) -> pl.Series:
    """Return the rows whose shortest target is known: from the first BQX to the last bar that has a later one.

    With ``whole`` (see ``targets_frame``) from the first bar that has a later one.
    """
    head = _head(facts, whole=whole)
    return pl.Series(KEY, bars.times[head : max(head, bars.rows - min(facts.horizons))]).cast(KEY_TYPE)


def _head(facts: Expectations, *, whole: bool) -> int:
    """Bars before the spine's first row."""
    return max(0, min(facts.windows) - min(facts.horizons)) if whole else min(facts.windows)


def on_spine(stored: pl.DataFrame, table: ExpectedTable, pair: Pair, spine: pl.Series) -> OnSpine:
    """Return what a table as it lies in the warehouse, ``pair``'s rows only, gives to that pair's training file.

    **Cost**: a copy of the table on the spine's rows, and three passes over it.
    """
    placed = place(as_key(stored, table.table), spine, subject=table.table, policy="refuse", part=True)
    names = [name for name, _ in table.columns if not name.lower().startswith(FORWARD_PREFIX)]
    frame = placed.put(stored.select(names))
    prefix = table_prefix(table.table, pair)
    ends = frame.select(pl.all().min()), frame.select(pl.all().max())
    return OnSpine(
        table=table.table,
        pair=pair.name,
        rows=spine.len(),
        missing=placed.rows.missing,
        nulls={output_column(prefix, each.name): each.null_count() for each in frame},
        constant=tuple(output_column(prefix, name) for name in names if _same(*(end[name] for end in ends))),
    )


def _same(least: pl.Series, greatest: pl.Series) -> bool:
    return bool((least == greatest).fill_null(value=False).all())


def readers(table: ExpectedTable, pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs whose training file has the table: of a pair's own those in its name, of a shared one all."""
    return [pair for pair in pairs if table.family != FAMILIES[0] or pair.name in table.table.split("_")]


def own_expectations(
    made: Made, pairs: Sequence[Pair], market: Market, selection: Selection, found: Sequence[OnSpine]
) -> str:
    """Return the TOML text of the warehouse's ``expectations.toml``. ``found``: all tables on all their spines."""
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
        f"# What differs in this warehouse: {', '.join(made.pairs)}; {made.rows:,} bars a pair; "
        f"{'simulated rates' if made.rates is None else 'rates of the file with SHA-256 ' + made.rates}.",
        f"# A bar is on the spine from number {head} on, counted from 0, to the last one with its shortest horizon.",
        f"min_rows = {max(1, min(spines))}",
        "# Key, targets and features, without columns that look forward by name.",
        f"min_columns = {min(_columns(each, facts) for each in tables)}",
        *_null_lines(found),
        _list("allowed_constant", [*facts.allowed_constant, *_patterns(constant, every)]),
        _list(
            "allowed_all_null",
            [*_empty_targets(facts, spines, head), *_patterns(empty, every)],
        ),
        "# Each table and column without values is named: none is excused by a number.",
        "max_all_null_columns = {}",
        "max_absent_tables = {}",
        "",
        "[max_missing_fraction]",
        *(f"{name} = {share}" for name, share in _missing(found).items()),
        f'"*" = {_USUAL_MISSING}',
        "",
        "[known_absent]",
        *(f"{name} = {json.dumps(reason)}" for name, reason in selection.absent.items()),
    ]
    return "\n".join(lines) + "\n"


def _null_lines(found: Sequence[OnSpine]) -> list[str]:
    return [
        "# As the features' code left them on these bars: windows that are not full, peers and instruments without a "
        "bar,",
        f"# undefined values (a ratio to zero), and each table's missing rows; {_RANGE_SHARE:.0%} more, for a range of "
        "the bars.",
        f"max_feature_null_fraction = {_round_up(_feature_nulls(found) + _RANGE_SHARE)}",
        "# No target lacks a value but where its window or horizon reaches beyond the bars.",
        "max_target_null_fraction = 0.0001",
    ]


def _sizes(made: Made, spines: Sequence[int], tables: Sequence[Sequence[ExpectedTable]], selection: Selection) -> str:
    """What differs by size alone: in all else the warehouse is as the packaged expectations have it.

    Where windows are full: at the head of its bars long ones are empty, and a small warehouse is all head.
    """
    lines = [
        f"# A small warehouse with the users' known gaps: {', '.join(made.pairs)}; {made.rows:,} bars a pair.",
        "# Only its size differs from the packaged expectations; BQX_START after the longest windows leaves them full.",
        f"min_rows = {max(1, min(spines) // 10)}",
        f"min_columns = {min(_columns(each, load_expectations()) for each in tables)}",
        "",
        "[known_absent]",
        *(f"{name} = {json.dumps(reason)}" for name, reason in selection.absent.items()),
    ]
    return "\n".join(lines) + "\n"


def _columns(tables: Sequence[ExpectedTable], facts: Expectations) -> int:
    features = sum(not name.startswith(FORWARD_PREFIX) for table in tables for name, _ in table.columns)
    return 1 + len(facts.targets()) + features


def _feature_nulls(found: Sequence[OnSpine]) -> float:
    """The share of nulls over all features, of the pair that has most."""
    shares: list[float] = []
    for pair in {each.pair for each in found}:
        own = [each for each in found if each.pair == pair]
        cells = sum(each.rows * len(each.nulls) for each in own)
        shares.append(sum(sum(each.nulls.values()) for each in own) / max(1, cells))
    return max(shares, default=0.0)


def _empty_targets(facts: Expectations, spines: Sequence[int], head: int) -> list[str]:
    return [name for name, nulls in _unknown_targets(facts, head).items() if nulls >= min(spines)]


def _unknown_targets(facts: Expectations, head: int) -> dict[str, int]:
    """How many rows of a long spine lack each target: at the head while the window fills, at the tail by horizon."""
    first_horizon = min(facts.horizons)
    return {
        f"target_bqx{window}_h{horizon}": max(0, window - head - horizon) + horizon - first_horizon
        for window in facts.windows
        for horizon in facts.horizons
    }


def _missing(found: Sequence[OnSpine]) -> dict[str, float]:
    """Tables that lack more of a spine than any may, with that share and as much again as any may lack."""
    shares: dict[str, float] = {}
    for each in found:
        share = each.missing / max(1, each.rows)
        if share > _USUAL_MISSING / 2:
            shares[each.table] = max(shares.get(each.table, 0.0), _round_up(share + _USUAL_MISSING))
    return dict(sorted(shares.items()))


def _patterns(names: Collection[str], every: Collection[str]) -> Iterator[str]:
    """Yield patterns that fit ``names`` and no other of ``every``: a column that all its tables share as one."""
    shared: dict[str, list[str]] = {}
    for name in sorted(every):
        shared.setdefault(name.partition("__")[2], []).append(name)
    for column, owners in shared.items():
        fitting = [name for name in owners if name in names]
        yield from [f"*__{column}"] if len(fitting) == len(owners) > 1 else fitting


def _round_up(share: float) -> float:
    """Above the share, for a share is held to be less than its limit."""
    return min(1.0, math.floor(share * 10_000 + 1) / 10_000)


def _list(name: str, values: Iterable[str]) -> str:
    return f"{name} = [\n" + "".join(f"    {json.dumps(value)},\n" for value in values) + "]"
