"""mkt_*: the whole market at a time: its volatility, dispersion, trend, sentiment and correlation.

Belongs here: the formulas of the ``mkt_`` tables, over all pairs as quoted. Does not: one currency's pairs
(``variance``, ``currency_strength``).
"""

from __future__ import annotations

from typing import cast

import numpy as np

from bqx_assets.extract.local.features import rolling
from bqx_assets.extract.local.features.shared_frames import Column, labels
from bqx_assets.extract.local.features.shared_moments import Moments
from bqx_assets.extract.local.features.shared_panel import Panel
from bqx_assets.extract.local.features.source import Variant
from bqx_assets.extract.local.market import Floats

LEADING = ("audusd", "eurusd", "gbpusd", "usdjpy")
"""The pairs whose levels ``mkt_corr`` shows, and from which it takes its correlations."""

_WINDOWS = (45, 90, 180, 360, 720)
_CORRELATED = {
    "corr_aud_jpy_45": ("audusd", "usdjpy"),
    "corr_eur_gbp_45": ("eurusd", "gbpusd"),
    "corr_eur_jpy_45": ("eurusd", "usdjpy"),
}
_TREND_R2 = 0.5
"""A pair trends where a line explains half of its last 45 bars."""


def market_wide_columns(panel: Panel, kind: str) -> dict[str, Column]:
    """Return the columns of a ``mkt_`` table by its kind, ``mkt_vol`` or ``mkt_vol_bqx``."""
    words = kind.split("_")
    variant: Variant = "bqx" if words[-1] == "bqx" else "idx"
    found = _FORMULAS[words[1]](panel, variant)
    if words[1] == "corr":
        return found | {"market": "forex"}
    return found | {"scope": "all_pairs", "pairs_count": panel.present()}


def _vol(panel: Panel, variant: Variant) -> dict[str, Column]:
    stems = ("vol_atr", "vol_normalized", "vol_realized")
    pooled = panel.pooled("vol", variant, [f"{stem}_{window}" for stem in stems for window in _WINDOWS])
    columns: dict[str, Column] = {f"mkt_{name}": moments.mean() for name, moments in pooled.items()}
    for window in _WINDOWS:
        columns[f"mkt_vol_dispersion_{window}"] = pooled[f"vol_realized_{window}"].deviation()
    return columns


def _sentiment(panel: Panel, variant: Variant) -> dict[str, Column]:
    meanings = {"mom_diff": "avg_momentum", "mom_strength": "avg_strength", "mom_dir": "net_direction"}
    pooled = panel.pooled("mom", variant, [f"{stem}_{window}" for stem in meanings for window in _WINDOWS])
    return {
        f"mkt_{meaning}_{window}": pooled[f"{stem}_{window}"].mean()
        for stem, meaning in meanings.items()
        for window in _WINDOWS
    }


def _dispersion(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return how far apart the pairs' changes are.

    ``spread_std_w`` across pairs of the change over w; of the one-row changes' deviation across pairs,
    ``dispersion_mean_w`` is the mean over w rows and ``dispersion_position_w`` the place in their range.
    """
    steps = Moments(panel.clock.rows)
    for pair in panel.pairs():
        steps.add(rolling.change(panel.level(pair, variant), 1))
    spread = steps.deviation()
    pooled = panel.pooled("mom", variant, [f"mom_diff_{window}" for window in _WINDOWS])
    columns: dict[str, Column] = {}
    for window in _WINDOWS:
        columns[f"mkt_spread_std_{window}"] = pooled[f"mom_diff_{window}"].deviation()
        columns[f"mkt_dispersion_mean_{window}"] = rolling.mean(spread, window)
        columns[f"mkt_dispersion_position_{window}"] = rolling.position(spread, window)
    return columns


def _regime(panel: Panel, variant: Variant) -> dict[str, Column]:
    names = [f"reg_{stem}_{window}" for stem in ("r2", "slope") for window in (45, 90)]
    slopes = {window: Moments(panel.clock.rows) for window in (45, 90)}
    directions = {window: Moments(panel.clock.rows) for window in (45, 90)}
    trends = {"up": Moments(panel.clock.rows), "down": Moments(panel.clock.rows)}
    for pair in panel.pairs():
        found = panel.features(pair, "reg", variant, names)
        on_clock = {name: panel.clock.put(panel.clock.places[pair], values) for name, values in found.items()}
        for window in (45, 90):
            slope = on_clock[f"reg_slope_{window}"]
            slopes[window].add(slope)
            directions[window].add(np.sign(slope))
        slope, r2 = on_clock["reg_slope_45"], on_clock["reg_r2_45"]
        trends["up"].add(rolling.flag((r2 >= _TREND_R2) & (slope > 0.0), slope, r2))
        trends["down"].add(rolling.flag((r2 >= _TREND_R2) & (slope < 0.0), slope, r2))
    columns: dict[str, Column] = {f"mkt_slope_{window}": moments.mean() for window, moments in slopes.items()}
    columns |= {f"mkt_direction_{window}": moments.mean() for window, moments in directions.items()}
    return columns | {
        f"pairs_trending_{way}_45": np.round(moments.mean() * moments.count) for way, moments in trends.items()
    }


def _corr(panel: Panel, variant: Variant) -> dict[str, Column]:
    """Return levels and correlations of the leading pairs.

    The regime tells the mean correlation from its own last 180 rows. Risk is ``on`` where the Australian dollar rose
    and the yen fell against the dollar over 45 rows, ``off`` where both moved the other way.
    """
    levels = {pair: panel.level(pair, variant) for pair in LEADING}
    pairs = {name: panel.correlation(*legs, variant, 45) for name, legs in _CORRELATED.items()}
    average: Floats = np.mean([*pairs.values()], axis=0)
    risk = sum(np.sign(rolling.change(levels[pair], 45)) for pair in ("audusd", "usdjpy"))
    columns = cast("dict[str, Column]", levels | pairs)
    return columns | {
        "avg_market_corr": average,
        "market_corr_regime": labels(rolling.zscore(average, 180), (-1.0, 1.0), ("low", "normal", "high")),
        "risk_sentiment": labels(np.asarray(risk), (-1.5, 1.5), ("off", "mixed", "on")),
    }


_FORMULAS = {"corr": _corr, "dispersion": _dispersion, "regime": _regime, "sentiment": _sentiment, "vol": _vol}
