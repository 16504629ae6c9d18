"""The trend within rolling windows in O(rows), for series that need no more of a regression than that.

Belongs here: line and parabola by sums of powers. Does not: residuals one by one, which ``fits`` has at
O(rows x window).
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features.rolling import combined, ratio
from bqx_assets.sandbox.market import Floats

_FORECAST_ROWS = 5.0
_NOISE = 1e-12
"""Squared deviations below this share of the squared values are round-off: the window is constant."""


def trend(values: Floats, window: int) -> dict[str, Floats]:
    """Return the eight ``fit`` features of the last ``window`` rows, as ``regression`` defines them.

    **Shape**: one entry a row, NaN where the window is not full. Time counts rows and is 0 now. **Cost**: O(rows) time
    and about 30 arrays, whatever the window: 72 series of 7 windows each need it. Meant for series around zero.
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
    """Sums of x, u x and u^2 x over each window, u = rows from now / window; rows x 3."""
    now = (np.arange(len(values)) % window) / window
    zeroth, first, second = (_window_sums(values, window, power) for power in range(3))
    return np.stack([zeroth, first - now * zeroth, second - 2.0 * now * first + now**2 * zeroth], axis=1)


def _window_sums(values: Floats, window: int, power: int) -> Floats:
    """Sums of t^power x over each window, t = rows since the current block of ``window`` rows began / window.

    A window is the end of one block and the beginning of the next: two sums that never held anything else, so nothing
    cancels, and a value depends on its own window only, to the last bit.
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
