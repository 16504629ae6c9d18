"""A pair's own 256 feature tables and its targets table, computed from the market."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import polars as pl

from bqx_assets.base.errors import TableMissing
from bqx_assets.base.names import KEY, target_name
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.families import PAIR_COLUMN, ExpectedTable
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.sandbox.features.comparisons import (
    Compared,
    compare,
    compared_value,
    correlate,
    instrument_bqx,
    joint_rows,
)
from bqx_assets.sandbox.features.frames import Column, frame, time_series
from bqx_assets.sandbox.features.own_bars import base_bqx, base_idx, calendar, lagged_bars, lagged_bqx, regimes
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import Variant, bqx, source_of
from bqx_assets.sandbox.market.bars import Bars, Market

Columns = Mapping[str, Column]

FAMILIES = ("pair_specific",)
"""The families whose tables are computed here."""
_PAIR_NAMES = frozenset(pair.name for pair in ALL_PAIRS)


def uncomputable(market: Market, table: ExpectedTable) -> str | None:
    """Return why a pair-specific table cannot be computed from the market; None if it can.

    The reason is a pair without bars (with the market's own reason) or an instrument without bars.
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
    """Yield the pair's tables in the given order, each computed when the caller asks for it.

    **Shape**: a row for each bar of the pair, ascending; ``interval_time``, then the grammar's columns in its order and
    types; null where a window is not full, a peer or an instrument has no bar, or the feature is undefined.

    **Cost**: two copies of one table at a time, and two arrays for each of the 13 kinds in which a pair is compared.

    Raises:
        TableMissing: :func:`uncomputable` gives a reason for one of the tables.
    """
    compared: dict[str, Compared] = {}
    for table in tables:
        reason = uncomputable(market, table)
        if reason is not None:
            raise TableMissing(table.table, got=reason, expected="bars", cure="Give its rates, or leave the table out.")
        bars = market.pairs[pair.name]
        yield table, frame(table, bars.times, dict(_features(market, pair, table, compared)))


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
    return calendar(time_series(bars.times)).to_dict()


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


def _members(table: ExpectedTable) -> tuple[str, ...]:
    """Return the pairs and the instrument in a table's name, in the order of the name."""
    words = table.table.removeprefix(f"{table.kind}_").split("_")
    return tuple(word for word in words if not word.lstrip("w").isdigit())


def _window(table: ExpectedTable) -> int:
    return int(table.table.rpartition("_")[2].lstrip("w"))


def targets_frame(
    bars: Bars, pair: Pair, windows: Sequence[int], horizons: Sequence[int], *, whole: bool = False
) -> pl.DataFrame:
    """Return ``interval_time``, ``pair``, ``bqx_{w}`` and ``target_bqx{w}_h{h}[t] = bqx_w[t + h]``.

    **Shape**: a row for each bar that has a BQX of the shortest window, as in the users' tables: 45 fewer rows than
    bars. With ``whole`` a row for each bar: the first target is known 15 bars before the first BQX. Null where a window
    or horizon reaches beyond the bars. **Units**: percent.
    """
    first = 0 if whole else min(windows)
    series = {window: bqx(bars.close, window) for window in windows}
    columns = {f"bqx_{window}": values for window, values in series.items()}
    for window, values in series.items():
        for horizon in horizons:
            later = np.full(bars.rows, np.nan)
            later[: max(0, bars.rows - horizon)] = values[horizon:]
            columns[target_name(window, horizon)] = later
    frame = pl.DataFrame({KEY: bars.times} | columns)
    return frame.select(
        pl.col(KEY).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(KEY_TYPE),
        pl.lit(pair.name).alias(PAIR_COLUMN),
        pl.all().exclude(KEY).fill_nan(None),
    )[first:]
