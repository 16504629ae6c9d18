"""The ``tri_*`` tables: a quoted cross rate compared with the rate that the two other legs of its triangle imply.

A triangle ``a_b_c`` has the legs ab and bc and the cross ac, each read in the direction in which the market quotes it.
Every leg is first rounded to its tick, as quotes are. Without rounding the simulated rates would triangulate exactly;
real rates differ by a few ticks, and these tables measure that difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bqx_assets.base.pairs import CURRENCIES
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.frames import Column, labels
from bqx_assets.sandbox.features.panel import Panel, common_times
from bqx_assets.sandbox.features.regression import trend
from bqx_assets.sandbox.features.source import WINDOWS, Variant, source_of
from bqx_assets.sandbox.market.bars import Bars, Floats, Integers, Market

_COMPARED: dict[str, Callable[[Floats], Floats]] = {
    "agg": lambda values: rolling.mean(values, 45),
    "align": lambda values: rolling.zscore(values, 45),
    "mom": lambda values: rolling.change(values, 45),
    "reg": lambda values: trend(values, 45)["slope"],
    "vol": lambda values: rolling.deviation(rolling.change(values, 1), 45),
}
"""The feature that a narrow table of each kind compares between the quoted and the implied cross."""
_ROUND_OFF = 1e-10
"""Deviations of an error (percent, index points) below this are round-off and not ticks."""
_RARE = 2.0
"""Least distance of an error from its mean, in deviations, that is an opportunity."""
_ODD = 1.0
"""Least distance at which the cross is called rich or cheap."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A pair that is one side of a triangle."""

    pair: str
    power: int
    """1 where the market quotes it in the triangle's direction, -1 where it quotes the inverse."""


@dataclass(frozen=True, slots=True)
class Quotes:
    """The four rates of a triangle at the times that its three legs have in common."""

    times: Integers
    first: Bars
    second: Bars
    cross: Bars
    implied: Bars
    """The cross rate implied by the two other legs, in the direction in which the market quotes the cross."""


def triangle_of(table: ExpectedTable) -> tuple[str, str, str]:
    """Return the three currencies that a ``tri_`` table is named by."""
    first, second, third = table.table.split("_")[-3:]
    return first, second, third


def legs_of(triangle: tuple[str, str, str]) -> tuple[Leg, Leg, Leg]:
    """Return the legs ab and bc and the cross ac."""
    first, second, third = triangle
    return _leg(first, second), _leg(second, third), _leg(first, third)


def quotes_of(market: Market, triangle: tuple[str, str, str]) -> Quotes:
    """Return a triangle's rates where all three legs have a bar. **Units**: quote currency for one unit of base."""
    legs = legs_of(triangle)
    times = common_times([market.pairs[leg.pair].times for leg in legs])
    first, second, cross = (_quoted(market, leg.pair, times) for leg in legs)
    ab, bc, ac = legs
    rate = (first.close**ab.power * second.close**bc.power) ** ac.power
    return Quotes(times, first, second, cross, _flat(times, rate, cross.volume))


def tick_decimals(pair: str) -> int:
    """Return the number of decimals in a pair's quotes: brokers quote tenths of a pip."""
    return 3 if pair.endswith("jpy") else 5


def triangulation_columns(panel: Panel, table: ExpectedTable) -> dict[str, Column]:
    """Return the columns of one ``tri_`` table. **Cost**: four series of the market, and the table itself."""
    triangle = triangle_of(table)
    _, kind, word = table.kind.split("_")
    variant: Variant = "bqx" if word == "bqx" else "idx"
    quotes = quotes_of(panel.market, triangle)
    narrow = table.columns[0][0] == "arb_opportunity"
    found = _narrow(quotes, kind, variant) if narrow else _wide(quotes, variant)
    places = np.searchsorted(panel.clock.times, quotes.times)
    columns: dict[str, Column] = {}
    if narrow:
        score = panel.clock.put(places, found["error_zscore"])
        columns["error_regime"] = labels(score, (-_ODD, _ODD), ("cheap", "fair", "rich"))
    columns |= {name: panel.clock.put(places, found.pop(name)) for name in [*found]}  # a wide table is not held twice
    if narrow:
        return columns | dict(zip(("base_curr", "quote_curr", "cross_curr"), triangle, strict=True))
    sides = (leg.pair for leg in legs_of(triangle))
    columns |= dict(zip(("pair_ab", "pair_bc", "pair_ac"), sides, strict=True))
    return columns | dict(zip(("currency1", "currency2", "currency3"), triangle, strict=True))


def _narrow(quotes: Quotes, kind: str, variant: Variant) -> dict[str, Floats]:
    """Return one feature of the three legs and of the implied cross; the error is quoted minus implied."""
    first, second, cross, implied = (
        _COMPARED[kind](source_of(bars, variant).values)
        for bars in (quotes.first, quotes.second, quotes.cross, quotes.implied)
    )
    error = cross - implied
    mean, deviation = rolling.mean(error, 180), rolling.deviation(error, 180)
    score = np.where(deviation > _ROUND_OFF, rolling.ratio(error - mean, deviation), np.nan)
    return {
        "pair1_val": first,
        "pair2_val": second,
        "pair3_val": cross,
        "synthetic_val": implied,
        "tri_error": error,
        "error_ma_45": rolling.mean(error, 45),
        "error_ma_180": mean,
        "error_std_180": deviation,
        "error_zscore": score,
        "arb_opportunity": rolling.flag(np.abs(score) >= _RARE, score),
    }


def _wide(quotes: Quotes, variant: Variant) -> dict[str, Floats]:
    """Return trends of the error (``tri_slope_45``) and of its absolute value (``tri_abs_slope_45``)."""
    error = source_of(quotes.cross, variant).values - source_of(quotes.implied, variant).values
    return {
        f"{prefix}_{stem}_{window}": found
        for prefix, values in (("tri", error), ("tri_abs", np.abs(error)))
        for window in WINDOWS
        for stem, found in trend(values, window).items()
    }


def _leg(base: str, quote: str) -> Leg:
    as_quoted = CURRENCIES.index(base) < CURRENCIES.index(quote)
    return Leg(base + quote, 1) if as_quoted else Leg(quote + base, -1)


def _quoted(market: Market, pair: str, times: Integers) -> Bars:
    bars = market.pairs[pair]
    at = np.searchsorted(bars.times, times)
    return _flat(times, np.round(bars.close[at], tick_decimals(pair)), bars.volume[at])


def _flat(times: Integers, rate: Floats, volume: Integers) -> Bars:
    """Return bars with the rate as open, high, low and close: only the close of an implied rate is known."""
    return Bars(times, rate, rate, rate, rate, volume)
