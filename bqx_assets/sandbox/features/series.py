"""Features of one series by kind and column name: agg, align, cyc, der, div, ext, mom, mrt, rev and vol.

The first part is about the place of a value within its window, the second about the movement of the series, the third
about its turns; ``series_features`` selects among them. ``reg`` has a module of its own (``regression``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.regression import regression
from bqx_assets.sandbox.features.source import WINDOWS, Source
from bqx_assets.sandbox.market.bars import Floats

Features = Mapping[str, Floats]

_BAND_WINDOW = 720
_OUTER_BAND = 3.0


def aggregate(source: Source, window: int) -> dict[str, Floats]:
    """Return the window's statistics; ``cv`` is std / |mean|, ``position`` 0 at the least and 1 at the greatest value.

    ``count`` is the number of known values among the last ``window`` rows. It grows in the first rows, where the other
    statistics are unknown until the window is full.
    """
    values = source.values
    mean, deviation = rolling.mean(values, window), rolling.deviation(values, window)
    least, greatest = rolling.least(values, window), rolling.greatest(values, window)
    span = greatest - least
    return {
        "agg_count": _known(values, window),
        "agg_cv": rolling.ratio(deviation, np.abs(mean)),
        "agg_max": greatest,
        "agg_mean": mean,
        "agg_min": least,
        "agg_position": rolling.ratio(values - least, span),
        "agg_range": span,
        "agg_std": deviation,
        "agg_sum": rolling.total(values, window),
    }


def standing(source: Source, window: int) -> dict[str, Floats]:
    """Return the sign of the change over the window, the position in it (0..1) and the z-score."""
    values = source.values
    return {
        "dir": np.sign(rolling.change(values, window)),
        "pos": rolling.position(values, window),
        "zscore": rolling.zscore(values, window),
    }


def alignment(source: Source) -> dict[str, Floats]:
    """Return the agreement of six windows.

    For each step from one window to the next longer one, ``align_trend`` is 1 where both changed in the same direction,
    ``align_mean`` 1 where the value is on the same side of both means, else 0. The scores are the means of the five
    steps; ``align_unanimous`` is 1 where all six directions are equal.
    """
    found: dict[str, Floats] = {}
    trends: list[Floats] = []
    means: list[Floats] = []
    for (short, near), (long, far) in pairwise((window, standing(source, window)) for window in WINDOWS[:-1]):
        step = f"{short}_{long}"
        means.append(rolling.flag(np.sign(near["zscore"]) == np.sign(far["zscore"]), near["zscore"], far["zscore"]))
        trends.append(rolling.flag(near["dir"] == far["dir"], near["dir"], far["dir"]))
        found |= {f"align_mean_{step}": means[-1], f"align_trend_{step}": trends[-1]}
        found[f"align_pos_diff_{step}"] = near["pos"] - far["pos"]
        found[f"align_zscore_diff_{step}"] = near["zscore"] - far["zscore"]
    score: Floats = np.mean(trends, axis=0)
    found |= {"align_mean_score": np.mean(means, axis=0), "align_trend_score": score}
    found["align_unanimous"] = rolling.flag(score == 1.0, score)
    return found


def extreme(source: Source, window: int) -> dict[str, Floats]:
    """Return the share of the window's values that are at most as great as the value, and its z-score."""
    return {
        "ext_percentile": rolling.percentile(source.values, window),
        "ext_zscore": rolling.zscore(source.values, window),
    }


def extreme_overall(source: Source) -> dict[str, Floats]:
    """Return the distance from zero, and the distance from the 720-row mean in whole standard deviations (-3..3)."""
    band = np.trunc(rolling.zscore(source.values, _BAND_WINDOW))
    return {"ext_distance_zero": np.abs(source.values), "ext_sigma_band": np.clip(band, -_OUTER_BAND, _OUTER_BAND)}


def tension(source: Source, window: int) -> dict[str, Floats]:
    """Return the pull back to the window's mean: the negative z-score."""
    return {"mrt_tension": -rolling.zscore(source.values, window)}


def _known(values: Floats, window: int) -> Floats:
    return pl.Series(~np.isnan(values)).cast(pl.Float64).rolling_sum(window, min_samples=1).to_numpy()


_THIRD_ORDER_WINDOWS = (45, 90, 180)
_THIRD_ORDER_ROWS = 15


