"""A pair beside a peer that shares a currency: cov.

Belongs here: which feature of the two is compared, and the comparison. Does not: tables, instruments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.lags import tercile_code
from bqx_assets.sandbox.features.series import Variant, series_features, source_of
from bqx_assets.sandbox.market import Bars, Floats

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
    """What a table compares of one pair, on the rows of its bars."""

    values: Floats
    state: Floats
    """The side of its own 45-row mean on which the value stands (-1, 0, 1), or for regimes its tercile (0, 1, 2)."""

    def take(self, rows: npt.NDArray[np.intp]) -> Compared:
        """Return the same on some of the rows."""
        return Compared(self.values[rows], self.state[rows])


def compared_value(kind: str, variant: Variant, bars: Bars) -> Compared:
    """Return what tables ``cov_{kind}`` compare: a feature of 45 rows, or for ``lag`` the series itself.

    BQX crosses zero, where a percentage of it says nothing: its momentum is the difference.
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
    """Return the comparison of two pairs on the rows that both have; its windows count these.

    ``spread`` is first less second; ``spread_zscore`` its distance from ``spread_ma_45`` in ``spread_std_45``;
    ``mean_reversion_signal`` -1 above 1.5 of them, 1 below -1.5, else 0; ``sign_agreement`` 1 where both stand on the
    same side of their own means, ``regime_agreement`` 1 where both are in the same tercile, ``rolling_agreement_45``
    the mean of that.
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
