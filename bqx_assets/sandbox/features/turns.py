"""Turning points and returns to the mean: cyc, rev and mrt.

Belongs here: formulas of when a series turns. Does not: places within a window (``level``), changes (``course``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bqx_assets.sandbox.features import level, rolling
from bqx_assets.sandbox.features.source import WINDOWS, Source
from bqx_assets.sandbox.market import Floats

_CYCLES = 8
_EXTREME_WINDOW = 45
_MEMORY_WINDOW = 360
_MIDDLE_WINDOW = 180
_EVIDENCE_WINDOW = 720
_LONGEST_HALF_LIFE_ROWS = 1000


def cycle(source: Source) -> dict[str, Floats]:
    """Return the cycle between crossings of zero, in rows.

    ``intervals_since_zero`` rows since the sign last changed, ``intervals_since_ext`` since the value last was the
    least or greatest of 45 rows; ``avg_cycle_length`` mean of the last 8 (at the head: all) completed distances
    between crossings, ``current_cycle_progress`` the share of it that has passed.
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
    """Return how much slower the second half of the window moved than the first: -1 (all new) .. 1 (came to rest)."""
    half = window // 2
    now = np.abs(rolling.change(source.values, half))
    before = rolling.lag(now, half)
    return {"rev_decel": rolling.ratio(before - now, before + now)}


def reversal(source: Source) -> dict[str, Floats]:
    """Return signs of a reversal.

    ``divergence`` is the z-score of the value less that of its 45-row change, over 180 rows: far up without pace, or
    far down without; ``exhaustion`` (0..1) the mean over the windows of how near the value is to an end of its range
    times how far the move slowed down; ``turning_prob`` (0..1) grows with |z| and the slow-down over 180 rows.
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
    """Return how surely and how fast the series returns to its mean.

    ``half_life`` in rows, of a first-order autoregression over 360 rows: 1 without memory, 1000 without return;
    ``reversion_probability`` the share, among the rows of the last 720 that were more than one deviation from their
    45-row mean, of those that were nearer to it 15 rows later; ``tension_composite`` the mean tension of the windows.
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
        "mrt_tension_composite": np.mean([level.tension(source, each)["mrt_tension"] for each in WINDOWS], axis=0),
    }


def _rows_since(event: npt.NDArray[np.bool_]) -> Floats:
    """Rows since the last event, NaN before the first."""
    rows = np.arange(len(event))
    last = np.maximum.accumulate(np.where(event, rows, -1))
    return np.where(last >= 0, (rows - last).astype(np.float64), np.nan)


def _cycle_length(crossed: npt.NDArray[np.bool_]) -> Floats:
    """Mean distance of the last ``_CYCLES`` pairs of neighbouring crossings, NaN before the second crossing."""
    at = np.flatnonzero(crossed)
    seen = np.cumsum(crossed)
    found = np.full(len(crossed), np.nan)
    known = seen > 1
    newest = seen[known] - 1
    oldest = np.maximum(newest - _CYCLES, 0)
    found[known] = (at[newest] - at[oldest]) / (newest - oldest)
    return found
