"""Simulates a market: minute rates of the 8 currencies, from which all 28 pairs and the instruments follow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.extract.align import MINUTE
from bqx_assets.sandbox.market.bars import Bars, Floats, Integers, Market, bars_around, take

START = datetime(2024, 3, 7, tzinfo=UTC)
"""A Thursday, so that the first weekend comes after 2,760 minutes and small warehouses contain one too."""
_CURRENCIES = {
    "eur": (1.10, 0.1, 0.9),
    "gbp": (1.27, 0.3, 0.7),
    "aud": (0.66, 1.0, 0.1),
    "nzd": (0.61, 0.9, 0.1),
    "usd": (1.0, -0.3, -0.5),
    "cad": (0.74, 0.6, 0.0),
    "chf": (1.13, -0.5, 0.6),
    "jpy": (1 / 150, -0.9, -0.1),
}
"""For each currency: US dollars for one unit at the start, and how strongly it follows the two common factors: appetite
for risk, and Europe against America. A currency that is not listed is worth a dollar and moves by itself."""
_OTHER = (1.0, 0.0, 0.0)
_OWN = 0.8
"""Weight of a currency's own random moves."""
_MINUTE_VOLATILITY = 1.0e-4
"""Standard deviation of one factor's log return per minute: it gives eurusd about 8 % a year."""
_WEEKEND_JUMP = 6.0
"""Volatility of the first bar after a weekend, as a multiple of a minute's volatility."""
_PERSISTENCE, _SHOCK = 0.995, 0.05
"""The share of the log volatility that stays each minute, and the standard deviation of what is added to it."""
_MISSING = 0.0015
"""Share of the minutes in which a pair has no bar; each pair misses other minutes."""


def simulate(rows: int, seed: int) -> Market:
    """Return ``rows`` minute bars of each of the 28 pairs, and bars of the instruments.

    Open and close are the value of the base currency divided by that of the quote currency, so that crosses
    triangulate to round-off. The same ``rows`` and ``seed`` give the same bars. **Cost**: 28 pairs x 48 bytes per row.
    """
    times = trading_minutes(rows + rows // 100 + 60)
    logs, activity = _currencies(times, np.random.default_rng([seed, 0]))
    values = {currency: np.exp(log) for currency, log in logs.items()}
    return Market(
        pairs={pair.name: _pair_bars(pair, times, values, activity, rows, seed) for pair in ALL_PAIRS},
        instruments=simulate_instruments(times, {name: log[1:] for name, log in logs.items()}, activity, seed),
    )


def trading_minutes(count: int) -> Integers:
    """Return the first ``count`` minutes from :data:`START` on, without weekends (Friday to Sunday, 22:00 UTC)."""
    weeks = count // (5 * 1440) + 2
    grid = int(START.timestamp()) // 60 + np.arange(weeks * 7 * 1440, dtype=np.int64)
    since_monday = (grid + 3 * 1440) % (7 * 1440)  # 1970-01-01 was a Thursday
    is_open = (since_monday < 4 * 1440 + 22 * 60) | (since_monday >= 6 * 1440 + 22 * 60)
    return grid[is_open][:count] * MINUTE


def start_level(currency: str) -> float:
    """Return a currency's value at the start. **Units**: US dollars for one unit."""
    return _CURRENCIES.get(currency, _OTHER)[0]


def _currencies(times: Integers, rng: np.random.Generator) -> tuple[dict[str, Floats], Floats]:
    """Return each currency's log value before the first bar and at each close, and the activity of each bar."""
    size = times.size
    activity = _season(times) * np.exp(_log_volatility(size, rng))
    step = _MINUTE_VOLATILITY * np.sqrt(activity)
    step[1:][np.diff(times) > MINUTE] *= _WEEKEND_JUMP
    factors = rng.standard_normal((2, size))
    own = rng.standard_normal((len(CURRENCIES), size))
    logs: dict[str, Floats] = {}
    for position, currency in enumerate(CURRENCIES):
        _, risk, europe = _CURRENCIES.get(currency, _OTHER)
        moves = step * (risk * factors[0] + europe * factors[1] + _OWN * own[position])
        logs[currency] = np.log(start_level(currency)) + np.concatenate(([0.0], np.cumsum(moves)))
    return logs, activity


def _season(times: Integers) -> Floats:
    """Return the activity over the day, mean near 1: low in Asia, higher in London, highest while New York overlaps."""
    hour = (times / MINUTE / 60.0) % 24.0
    return 0.45 + 0.9 * np.exp(-(((hour - 8.5) / 3.0) ** 2)) + 1.1 * np.exp(-(((hour - 14.5) / 2.5) ** 2))


def _log_volatility(size: int, rng: np.random.Generator) -> Floats:
    """Return a slow mean-reverting path, so that calm and volatile hours alternate."""
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
"""Price at the start, and how the log price moves with the log value of each currency."""
INSTRUMENTS: tuple[str, ...] = tuple(_BASKETS)
_NOISE = 0.7
"""Standard deviation of an instrument's own moves, as a share of that of its basket."""
_MISSING_OF_INSTRUMENTS = 0.01
"""Share of the minutes in which an instrument has no bar."""


def simulate_instruments(times: Integers, logs: Mapping[str, Floats], activity: Floats, seed: int) -> dict[str, Bars]:
    """Return bars of funds, gold and the volatility index at nearly all of ``times``: baskets of currencies with noise.

    **Shape**: ``logs`` holds one log value per bar for each known currency; a basket's unknown ones are left out.
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
        found[name] = take(bars, np.flatnonzero(rng.random(times.size) >= _MISSING_OF_INSTRUMENTS))
    return found
