"""A pair's own 256 feature tables, computed from the market.

Belongs here: which formulas a table of the grammar needs, and its frame. Does not: the formulas, files, shared tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import polars as pl

from bqx_assets.base.errors import TableMissing
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features.base import base_bqx, base_idx
from bqx_assets.sandbox.features.calendar import calendar
from bqx_assets.sandbox.features.instruments import correlate, instrument_bqx
from bqx_assets.sandbox.features.joint import joint_rows
from bqx_assets.sandbox.features.lags import lagged_bars, lagged_bqx, regimes
from bqx_assets.sandbox.features.peers import Compared, compare, compared_value
from bqx_assets.sandbox.features.series import Variant, series_features, source_of
from bqx_assets.sandbox.market import Bars, Floats, Market

Column = Floats | pl.Series | str
Columns = Mapping[str, Column]

_PAIR_NAMES = frozenset(pair.name for pair in ALL_PAIRS)
_TYPES: dict[str, type[pl.DataType]] = {
    "FLOAT64": pl.Float64,
    "INT64": pl.Int64,
    "STRING": pl.String,
    "BOOL": pl.Boolean,
}


def uncomputable(market: Market, table: ExpectedTable) -> str | None:
    """Return why the market cannot give a pair-specific table; None when it can.

    A pair or peer pair without bars, for the market's own reason, or an instrument without bars.
    """
    for name in _members(table):
        if name in _PAIR_NAMES and name not in market.pairs:
            return market.missing.get(name, f"no bars of {name}")
        if name not in _PAIR_NAMES and name not in market.instruments:
            return f"no bars of instrument {name}"
    return None


def compute_pair_tables(
    market: Market, pair: Pair, tables: Sequence[ExpectedTable]
) -> Iterator[tuple[ExpectedTable, pl.DataFrame]]:
    """Yield the pair's tables in the order given, each computed when it is asked for.

    **Shape**: a row a bar of the pair, ascending; ``interval_time``, then the grammar's columns in its order and types;
    null where a window is not full, a peer or an instrument has no bar, or the feature is undefined.

    **Cost**: two copies of one table at a time, and two arrays for each of the 13 kinds in which a pair is compared.

    Raises:
        TableMissing: for a table that :func:`uncomputable` gives a reason against.
    """
    compared: dict[str, Compared] = {}
    for table in tables:
        reason = uncomputable(market, table)
        if reason is not None:
            raise TableMissing(table.table, got=reason, expected="bars", cure="Give its rates, or leave the table out.")
        bars = market.pairs[pair.name]
        yield table, _frame(bars, table, dict(_features(market, pair, table, compared)))


def _features(market: Market, pair: Pair, table: ExpectedTable, compared: dict[str, Compared]) -> Columns:
    kind, _, variant = table.kind.partition("_")
    if kind == "cov":
        return _peer_features(market, pair, table, compared)
    if kind == "corr":
        return _instrument_features(market, pair, table)
    return _OWN.get(kind, _series_features)(market.pairs[pair.name], table, cast("Variant", variant))


def _series_features(bars: Bars, table: ExpectedTable, variant: Variant) -> Columns:
    source = source_of(bars, variant)
    names = [name for name, _ in table.columns if name != "source_value"]
    return {**series_features(table.kind.partition("_")[0], source, names), "source_value": source.values}


def _base_features(bars: Bars, _table: ExpectedTable, variant: Variant) -> Columns:
    return base_bqx(bars) if variant == "bqx" else base_idx(bars)


def _lag_features(bars: Bars, table: ExpectedTable, variant: Variant) -> Columns:
    source = source_of(bars, variant)
    return lagged_bqx(source, _window(table)) if source.percent else lagged_bars(bars, source, _window(table))


def _regime_features(bars: Bars, table: ExpectedTable, variant: Variant) -> Columns:
    return regimes(source_of(bars, variant), _window(table))


def _calendar_features(bars: Bars, _table: ExpectedTable, _variant: Variant) -> Columns:
    return calendar(_times(bars)).to_dict()


_OWN: dict[str, Callable[[Bars, ExpectedTable, Variant], Columns]] = {
    "base": _base_features,
    "lag": _lag_features,
    "regime": _regime_features,
    "tmp": _calendar_features,
}


def _peer_features(market: Market, pair: Pair, table: ExpectedTable, compared: dict[str, Compared]) -> Columns:
    _, kind, *rest = table.kind.split("_")
    variant = cast("Variant", "".join(rest))
    first, second = _members(table)
    peer = second if first == pair.name else first
    bars, other = market.pairs[pair.name], market.pairs[peer]
    if table.kind not in compared:
        compared[table.kind] = compared_value(kind, variant, bars)
    joint = joint_rows(bars.times, other.times)
    own, their = compared[table.kind].take(joint.own), compared_value(kind, variant, other).take(joint.other)
    found = compare(kind, own, their) if first == pair.name else compare(kind, their, own)
    return {**joint.spread(found), "pair1": first, "pair2": second}


def _instrument_features(market: Market, pair: Pair, table: ExpectedTable) -> Columns:
    _, name = _members(table)
    bars, instrument = market.pairs[pair.name], market.instruments[name]
    if "bqx" in table.kind:
        return instrument_bqx(bars.times, instrument)
    joint = joint_rows(bars.times, instrument.times)
    own, other = source_of(bars, "idx").values[joint.own], source_of(instrument, "idx").values[joint.other]
    found = correlate(own, other, levels=table.kind == "corr_etf_idx")
    return {**joint.spread(found), "fx_pair": pair.name, "ibkr_instrument": name}


def _frame(bars: Bars, table: ExpectedTable, features: dict[str, Column]) -> pl.DataFrame:
    """The grammar's columns, typed; whatever is no number is null."""
    # Popped, so that a wide table is not held twice: 330 MB for reg at 178,000 rows.
    columns = [_series(name, features.pop(name), bars.rows).cast(_TYPES[kind]) for name, kind in table.columns]
    return pl.DataFrame([_times(bars), *columns])


def _series(name: str, values: Column, rows: int) -> pl.Series:
    if isinstance(values, str):
        return pl.Series(name, [values]).new_from_index(0, rows)
    if isinstance(values, pl.Series):
        return values.rename(name)
    return pl.Series(name, np.where(np.isfinite(values), values, np.nan), nan_to_null=True)


def _times(bars: Bars) -> pl.Series:
    return pl.Series(KEY, bars.times).cast(pl.Datetime("us", "UTC"))


def _members(table: ExpectedTable) -> tuple[str, ...]:
    """The pairs, and the instrument, that a table is computed from, in its name's order."""
    words = table.table.removeprefix(f"{table.kind}_").split("_")
    return tuple(word for word in words if not word.lstrip("w").isdigit())


def _window(table: ExpectedTable) -> int:
    return int(table.table.rpartition("_")[2].lstrip("w"))
