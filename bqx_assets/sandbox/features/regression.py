"""The features of rolling regression: reg.

Belongs here: what a window's line and parabola say, by name. Does not: the fitting (``fits``).
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.fits import Fits, fit
from bqx_assets.sandbox.features.source import Source
from bqx_assets.sandbox.market import Floats

_NORMAL_95 = 1.96
_FORECAST_ROWS = 5.0


def regression(source: Source, window: int) -> dict[str, Floats]:
    """Return the features of one window; time counts rows and is 0 now.

    **Shape**: one entry a row for each of the 33 names. **Units**: the series' own unless said.

    **Cost**: O(rows x window), about 40 arrays of the source's length.
    """
    fits = fit(source.values, window)
    return _window(source, window) | _line(source.values, window, fits) | _parabola(source.values, window, fits)


def _window(source: Source, window: int) -> dict[str, Floats]:
    """The window's values, without a fit: ``total_var`` is the way up and down, ``first`` the oldest value."""
    values = source.values
    mean, deviation = rolling.mean(values, window), rolling.deviation(values, window)
    least, greatest = rolling.least(values, window), rolling.greatest(values, window)
    return {
        "reg_deviation": values - mean,
        "reg_first": rolling.lag(values, window - 1),
        "reg_max": greatest,
        "reg_mean": mean,
        "reg_min": least,
        "reg_range_pct": 100.0 * rolling.ratio(greatest - least, rolling.mean(np.abs(values), window)),
        "reg_std": deviation,
        "reg_total_var": rolling.total(np.abs(rolling.change(values, 1)), window - 1),
        "reg_zscore": rolling.ratio(values - mean, deviation),
    }


def _line(values: Floats, window: int, fits: Fits) -> dict[str, Floats]:
    """The straight line.

    ``ci`` is the 95% band of its value now, ``direction`` the correlation with time (-1..1), ``trend_str`` the slope in
    its standard errors.
    """
    terms = rolling.combined(fits.weights[:, :2], fits.terms[:2, :2])
    explained, unexplained = fits.weights[:, 1] ** 2, fits.weights[:, 2] ** 2 + fits.squares
    now, slope = values + terms[:, 0], terms[:, 1]
    scatter = np.sqrt(unexplained / (window - 2))
    r2 = rolling.ratio(explained, explained + unexplained)
    half_band = _NORMAL_95 * scatter * np.sqrt(np.square(fits.basis[-1, :2]).sum())
    return {
        "reg_ci_lower": now - half_band,
        "reg_ci_upper": now + half_band,
        "reg_direction": np.sign(slope) * np.sqrt(r2),
        "reg_r2": r2,
        "reg_residual": values - now,
        "reg_rmse": np.sqrt(unexplained / window),
        "reg_slope": slope,
        "reg_trend_str": rolling.ratio(slope, scatter * abs(fits.terms[1, 1])),
    }


def _parabola(values: Floats, window: int, fits: Fits) -> dict[str, Floats]:
    """The parabola const + lin u + quad u^2.

    ``lin_norm`` and ``quad_norm`` are the terms' shares over the window in its standard deviations, ``acceleration``
    the second derivative, ``forecast_5`` the value five rows ahead. ``resid_*`` are of its residuals: sample
    variance (n - 3), standardised skew and excess kurtosis, ``last`` now's, ``norm`` the same in deviations.
    """
    terms = rolling.combined(fits.weights, fits.terms)
    constant, linear, quadratic = values + terms[:, 0], terms[:, 1], terms[:, 2]
    last = values - constant
    variance = fits.squares / (window - 3)
    spread = np.sqrt(variance)
    second = fits.squares / window
    total = np.sqrt((np.square(fits.weights[:, 1:]).sum(axis=1) + fits.squares) / (window - 1))
    ahead = constant + linear * _FORECAST_ROWS + quadratic * _FORECAST_ROWS**2
    return {
        "reg_acceleration": 2.0 * quadratic,
        "reg_const_term": constant,
        "reg_curv_sign": np.sign(quadratic),
        "reg_forecast_5": ahead,
        "reg_lin_norm": rolling.ratio(linear * (window - 1), total),
        "reg_lin_term": linear,
        "reg_quad_norm": rolling.ratio(quadratic * (window - 1) ** 2, total),
        "reg_quad_term": quadratic,
        "reg_resid_kurt": rolling.ratio(fits.fourths / window, second**2) - 3.0,
        "reg_resid_last": last,
        "reg_resid_max": fits.greatest,
        "reg_resid_min": fits.least,
        "reg_resid_norm": rolling.ratio(last, spread),
        "reg_resid_skew": rolling.ratio(fits.cubes / window, second * np.sqrt(second)),
        "reg_resid_std": spread,
        "reg_resid_var": variance,
    }
