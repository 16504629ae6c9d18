"""Where a series stands within its windows: agg, align, ext and the tension of mrt.

Belongs here: formulas of the values of a window, whatever their order in it. Does not: changes over time (``course``),
turning points (``turns``).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.source import WINDOWS, Source
from bqx_assets.sandbox.market import Floats

_BAND_WINDOW = 720
_OUTER_BAND = 3.0


def aggregate(source: Source, window: int) -> dict[str, Floats]:
    """Return the window's statistics; ``cv`` is std / |mean|, ``position`` 0 at the least and 1 at the greatest value.

    ``count`` is the number of known values among the last ``window`` rows: it grows at the head, where the others wait
    for a full window.
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


def place(source: Source, window: int) -> dict[str, Floats]:
    """Return the sign of the change over the window, the position in it (0..1) and the z-score."""
    values = source.values
    return {
        "dir": np.sign(rolling.change(values, window)),
        "pos": rolling.position(values, window),
        "zscore": rolling.zscore(values, window),
    }


def alignment(source: Source) -> dict[str, Floats]:
    """Return how six windows agree.

    For each step from one window to the next longer: ``align_trend`` is 1 where both changed in one direction,
    ``align_mean`` 1 where the value is on one side of both means, else 0; the scores are the means of the five,
    ``align_unanimous`` is 1 where all six directions are one.
    """
    found: dict[str, Floats] = {}
    trends: list[Floats] = []
    means: list[Floats] = []
    for (short, near), (long, far) in pairwise((window, place(source, window)) for window in WINDOWS[:-1]):
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
    """Return how extreme the value is: the share of the window's values at most as great, and its z-score."""
    return {
        "ext_percentile": rolling.percentile(source.values, window),
        "ext_zscore": rolling.zscore(source.values, window),
    }


def extreme_overall(source: Source) -> dict[str, Floats]:
    """Return the distance from zero, and the whole standard deviations from the 720-row mean, at most 3 either way."""
    band = np.trunc(rolling.zscore(source.values, _BAND_WINDOW))
    return {"ext_distance_zero": np.abs(source.values), "ext_sigma_band": np.clip(band, -_OUTER_BAND, _OUTER_BAND)}


def tension(source: Source, window: int) -> dict[str, Floats]:
    """Return the pull back to the window's mean: the negative z-score."""
    return {"mrt_tension": -rolling.zscore(source.values, window)}


def _known(values: Floats, window: int) -> Floats:
    return pl.Series(~np.isnan(values)).cast(pl.Float64).rolling_sum(window, min_samples=1).to_numpy()
