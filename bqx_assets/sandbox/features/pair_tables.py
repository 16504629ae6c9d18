"""A pair's own 256 feature tables and its targets table, computed from the market.

A pair is compared with another pair (``cov_*``) or with an instrument (``corr_*``) on the rows that both have. On all
rows, one missing minute of the other series would make every window that contains it unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.errors import TableMissing
from bqx_assets.base.names import KEY, target_name
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.families import PAIR_COLUMN, ExpectedTable
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.frames import Column, frame, time_series
from bqx_assets.sandbox.features.own_bars import (
    base_bqx,
    base_idx,
    calendar,
    lagged_bars,
    lagged_bqx,
    regimes,
    tercile_code,
)
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import WINDOWS, Variant, bqx, source_of
from bqx_assets.sandbox.market.bars import Bars, Floats, Integers, Lack, Market

Columns = Mapping[str, Column]

FAMILIES = ("pair_specific",)
"""The families whose tables are computed here."""
_PAIR_NAMES = frozenset(pair.name for pair in ALL_PAIRS)


def uncomputable(market: Market, table: ExpectedTable) -> Lack | None:
    """Return why a pair-specific table cannot be computed from the market; None if it can.

    The reason is a pair without bars (with the market's own reason) or an instrument without bars.
    """
    for name in _members(table):
        if name in _PAIR_NAMES and name not in market.pairs:
            return market.missing.get(name, Lack("no bars of", (name,)))
        if name not in _PAIR_NAMES and name not in market.instruments:
            return Lack("no bars of instrument", (name,))
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
            raise TableMissing(
                table.table, got=str(reason), expected="bars", cure="Give its rates, or leave the table out."
            )
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


@dataclass(frozen=True, slots=True)
class Joint:
    """The times that two series share: their positions in the pair's own bars and in the other's, ascending."""

    own: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]
    rows: int
    """Number of the pair's own bars."""

    def spread(self, features: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return features of the shared rows on all of the pair's own rows, NaN where the row is not shared."""
        found: dict[str, Floats] = {}
        for name, values in features.items():
            found[name] = np.full(self.rows, np.nan)
            found[name][self.own] = values
        return found


def joint_rows(own: Integers, other: Integers) -> Joint:
    """Return the rows whose times are in both series; times are unique and ascending."""
    place = np.searchsorted(other, own)
    place[place == len(other)] = 0
    shared = np.flatnonzero(other[place] == own) if len(other) else np.empty(0, dtype=np.intp)
    return Joint(shared, place[shared], len(own))


_LAGS = (1, 2, 3, 5, 10, 15, 30, 45, 60)
_SIGNAL_DEVIATIONS = 1.5
_COMPARED = {
    "agg": ("agg", "agg_mean_45"),
    "align": ("align", "zscore_45"),
    "mom": ("mom", "mom_roc_45"),
    "reg": ("reg", "reg_trend_str_45"),
    "regime": ("vol", "vol_range_pct_45"),
    "vol": ("vol", "vol_realized_45"),
}


@dataclass(frozen=True, slots=True)
class Compared:
    """The values of one pair that a table compares, on the rows of its bars."""

    values: Floats
    state: Floats
    """The side of its 45-row mean on which the value is (-1, 0, 1), or for regimes its tercile (0, 1, 2)."""

    def take(self, rows: npt.NDArray[np.intp]) -> Compared:
        """Return the same on the given rows."""
        return Compared(self.values[rows], self.state[rows])


def compared_value(kind: str, variant: Variant, bars: Bars) -> Compared:
    """Return the values that tables ``cov_{kind}`` compare: a feature of 45 rows, or for ``lag`` the series itself.

    The momentum of BQX is a difference: BQX crosses zero, where a percentage of it has no meaning.
    """
    source = source_of(bars, variant)
    if kind == "lag":
        return Compared(source.values, source.values)
    family, column = _COMPARED[kind]
    if kind == "mom" and source.percent:
        column = "mom_diff_45"
    values = series_features(family, source, (column,))[column]
    return Compared(values, tercile_code(values) if kind == "regime" else np.sign(values - rolling.mean(values, 45)))


def compare(kind: str, first: Compared, second: Compared) -> dict[str, Floats]:
    """Return the comparison of two pairs on the rows that both have; windows count these rows.

    ``spread`` is first minus second; ``spread_zscore`` its distance from ``spread_ma_45``, divided by
    ``spread_std_45``; ``mean_reversion_signal`` is -1 above a z-score of 1.5, 1 below -1.5, else 0;
    ``sign_agreement`` is 1 where both are on the same side of their own means, ``regime_agreement`` 1 where both are in
    the same tercile; ``rolling_agreement_45`` is the mean of the agreement over 45 rows.
    """
    spread = first.values - second.values
    found = {
        "ratio": rolling.ratio(first.values, second.values),
        "spread": spread,
        "val1": first.values,
        "val2": second.values,
    }
    if kind == "lag":
        return found | {f"spread_lag_{rows}": rolling.lag(spread, rows) for rows in _LAGS}
    mean, deviation = rolling.mean(spread, 45), rolling.deviation(spread, 45)
    zscore = rolling.ratio(spread - mean, deviation)
    agreement = rolling.flag(first.state == second.state, first.state, second.state)
    return found | {
        "spread_ma_45": mean,
        "spread_ma_180": rolling.mean(spread, 180),
        "spread_std_45": deviation,
        "spread_zscore": zscore,
        "mean_reversion_signal": np.where(np.abs(zscore) > _SIGNAL_DEVIATIONS, -np.sign(zscore), 0.0 * zscore),
        "regime_agreement" if kind == "regime" else "sign_agreement": agreement,
        "rolling_agreement_45": rolling.mean(agreement, 45),
    }


_VOLATILITY_ROWS = 60


def instrument_bqx(times: Integers, instrument: Bars) -> dict[str, Floats]:
    """Return the instrument's ``bqx_w`` at ``times``, NaN where it has no bar.

    Windows count ``times``, and the instrument's last close is carried forward to times without a bar: an exchange that
    is open for a quarter of the day would need eleven days for 2,880 bars of its own.
    """
    newest = np.searchsorted(instrument.times, times, side="right") - 1
    carried = np.append(instrument.close, np.nan)[newest]
    traded = np.append(instrument.times, -1)[newest] == times
    return {f"bqx_{window}": np.where(traded, bqx(carried, window), np.nan) for window in WINDOWS}


def correlate(pair: Floats, instrument: Floats, *, levels: bool) -> dict[str, Floats]:
    """Return correlation and covariance of two indices, on the rows that both have.

    They are those of the levels with ``levels`` (the ``etf_idx`` tables), else those of the one-row returns. The
    volatilities are the deviations of the returns in both cases. **Units**: index points and percent; the minutes in
    the names count rows.
    """
    one, other = rolling.growth(pair, 1), rolling.growth(instrument, 1)
    first, second = (pair, instrument) if levels else (one, other)
    return {
        **{f"corr_{rows}min": rolling.correlation(first, second, rows) for rows in (30, 60, 90)},
        "covar_60min": rolling.covariance(first, second, _VOLATILITY_ROWS),
        "fx_volatility_60min": rolling.deviation(one, _VOLATILITY_ROWS),
        "ibkr_volatility_60min": rolling.deviation(other, _VOLATILITY_ROWS),
    }
