"""Small seeded markets for the tests of features."""

from __future__ import annotations

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES
from bqx_assets.sandbox.market.bars import Bars, Floats, Integers, Market

INSTRUMENTS = ("ewa", "ewg", "ewj", "ewu", "gld", "spy", "uup", "vix")
MINUTE = 60_000_000
MONDAY = 1_577_923_200_000_000 + 4 * 86_400_000_000
"""2020-01-06, microseconds since 1970."""
_LEVELS = {"eur": 1.12, "gbp": 1.31, "aud": 0.69, "nzd": 0.66, "usd": 1.0, "cad": 0.77, "chf": 1.03, "jpy": 0.0092}


def small_market(rows: int = 3600, seed: int = 7, missing: float = 0.02) -> Market:
    """Bars of all 28 pairs, which triangulate, and of 8 instruments; each misses its own share of the minutes.

    Instruments trade half of the day.
    """
    random = np.random.default_rng(seed)
    times = MONDAY + MINUTE * np.arange(rows, dtype=np.int64)
    values = {currency: np.log(_LEVELS[currency]) + _walk(random, rows, 1e-4) for currency in CURRENCIES}
    pairs = {
        pair.name: _bars(random, times, np.exp(values[pair.base] - values[pair.quote]), missing) for pair in ALL_PAIRS
    }
    traded = (times // MINUTE) % 1440 < 720
    instruments = {
        name: _bars(random, times[traded], 50.0 * np.exp(_walk(random, rows, 3e-4) - values["usd"])[traded], missing)
        for name in INSTRUMENTS
    }
    return Market(pairs, instruments)


def changed_after(bars: Bars, row: int, seed: int = 1) -> Bars:
    """The same bars with other prices and volumes after ``row``."""
    factor = np.ones(bars.rows)
    factor[row + 1 :] = np.exp(_walk(np.random.default_rng(seed), bars.rows - row - 1, 1e-2))
    volume = bars.volume.copy()
    volume[row + 1 :] += 5
    return Bars(bars.times, bars.open * factor, bars.high * factor, bars.low * factor, bars.close * factor, volume)


def first_rows(bars: Bars, rows: int) -> Bars:
    """The first ``rows`` bars."""
    return Bars(
        bars.times[:rows],
        bars.open[:rows],
        bars.high[:rows],
        bars.low[:rows],
        bars.close[:rows],
        bars.volume[:rows],
    )


def _walk(random: np.random.Generator, rows: int, step: float) -> Floats:
    return np.cumsum(random.normal(0.0, step, rows))


def _bars(random: np.random.Generator, times: Integers, close: Floats, missing: float) -> Bars:
    kept = random.random(len(times)) >= missing
    kept[0] = True
    times, close = times[kept], np.round(close[kept], 5)
    opening = np.append(close[:1], close[:-1])
    above, below = np.abs(random.normal(0.0, 5e-5, (2, len(close)))) * close
    high, low = np.maximum(opening, close) + above, np.minimum(opening, close) - below
    return Bars(times, opening, high, low, close, random.integers(1, 500, len(close)))