def momentum(source: Source, window: int) -> dict[str, Floats]:
    """Return the change over the window.

    ``diff`` is the change in the series' units and ``dir`` its sign; ``roc`` the change in percent of the absolute
    earlier value; ``roc_smooth`` the same of means over a third of the window, which a single value near 0 does not
    inflate; ``strength`` the net change as a share of the sum of absolute changes (0..1); ``pos_count`` the number of
    rows that rose; ``zscore`` the z-score of ``diff`` among its last ``window`` values.
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
    """Return measures of the series' movement within the window.

    ``realized`` is the deviation of one-row returns (percent), ``of_vol`` and ``zscore`` are the deviation and z-score
    of ``realized``; ``atr`` is the mean true range (of this row's high and low and the previous value), ``normalized``
    the same as a share of the mean absolute value; ``range_pct`` the highest minus the lowest value in percent of it.
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
    """Return the first (``v1``, per row) and second (``v2``, per row squared) difference quotient over the window."""
    half = window // 2
    bend = rolling.change(rolling.change(source.values, half), half)
    return {"der_v1": rolling.change(source.values, window) / window, "der_v2": bend / half**2}


def derivative_composite(source: Source) -> dict[str, Floats]:
    """Return the third derivative: the change of ``v2`` per row over 15 rows, averaged over the three short windows."""
    bends = [derivative(source, window)["der_v2"] for window in _THIRD_ORDER_WINDOWS]
    changes = [rolling.change(bend, _THIRD_ORDER_ROWS) / _THIRD_ORDER_ROWS for bend in bends]
    return {"der_v3_composite": np.mean(changes, axis=0)}


def divergence(source: Source) -> dict[str, Floats]:
    """Return differences between the z-scores of short and of long windows.

    ``div_{a}_{b}`` is z_a - z_b; ``cascade_direction`` is 1 where z_45 > z_180 > z_720 (the short window leads
    upwards), -1 where z_45 < z_180 < z_720, else 0; ``sign_alignment`` is the sum of the signs of z over six windows
    (-6..6); ``short_leading`` is 1 where |z_45| exceeds |z_2880|.
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


_CYCLES = 8
_EXTREME_WINDOW = 45
_MEMORY_WINDOW = 360
_MIDDLE_WINDOW = 180
_EVIDENCE_WINDOW = 720
_LONGEST_HALF_LIFE_ROWS = 1000


def cycle(source: Source) -> dict[str, Floats]:
    """Return the lengths of cycles between crossings of zero, in rows.

    ``intervals_since_zero`` counts rows since the sign last changed, ``intervals_since_ext`` rows since the value was
    last the least or greatest of 45 rows; ``avg_cycle_length`` is the mean of the last 8 distances between crossings
    (of all, while there are fewer), ``current_cycle_progress`` the rows since the last crossing as a share of it.
    """
    values = source.values
    sign = np.sign(values)
    crossed = np.zeros(len(values), dtype=np.bool_)
    crossed[1:] = (sign[1:] != sign[:-1]) & ~np.isnan(sign[1:]) & ~np.isnan(sign[:-1])
    turned = (values == rolling.least(values, _EXTREME_WINDOW)) | (values == rolling.greatest(values, _EXTREME_WINDOW))
    since_zero = _rows_since(crossed)
    length = _cycle_length(crossed)
    return {
        "cyc_avg_cycle_length": length,
        "cyc_current_cycle_progress": since_zero / length,
        "cyc_intervals_since_ext": _rows_since(turned),
        "cyc_intervals_since_zero": since_zero,
    }


def deceleration(source: Source, window: int) -> dict[str, Floats]:
    """Return how much slower the window's second half moved than the first: -1 (only it moved) .. 1 (it stopped)."""
    half = window // 2
    now = np.abs(rolling.change(source.values, half))
    before = rolling.lag(now, half)
    return {"rev_decel": rolling.ratio(before - now, before + now)}


def reversal(source: Source) -> dict[str, Floats]:
    """Return signs of a reversal.

    ``divergence`` is the z-score of the value minus that of its 45-row change, both over 180 rows: it is large where
    the value is far from its mean without moving fast. ``exhaustion`` (0..1) is, averaged over the windows, how near
    the value is to an end of its range times how much the move slowed down. ``turning_prob`` (0..1) grows with |z| and
    with the slow-down over 180 rows.
    """
    values = source.values
    slow = {window: deceleration(source, window)["rev_decel"] for window in WINDOWS}
    tired = [np.abs(2.0 * rolling.position(values, window) - 1.0) * np.maximum(slow[window], 0.0) for window in WINDOWS]
    z = rolling.zscore(values, _MIDDLE_WINDOW)
    pace = rolling.zscore(rolling.change(values, _EXTREME_WINDOW), _MIDDLE_WINDOW)
    return {
        "rev_divergence": z - pace,
        "rev_exhaustion": np.mean(tired, axis=0),
        "rev_turning_prob": 1.0 / (1.0 + np.exp(1.0 - np.abs(z) - slow[_MIDDLE_WINDOW])),
    }


def reversion(source: Source) -> dict[str, Floats]:
    """Return the speed and the likelihood of the series' return to its mean.

    ``half_life`` in rows is that of a first-order autoregression over 360 rows: 1 without memory, 1000 without return.
    ``reversion_probability`` looks at the rows of the last 720 that were more than one deviation from their 45-row
    mean: it is the share of them that were nearer to it 15 rows later. ``tension_composite`` is the mean tension of
    the windows.
    """
    values = source.values
    before = rolling.lag(values, 1)
    memory = rolling.ratio(
        rolling.covariance(before, values, _MEMORY_WINDOW), rolling.deviation(before, _MEMORY_WINDOW) ** 2
    )
    half_life = np.ceil(np.log(0.5) / np.log(np.clip(memory, 0.5, 0.5 ** (1.0 / _LONGEST_HALF_LIFE_ROWS))))
    distance = np.abs(rolling.zscore(values, _EXTREME_WINDOW))
    earlier = rolling.lag(distance, 15)
    strained = rolling.flag(earlier > 1.0, distance, earlier)
    relaxed = rolling.flag((earlier > 1.0) & (distance < earlier), distance, earlier)
    return {
        "mrt_half_life": half_life,
        "mrt_reversion_probability": rolling.ratio(
            rolling.total(relaxed, _EVIDENCE_WINDOW), rolling.total(strained, _EVIDENCE_WINDOW)
        ),
        "mrt_tension_composite": np.mean([tension(source, each)["mrt_tension"] for each in WINDOWS], axis=0),
    }


def _rows_since(event: npt.NDArray[np.bool_]) -> Floats:
    """Return the rows since the last event, NaN before the first one."""
    rows = np.arange(len(event))
    last = np.maximum.accumulate(np.where(event, rows, -1))
    return np.where(last >= 0, (rows - last).astype(np.float64), np.nan)


def _cycle_length(crossed: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean distance of the last ``_CYCLES`` pairs of neighbouring crossings, NaN before the second one."""
    at = np.flatnonzero(crossed)
    seen = np.cumsum(crossed)
    found = np.full(len(crossed), np.nan)
    known = seen > 1
    newest = seen[known] - 1
    oldest = np.maximum(newest - _CYCLES, 0)
    found[known] = (at[newest] - at[oldest]) / (newest - oldest)
    return found


def _nothing(_source: Source) -> Features:
    return {}


@dataclass(frozen=True, slots=True)
class _Formulas:
    windowed: Callable[[Source, int], Features] | None
    """Computes the features of one window, without the window in their names."""
    overall: Callable[[Source], Features] = _nothing
    """Computes the features of several windows, by their full names."""


_KINDS = {
    "agg": _Formulas(aggregate),
    "align": _Formulas(standing, alignment),
    "cyc": _Formulas(None, cycle),
    "der": _Formulas(derivative, derivative_composite),
    "div": _Formulas(None, divergence),
    "ext": _Formulas(extreme, extreme_overall),
    "mom": _Formulas(momentum),
    "mrt": _Formulas(tension, reversion),
    "reg": _Formulas(regression),
    "rev": _Formulas(deceleration, reversal),
    "vol": _Formulas(volatility),
}


def series_features(kind: str, source: Source, columns: Collection[str]) -> dict[str, Floats]:
    """Return the requested columns of a kind (``agg_mean_45``, ``dir_45``), in the order requested.

    **Shape**: one entry per row of the source, NaN where the windows are not full or the feature is undefined; INT64
    and BOOL columns come as whole numbers. Each value depends on its own and earlier rows only.

    **Cost**: only the requested windows are computed; the arrays of one kind are in memory at once.

    Raises:
        KeyError: the grammar does not have the kind or the column.
    """
    formulas = _KINDS[kind]
    found: dict[str, Floats] = {}
    if formulas.windowed is not None:
        for window in WINDOWS:
            wanted = {match[1] for name in columns if (match := re.fullmatch(rf"(.+)_{window}", name))}
            if wanted:
                features = formulas.windowed(source, window)
                found |= {f"{stem}_{window}": features[stem] for stem in wanted & features.keys()}
    if not found.keys() >= set(columns):
        found = {**formulas.overall(source), **found}
    return {name: found[name] for name in columns}
