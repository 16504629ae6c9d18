"""Rolling least squares: a line and a parabola fitted to the last ``window`` values, and the ``reg`` features.

There are two implementations. :func:`fit` computes every residual, in O(rows x window): all windows of a block of rows
are multiplied with an orthonormal basis, which avoids the cancellation that sums of powers suffer and gives the
residuals' least, greatest, skew and kurtosis. :func:`trend` uses sums of powers, in O(rows), and has no residuals.
Time counts rows and is 0 at the current row, so that a constant term is the fitted value at that row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.rolling import combined, ratio
from bqx_assets.sandbox.features.source import Source
from bqx_assets.sandbox.market.bars import Floats

_BLOCK_VALUES = 65_536
"""Values in a block of windows: half a mebibyte, which stays in a core's cache."""
_NOISE = 1e-12
"""Relative size of round-off: smaller residuals, and smaller squared deviations of a window, count as zero."""


@dataclass(frozen=True, slots=True)
class Fits:
    """Rolling fits; one entry per row, NaN where the window is not full.

    ``basis`` (window x 3) holds orthonormal polynomials of degree 0, 1 and 2 over the window, ``terms`` the
    coefficients of 1, u and u^2 of each (u = rows from now), ``weights`` (rows x 3) the components of the values along
    the basis.
    """

    basis: Floats
    terms: Floats
    weights: Floats
    least: Floats
    greatest: Floats
    squares: Floats
    cubes: Floats
    fourths: Floats
    """Sums of powers of the parabola's residuals."""


def fit(values: Floats, window: int) -> Fits:
    """Return the fits of all full windows. **Cost**: O(rows x window) time, nine arrays and half a mebibyte."""
    steps = np.arange(1.0 - window, 1.0)
    powers = np.vander(steps / window, 3, increasing=True)
    basis, triangle = np.linalg.qr(powers)
    terms = np.linalg.inv(triangle).T / float(window) ** np.arange(3)
    found = np.full((8, len(values)), np.nan)
    windows = (
        np.lib.stride_tricks.sliding_window_view(values, window) if len(values) >= window else np.empty((0, window))
    )
    block_rows = max(1, _BLOCK_VALUES // window)
    for start in range(0, len(windows), block_rows):
        block = windows[start : start + block_rows]
        into = slice(start + window - 1, start + window - 1 + len(block))
        # A block always has the full height: how BLAS rounds a row depends on the number of rows.
        differences = np.zeros((block_rows, window))
        np.subtract(block, block[:, -1:], out=differences[: len(block)])
        weights = differences @ basis
        residuals = (differences - weights @ basis.T)[: len(block)]
        squares = residuals * residuals
        found[:3, into] = weights[: len(block)].T
        found[3, into], found[4, into] = residuals.min(axis=1), residuals.max(axis=1)
        found[5, into] = squares.sum(axis=1)
        found[6, into] = np.einsum("ij,ij->i", squares, residuals)
        found[7, into] = np.einsum("ij,ij->i", squares, squares)
    exact = np.maximum(-found[3], found[4]) < _NOISE * np.sqrt(np.square(found[:3]).sum(axis=0))
    found[3:, exact] = 0.0
    return Fits(basis, terms, found[:3].T, *found[3:])


_NORMAL_95 = 1.96
_FORECAST_ROWS = 5.0


def regression(source: Source, window: int) -> dict[str, Floats]:
    """Return the ``reg`` features of one window.

    **Shape**: one entry per row for each of the 33 names. **Units**: the series' own unless said.

    **Cost**: O(rows x window), about 40 arrays of the source's length.
    """
    fits = fit(source.values, window)
    return _window(source, window) | _line(source.values, window, fits) | _parabola(source.values, window, fits)


def _window(source: Source, window: int) -> dict[str, Floats]:
    """Return the features without a fit: ``total_var`` is the sum of absolute changes, ``first`` the oldest value."""
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
    """Return the features of the straight line.

    ``ci`` is the 95% band of the line's value now, ``direction`` the correlation with time (-1..1), ``trend_str`` the
    slope divided by its standard error.
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
    """Return the features of the parabola const + lin u + quad u^2.

    ``lin_norm`` and ``quad_norm`` are what the terms contribute over the window, in standard deviations of its values;
    ``acceleration`` is the second derivative, ``forecast_5`` the value five rows ahead. ``resid_*`` describe the
    residuals: sample variance (divisor n - 3), standardised skew, excess kurtosis; ``last`` is the residual now,
    ``norm`` the same in standard deviations.
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


def trend(values: Floats, window: int) -> dict[str, Floats]:
    """Return eight features of the last ``window`` rows, as :func:`regression` defines them, for series around zero.

    **Shape**: one entry per row, NaN where the window is not full. **Cost**: O(rows) time and about 30 arrays, whatever
    the window: the tables of triangles need it for 72 series with 7 windows each.
    """
    steps = np.arange(1.0 - window, 1.0)
    _, triangle = np.linalg.qr(np.vander(steps / window, 3, increasing=True))
    inverse = np.linalg.inv(triangle)
    weights = combined(_moments(values, window), inverse)
    terms = inverse.T / float(window) ** np.arange(3)
    line, parabola = combined(weights[:, :2], terms[:2, :2]), combined(weights, terms)
    squares = _window_sums(values**2, window, power=0)
    total = squares - weights[:, 0] ** 2
    total[total < _NOISE * squares] = 0.0
    explained = np.minimum(weights[:, 1] ** 2, total)
    scatter = np.sqrt((total - explained) / (window - 2))
    ahead = np.array([[1.0], [_FORECAST_ROWS], [_FORECAST_ROWS**2]])
    return {
        "acceleration": 2.0 * parabola[:, 2],
        "forecast_5": combined(parabola, ahead)[:, 0],
        "lin_term": parabola[:, 1],
        "quad_term": parabola[:, 2],
        "r2": ratio(explained, total),
        "residual": values - line[:, 0],
        "slope": line[:, 1],
        "trend_str": ratio(line[:, 1], scatter * abs(terms[1, 1])),
    }


def _moments(values: Floats, window: int) -> Floats:
    """Return the sums of x, u x and u^2 x over each window (u = rows from now / window), rows x 3."""
    now = (np.arange(len(values)) % window) / window
    zeroth, first, second = (_window_sums(values, window, power) for power in range(3))
    return np.stack([zeroth, first - now * zeroth, second - 2.0 * now * first + now**2 * zeroth], axis=1)


def _window_sums(values: Floats, window: int, power: int) -> Floats:
    """Return the sums of t^power x over each window (t = rows since the start of the current block / window).

    The series is cut into blocks of ``window`` rows. A window is the end of one block and the beginning of the next,
    so that its sum is the sum of two partial sums: nothing cancels, and a value depends on its own window only, to the
    last bit.
    """
    blocks = -(-len(values) // window)
    table = np.zeros(blocks * window)
    table[: len(values)] = values
    table = table.reshape(blocks, window)
    since = np.arange(window) / window
    sums = np.cumsum(table * since**power, axis=1)
    ends = np.cumsum((table * (since - 1.0) ** power)[:, ::-1], axis=1)[:, ::-1]
    sums[1:, :-1] += ends[:-1, 1:]
    sums = sums.reshape(-1)[: len(values)]
    sums[: window - 1] = np.nan
    return sums
