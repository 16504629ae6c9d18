"""A pair compared with another pair (cov) or with an instrument (corr), on the rows that both have.

On all rows, one missing minute of the other series would make every window that contains it unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.own_bars import tercile_code
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import WINDOWS, Variant, bqx, source_of
from bqx_assets.sandbox.market.bars import Bars, Floats, Integers


@dataclass(frozen=True, slots=True)
class Joint:
    """Positions of the times that both have, in the pair's own bars and in the other's, ascending."""

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
