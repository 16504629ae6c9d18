"""A pair beside a peer that shares a currency: cov.

Belongs here: which feature of the two is compared, and the comparison. Does not: tables, instruments.
"""

from __future__ import annotations

import numpy as np

from bqx_assets.extract.local.features import rolling
from bqx_assets.extract.local.features.lags import tercile_code
from bqx_assets.extract.local.features.series import Variant, series_features, source_of
from bqx_assets.extract.local.market import Bars, Floats

LAGS = (1, 2, 3, 5, 10, 15, 30, 45, 60)
_SIGNAL_DEVIATIONS = 1.5
_COMPARED = {
    "agg": ("agg", "agg_mean_45"),
    "align": ("align", "zscore_45"),
    "mom": ("mom", "mom_roc_45"),
    "reg": ("reg", "reg_trend_str_45"),
    "regime": ("vol", "vol_range_pct_45"),
    "vol": ("vol", "vol_realized_45"),
}


def compared_value(kind: str, variant: Variant, bars: Bars) -> Floats:
    """Return what tables ``cov_{kind}`` compare, on the bars' own rows; the series itself for ``lag``.

    BQX crosses zero, where a percentage of it says nothing: its momentum is the difference.
    """
    source = source_of(bars, variant)
    if kind == "lag":
        return source.values
    family, column = _COMPARED[kind]
    if kind == "mom" and source.percent:
        column = "mom_diff_45"
    return series_features(family, source, (column,))[column]


def compare(kind: str, first: Floats, second: Floats) -> dict[str, Floats]:
    """Return the comparison of two series of compared values, on the rows that both have.

    ``spread`` is first less second; ``spread_zscore`` its distance from ``spread_ma_45`` in ``spread_std_45``;
    ``mean_reversion_signal`` -1 above 1.5 of them, 1 below -1.5, else 0; ``sign_agreement`` 1 where both stand on the
    same side of their own 45-row means, ``regime_agreement`` 1 where both are in the same tercile of their last 1,440
    rows, ``rolling_agreement_45`` the mean of that.
    """
    spread = first - second
    found = {"ratio": rolling.ratio(first, second), "spread": spread, "val1": first, "val2": second}
    if kind == "lag":
        return found | {f"spread_lag_{rows}": rolling.lag(spread, rows) for rows in LAGS}
    mean, deviation = rolling.mean(spread, 45), rolling.deviation(spread, 45)
    zscore = rolling.ratio(spread - mean, deviation)
    found |= {
        "spread_ma_45": mean,
        "spread_ma_180": rolling.mean(spread, 180),
        "spread_std_45": deviation,
        "spread_zscore": zscore,
        "mean_reversion_signal": np.where(np.abs(zscore) > _SIGNAL_DEVIATIONS, -np.sign(zscore), 0.0 * zscore),
    }
    one, other = (tercile_code(each) if kind == "regime" else _side(each) for each in (first, second))
    agreement = rolling.flag(one == other, one, other)
    name = "regime_agreement" if kind == "regime" else "sign_agreement"
    return found | {name: agreement, "rolling_agreement_45": rolling.mean(agreement, 45)}


def _side(values: Floats) -> Floats:
    return np.sign(values - rolling.mean(values, 45))
