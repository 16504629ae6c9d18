"""Rolling least squares: a parabola, and with it a line, fitted to the last ``window`` values.

Belongs here: the fits and their residuals' sums. Does not: the features made of them (``regression``).

Time counts rows and is 0 at the current row, so that a constant term is the fitted value of now. All fits of a block of
rows are one product of the block's windows with an orthonormal basis: O(rows x window), at the speed of a matrix
product, free of the cancellation that sums of powers suffer, and the residuals themselves are at hand for their least,
greatest, skew and kurtosis. Values count from the window's last one, so that their level costs no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bqx_assets.sandbox.market import Floats

_BLOCK_VALUES = 65_536
"""Values of a block of windows: half a mebibyte stays in a core's cache."""
_NOISE = 1e-12
"""Residuals below this share of what the parabola explains are round-off: the fit is exact, and they are zero."""


@dataclass(frozen=True, slots=True)
class Fits:
    """Rolling fits; one entry a row, NaN where the window is not full.

    ``basis`` (window x 3) holds orthonormal polynomials of degree 0, 1, 2 over the window, ``terms`` each one's
    coefficients of 1, u, u^2 at u = rows from now; ``weights`` (rows x 3) are the values' components along them.
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
    """Return the fits of every full window. **Cost**: O(rows x window) time, nine arrays and a half-mebibyte block."""
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
        # Always of full height: BLAS rounds a row by how many rows follow it.
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
