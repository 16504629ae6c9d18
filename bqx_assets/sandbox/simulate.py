"""A simulated market: minute rates of the 8 currencies, from which all 28 pairs follow.

Belongs here: the currencies' paths, sessions and gaps. Does not: instruments beside the pairs, features.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.extract.align import MINUTE
from bqx_assets.sandbox.instruments import simulate_instruments
from bqx_assets.sandbox.market import Bars, Floats, Integers, Market
from bqx_assets.sandbox.paths import bars_around, take

START = datetime(2024, 3, 7, tzinfo=UTC)
"""A Thursday: the first weekend comes after 2,760 minutes, so that small warehouses have one too."""
LEVELS = {
    "eur": 1.10, "gbp": 1.27, "aud": 0.66, "nzd": 0.61, "usd": 1.0, "cad": 0.74, "chf": 1.13, "jpy": 1 / 150,
}  # fmt: skip
"""US dollars for one unit, at the start."""
_LOADINGS = {
    "eur": (0.1, 0.9), "gbp": (0.3, 0.7), "aud": (1.0, 0.1), "nzd": (0.9, 0.1), "usd": (-0.3, -0.5), "cad": (0.6, 0.0),
    "chf": (-0.5, 0.6), "jpy": (-0.9, -0.1),
}  # fmt: skip
"""How a currency moves with the two common factors, appetite for risk and Europe against America."""
_OWN = 0.8
_MINUTE_VOLATILITY = 1.0e-4
"""Of one factor's log return a minute: about 8 % a year for eurusd."""
_WEEKEND_JUMP = 6.0
"""Volatility of the first bar after a weekend, in minutes' volatilities."""
_PERSISTENCE, _SHOCK = 0.995, 0.05
_MISSING = 0.0015
"""Share of minutes in which a pair has no bar, other ones in each pair."""


def simulate(rows: int, seed: int) -> Market:
    """Return ``rows`` minute bars of each of the 28 pairs, and the instruments' beside them.

    Every close and open is its base currency's value over its quote currency's, so crosses triangulate to round-off.
    The same ``rows`` and ``seed`` give the same bars, whichever pairs are used. **Cost**: 28 pairs x 48 bytes a row.
    """
    times = trading_minutes(rows + rows // 100 + 60)
    logs, activity = _currencies(times, np.random.default_rng([seed, 0]))
    values = {currency: np.exp(log) for currency, log in logs.items()}
    return Market(
        pairs={pair.name: _pair_bars(pair, times, values, activity, rows, seed) for pair in ALL_PAIRS},
        instruments=simulate_instruments(times, {name: log[1:] for name, log in logs.items()}, activity, seed),
    )


def trading_minutes(count: int) -> Integers:
    """Return the first ``count`` minutes since :data:`START` but for weekends, Friday to Sunday 22:00 UTC."""
    weeks = count // (5 * 1440) + 2
    grid = int(START.timestamp()) // 60 + np.arange(weeks * 7 * 1440, dtype=np.int64)
    since_monday = (grid + 3 * 1440) % (7 * 1440)  # 1970-01-01 was a Thursday
    is_open = (since_monday < 4 * 1440 + 22 * 60) | (since_monday >= 6 * 1440 + 22 * 60)
    return grid[is_open][:count] * MINUTE


def _currencies(times: Integers, rng: np.random.Generator) -> tuple[dict[str, Floats], Floats]:
    """Log values in dollars of the start, one entry more than bars: before the first bar, then at each one's close."""
    size = times.size
    activity = _season(times) * np.exp(_log_volatility(size, rng))
    step = _MINUTE_VOLATILITY * np.sqrt(activity)
    step[1:][np.diff(times) > MINUTE] *= _WEEKEND_JUMP
    factors = rng.standard_normal((2, size))
    own = rng.standard_normal((len(CURRENCIES), size))
    logs: dict[str, Floats] = {}
    for position, currency in enumerate(CURRENCIES):
        risk, europe = _LOADINGS[currency]
        moves = step * (risk * factors[0] + europe * factors[1] + _OWN * own[position])
        logs[currency] = np.log(LEVELS[currency]) + np.concatenate(([0.0], np.cumsum(moves)))
    return logs, activity


def _season(times: Integers) -> Floats:
    """Activity over the day, mean near 1: Asia quiet, London busy, busiest while New York overlaps."""
    hour = (times / MINUTE / 60.0) % 24.0
    return 0.45 + 0.9 * np.exp(-(((hour - 8.5) / 3.0) ** 2)) + 1.1 * np.exp(-(((hour - 14.5) / 2.5) ** 2))


def _log_volatility(size: int, rng: np.random.Generator) -> Floats:
    """A slow mean-reverting path: quiet and wild hours follow one another."""
    shocks = (_SHOCK * rng.standard_normal(size)).tolist()
    path, level = np.empty(size), 0.0
    for position, shock in enumerate(shocks):
        level = _PERSISTENCE * level + shock
        path[position] = level
    return path


def _pair_bars(pair: Pair, times: Integers, values: dict[str, Floats], activity: Floats, rows: int, seed: int) -> Bars:
    rng = np.random.default_rng([seed, 1, ALL_PAIRS.index(pair)])
    rates = values[pair.base] / values[pair.quote]
    bars = bars_around(times, rates[:-1], rates[1:], activity, rng)
    return take(bars, np.flatnonzero(rng.random(times.size) >= _MISSING)[:rows])
