"""How a series moves: mom, vol, der and div.

Belongs here: formulas of changes from row to row. Does not: places within a window (``level``), turning points
(``turns``).
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.source import WINDOWS, Source
from bqx_assets.sandbox.market import Floats

_THIRD_ORDER_WINDOWS = (45, 90, 180)
_THIRD_ORDER_ROWS = 15


def momentum(source: Source, window: int) -> dict[str, Floats]:
    """Return the change over the window.

    ``diff`` in the series' units and ``dir`` its sign; ``roc`` in percent of the size of the value before,
    ``roc_smooth`` the same of means over a third of the window, which one value near 0 does not blow up; ``strength``
    the share of the way up and down that was net progress (0..1); ``pos_count`` the rows that rose; ``zscore`` that of
    ``diff`` among its last ``window``.
    """
    values, third = source.values, window // 3
    difference, steps = rolling.change(values, window), rolling.change(values, 1)
    before = np.abs(values - difference)
    return {
        "mom_diff": difference,
        "mom_dir": np.sign(difference),
        "mom_roc": 100.0 * rolling.ratio(difference, before),
        "mom_roc_smooth": 100.0 * rolling.ratio(rolling.mean(difference, third), rolling.mean(before, third)),
        "mom_strength": rolling.ratio(np.abs(difference), rolling.total(np.abs(steps), window)),
        "mom_pos_count": rolling.total(rolling.flag(steps > 0, steps), window),
        "mom_zscore": rolling.zscore(difference, window),
    }


def volatility(source: Source, window: int) -> dict[str, Floats]:
    """Return how much the series moves within the window.

    ``realized`` is the deviation of one-row returns (percent), ``of_vol`` and ``zscore`` the deviation and z-score of
    ``realized`` itself; ``atr`` the mean true range (of this row's high and low and the row before), ``normalized``
    the same as a share of the mean size of the values; ``range_pct`` highest less lowest in percent of that size.
    """
    before = rolling.lag(source.values, 1)
    true_range = np.maximum(source.high, before) - np.minimum(source.low, before)
    size = rolling.mean(np.abs(source.values), window)
    realized = rolling.deviation(source.returns(), window)
    atr = rolling.mean(true_range, window)
    span = rolling.greatest(source.high, window) - rolling.least(source.low, window)
    return {
        "vol_atr": atr,
        "vol_normalized": rolling.ratio(atr, size),
        "vol_of_vol": rolling.deviation(realized, window),
        "vol_range_pct": 100.0 * rolling.ratio(span, size),
        "vol_realized": realized,
        "vol_zscore": rolling.zscore(realized, window),
    }


def derivative(source: Source, window: int) -> dict[str, Floats]:
    """Return the first and second difference quotient over the window, per row (``v1``) and row squared (``v2``)."""
    half = window // 2
    bend = rolling.change(rolling.change(source.values, half), half)
    return {"der_v1": rolling.change(source.values, window) / window, "der_v2": bend / half**2}


def derivative_composite(source: Source) -> dict[str, Floats]:
    """Return the third derivative: by how much a row ``v2`` changed over 15 rows, mean of the three short windows."""
    bends = [derivative(source, window)["der_v2"] for window in _THIRD_ORDER_WINDOWS]
    changes = [rolling.change(bend, _THIRD_ORDER_ROWS) / _THIRD_ORDER_ROWS for bend in bends]
    return {"der_v3_composite": np.mean(changes, axis=0)}


def divergence(source: Source) -> dict[str, Floats]:
    """Return how short windows diverge from long ones, by z-score.

    ``div_{a}_{b}`` is z_a - z_b; ``cascade_direction`` 1 where z falls from 45 over 180 to 720 rows (the short window
    leads upwards), -1 where it rises, else 0; ``sign_alignment`` the sum of the signs of z over six windows (-6..6);
    ``short_leading`` where |z_45| exceeds |z_2880|.
    """
    z = {window: rolling.zscore(source.values, window) for window in WINDOWS if window != WINDOWS[3]}
    first, second = z[45] - z[180], z[180] - z[720]
    cascade = np.where(np.sign(first) == np.sign(second), np.sign(first), 0.0)
    cascade[np.isnan(first + second)] = np.nan
    return {
        "div_180_720": z[180] - z[720],
        "div_45_2880": z[45] - z[2880],
        "div_90_1440": z[90] - z[1440],
        "div_cascade_direction": cascade,
        "div_sign_alignment": np.sum([np.sign(each) for each in z.values()], axis=0),
        "div_short_leading": rolling.flag(np.abs(z[45]) > np.abs(z[2880]), z[45], z[2880]),
    }
