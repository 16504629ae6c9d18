"""Statistics of the last ``window`` rows of one series, of which the features consist, by Polars' O(n) windows.

All arrays have one entry per row; NaN means unknown. A window's statistic is unknown until the window is full, and
while a row in it is unknown. Each value depends on its own and earlier rows only, to the last bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.sandbox.market.bars import Floats


def mean(values: Floats, window: int) -> Floats:
    """Return the arithmetic mean."""
    return _array(_series(values).rolling_mean(window))


def total(values: Floats, window: int) -> Floats:
    """Return the sum."""
    return _array(_series(values).rolling_sum(window))


def deviation(values: Floats, window: int) -> Floats:
    """Return the sample standard deviation (divisor n - 1)."""
    return _array(_series(values).rolling_std(window))


def least(values: Floats, window: int) -> Floats:
    """Return the smallest value."""
    return _array(_series(values).rolling_min(window))


def greatest(values: Floats, window: int) -> Floats:
    """Return the greatest value."""
    return _array(_series(values).rolling_max(window))


def quantile(values: Floats, window: int, share: float) -> Floats:
    """Return the quantile ``share`` (0..1), linearly interpolated."""
    return _array(_series(values).rolling_quantile(share, interpolation="linear", window_size=window))


def percentile(values: Floats, window: int) -> Floats:
    """Return the share of the window's values that are at most the current one: above 0, up to 1."""
    return _array(_series(values).rolling_rank(window, method="max").cast(pl.Float64)) / window


def correlation(first: Floats, second: Floats, window: int) -> Floats:
    """Return Pearson's correlation, -1..1; unknown where one of the two is constant."""
    spread = deviation(first, window) * deviation(second, window)
    return np.clip(ratio(covariance(first, second, window), spread), -1.0, 1.0)


def covariance(first: Floats, second: Floats, window: int) -> Floats:
    """Return the sample covariance (divisor n - 1) of two series of like scale.

    It is computed from the variances of sum and difference, which do not depend on the level. Polars' ``rolling_cov``
    subtracts two products of the levels, which leaves only six digits for the minutes of a rate.
    """
    return (deviation(first + second, window) ** 2 - deviation(first - second, window) ** 2) / 4.0


def zscore(values: Floats, window: int) -> Floats:
    """Return the distance from the mean in standard deviations; unknown where the window is constant."""
    return ratio(values - mean(values, window), deviation(values, window))


def position(values: Floats, window: int) -> Floats:
    """Return the value's position between the window's least (0) and greatest (1); unknown where these are equal."""
    low = least(values, window)
    return ratio(values - low, greatest(values, window) - low)


def smooth(values: Floats, window: int) -> Floats:
    """Return the exponential mean of span ``window``, known after ``window`` known rows."""
    return _array(_series(values).ewm_mean(span=window, adjust=False, min_samples=window))


def lag(values: Floats, rows: int) -> Floats:
    """Return the values ``rows`` rows ago."""
    found = np.full(len(values), np.nan)
    found[rows:] = values[: max(len(values) - rows, 0)]
    return found


def change(values: Floats, rows: int) -> Floats:
    """Return the difference to the value ``rows`` rows ago."""
    return values - lag(values, rows)


def growth(values: Floats, rows: int) -> Floats:
    """Return the change over ``rows`` rows in percent of the earlier value."""
    return 100.0 * ratio(change(values, rows), lag(values, rows))


def combined(columns: Floats, matrix: Floats) -> Floats:
    """Return ``columns @ matrix`` (rows x n by n x m), each row by itself: how BLAS rounds depends on the row count."""
    found = columns[:, :1] * matrix[0]
    for place in range(1, len(matrix)):
        found += columns[:, place : place + 1] * matrix[place]
    return found


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotient, NaN where it is undefined."""
    found = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=found, where=denominator != 0)
    return found


def flag(condition: npt.NDArray[np.bool_], *known: Floats) -> Floats:
    """Return 1 where the condition holds and 0 where not; NaN where one of ``known`` is NaN."""
    found = condition.astype(np.float64)
    for values in known:
        found[np.isnan(values)] = np.nan
    return found


def _series(values: Floats) -> pl.Series:
    return pl.Series(values, nan_to_null=True)


def _array(series: pl.Series) -> Floats:
    return series.to_numpy()
