"""Simulates a market: minute rates of the 8 currencies, from which all 28 pairs and the instruments follow.

A longer market begins with the shorter one of the same seed, bar by bar and to the last bit. So each series has random
numbers of its own, drawn in the order of time, and nothing is measured over the whole history.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.extract.align import MINUTE
from bqx_assets.sandbox.market.bars import Bars, Flags, Floats, Integers, Lazy, Market, bars_around, take

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
_HALF = 0.5
_WEEKEND_JUMP = 6.0
"""Volatility of the first bar after a weekend, as a multiple of a minute's volatility."""
_PERSISTENCE, _SHOCK = 0.995, 0.05
"""The share of the log volatility that stays each minute, and the standard deviation of what is added to it."""
_SPLIT = 0.003
"""Share of the bars that some pairs have a minute later than the others. Half of the pairs, each time other ones, have
no bar in the first of the two minutes, and the others none in the second. So all pairs have the same number of bars up
to the end of the market, whatever its length; with gaps of their own they would end at different minutes."""


def simulate(rows: int, seed: int) -> Market:
    """Return ``rows`` minute bars of each of the 28 pairs, and bars of the instruments.

    Open and close are the value of the base currency divided by that of the quote currency, so that crosses
    triangulate to round-off. The same ``seed`` gives the same bars; more ``rows`` give more bars after them.
    **Cost**: 12 arrays of the bars' length, and 48 bytes per row for each of the bars that are kept (:class:`Lazy`).
    """
    split = np.random.default_rng([seed, 4]).random(rows) < _SPLIT
    first = np.arange(rows) + np.cumsum(split) - split
    times = trading_minutes(rows + int(split.sum()))
    later = {pair.name: _later(place, split, seed) for place, pair in enumerate(ALL_PAIRS)}
    logs, activity = _currencies(times, seed)

    def pair_bars(name: str) -> Bars:
        place = [pair.name for pair in ALL_PAIRS].index(name)
        bars = _pair_bars(ALL_PAIRS[place], times, logs, activity, np.random.default_rng([seed, 1, place]))
        return take(bars, first + _spread(split, later[name]))

    def instrument_bars(name: str) -> Bars:
        return _instrument_bars(name, times, logs, activity, seed)

    used = np.zeros(times.size, np.bool_)
    for late in later.values():
        used[first + _spread(split, late)] = True
    return Market(
        Lazy([*later], pair_bars, 48 * rows), Lazy(INSTRUMENTS, instrument_bars, 48 * rows), clock=times[used]
    )


def _later(place: int, split: Flags, seed: int) -> Flags:
    """Return for each split bar whether the pair has it in the later minute."""
    return np.random.default_rng([seed, 5, place]).random(np.count_nonzero(split)) < _HALF


def _spread(split: Flags, late: Flags) -> Flags:
    spread = np.zeros(split.size, np.bool_)
    spread[split] = late
    return spread


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


def _currencies(times: Integers, seed: int) -> tuple[dict[str, Floats], Floats]:
    """Return each currency's log value before the first bar and at each close, and the activity of each bar."""
    rng, *factors_rng = np.random.default_rng([seed, 0]).spawn(3)
    activity = _season(times) * np.exp(_log_volatility(times.size, rng))
    step = _MINUTE_VOLATILITY * np.sqrt(activity)
    step[1:][np.diff(times) > MINUTE] *= _WEEKEND_JUMP
    factors = [each.standard_normal(times.size) for each in factors_rng]
    logs: dict[str, Floats] = {}
    for position, currency in enumerate(CURRENCIES):
        _, risk, europe = _CURRENCIES.get(currency, _OTHER)
        own = np.random.default_rng([seed, 6, position]).standard_normal(times.size)
        moves = step * (risk * factors[0] + europe * factors[1] + _OWN * own)
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


def _pair_bars(
    pair: Pair, times: Integers, logs: Mapping[str, Floats], activity: Floats, rng: np.random.Generator
) -> Bars:
    rates = np.exp(logs[pair.base]) / np.exp(logs[pair.quote])
    size = _MINUTE_VOLATILITY * _size({pair.base: 1.0, pair.quote: -1.0})
    return bars_around(times, rates[:-1], rates[1:], activity, size, rng)


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
_LEAST_SIZE = 0.01
"""Size of the moves of an instrument of whose basket no currency is known."""
_MISSING_OF_INSTRUMENTS = 0.01
"""Share of the minutes in which an instrument has no bar."""


def _instrument_bars(name: str, times: Integers, logs: Mapping[str, Floats], activity: Floats, seed: int) -> Bars:
    """Return bars of a fund, gold or the volatility index at nearly all of ``times``: of a basket of currencies.

    Currencies of the basket that the market does not have are left out.
    """
    price, basket = _BASKETS[name]
    rng, own_rng, gaps_rng = np.random.default_rng([seed, 2, INSTRUMENTS.index(name)]).spawn(3)
    known = {currency: weight for currency, weight in basket.items() if currency in logs}
    size = _MINUTE_VOLATILITY * max(_size(known), _LEAST_SIZE)
    moves = own_rng.standard_normal(times.size) * _NOISE * size
    for currency, weight in known.items():
        moves += weight * np.diff(logs[currency])
    path = price * np.exp(np.concatenate(([0.0], np.cumsum(moves))))
    bars = bars_around(times, path[:-1], path[1:], activity, size, rng)
    return take(bars, np.flatnonzero(gaps_rng.random(times.size) >= _MISSING_OF_INSTRUMENTS))


def _size(weights: Mapping[str, float]) -> float:
    """Return the standard deviation of the moves of a mix of currencies, as a multiple of that of one factor."""
    follows = {currency: _CURRENCIES.get(currency, _OTHER)[1:] for currency in weights}
    risk, europe = (sum(weight * follows[currency][place] for currency, weight in weights.items()) for place in (0, 1))
    return math.hypot(risk, europe, *(_OWN * weight for weight in weights.values()))
