"""The eight instruments beside the pairs: funds, gold and the volatility index, simulated from currencies.

Belongs here: their names, and baskets of currencies and noise, as bars. Does not: real prices of these instruments;
beside rates of a file they are read from that file (``rates``) or not there at all, never simulated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bqx_assets.sandbox.market import Bars, Floats, Integers
from bqx_assets.sandbox.paths import bars_around, take

_BASKETS: dict[str, tuple[float, dict[str, float]]] = {
    "ewa": (24.0, {"aud": 1.2, "usd": -0.6}),
    "ewg": (30.0, {"eur": 1.2, "usd": -0.6}),
    "ewj": (68.0, {"jpy": -1.0, "usd": 0.4}),
    "ewu": (33.0, {"gbp": 1.2, "usd": -0.6}),
    "gld": (190.0, {"usd": -1.2, "chf": 0.5}),
    "spy": (480.0, {"aud": 0.7, "cad": 0.4, "jpy": -0.9}),
    "uup": (28.0, {"usd": 1.0, "eur": -0.6, "jpy": -0.2}),
    "vix": (15.0, {"jpy": 4.0, "aud": -3.0, "chf": 1.5}),
}
"""Price at the start, and how its log moves with each currency's."""
INSTRUMENTS: tuple[str, ...] = tuple(_BASKETS)
_NOISE = 0.7
"""Own moves, in standard deviations of the basket's."""
_MISSING = 0.01


def simulate_instruments(times: Integers, logs: Mapping[str, Floats], activity: Floats, seed: int) -> dict[str, Bars]:
    """Return bars of the instruments at nearly all of ``times``.

    **Shape**: ``logs`` holds one log value a bar of each known currency, in a common unit; others add nothing.
    """
    found: dict[str, Bars] = {}
    for position, (name, (price, basket)) in enumerate(_BASKETS.items()):
        rng = np.random.default_rng([seed, 2, position])
        moves = np.zeros(times.size)
        for currency, weight in basket.items():
            if currency in logs:
                moves += weight * np.diff(logs[currency], prepend=logs[currency][0])
        moves += rng.standard_normal(times.size) * _NOISE * max(float(moves.std()), 1e-6)
        path = price * np.exp(np.concatenate(([0.0], np.cumsum(moves - moves.mean()))))
        bars = bars_around(times, path[:-1], path[1:], activity, rng)
        found[name] = take(bars, np.flatnonzero(rng.random(times.size) >= _MISSING))
    return found
