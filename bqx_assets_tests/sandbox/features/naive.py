"""Rolling statistics by their definitions, a Python loop over windows: the oracle of the fast ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bqx_assets.sandbox.market.bars import Floats


def rolled(values: Floats, window: int, statistic: Callable[[Floats], float]) -> Floats:
    """The statistic of each full window without an unknown value, NaN elsewhere."""
    found = np.full(len(values), np.nan)
    for row in range(window - 1, len(values)):
        part = values[row - window + 1 : row + 1]
        if not np.isnan(part).any():
            found[row] = statistic(part)
    return found


def deviation(values: Floats) -> float:
    return float(np.sqrt(np.square(values - values.mean()).sum() / (len(values) - 1)))


def walk(rows: int, seed: int, *, level: float = 1.1, step: float = 1e-4) -> Floats:
    """A rate-like random walk."""
    return level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, step, rows)))
