"""Warns of what is possible but unlikely in a user's rates: spikes, wrong units, bars of different length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import CURRENCIES, parse_pair
from bqx_assets.base.printable import some_of
from bqx_assets.sandbox.market.bars import Floats, Integers
from bqx_assets.sandbox.market.rates_file import ROW
from bqx_assets.sandbox.market.simulate import start_level

_JUMP = np.log(2.0)
"""Least jump of the price within a bar or between two that is told. The largest real one, of the franc on 2015-01-15,
was 1.4."""
_CONTRADICTION = np.log(1.1)
"""Three pairs of three currencies agree to 0.1 %; to 1 % if they come from two sources or clocks."""
_UNUSUAL = np.log(8.0)
"""Distance from the rate of 2024. Since 1999 every pair has stayed within a factor of 3 of it."""
_LENGTHS = 1.5
"""Least factor between two lengths of bars: months of 28 and 31 days count as one length."""
_CHUNKS, _CHUNK_BARS = 20, 12
"""Number of chunks of a history, and least bars of one: a change of the bars' length is searched between chunks."""
_NAMED = 3
"""Number of pairs that are named as examples of the usual length of bars."""
_MINUTE = 60_000_000
_FREE_RATES = 365 * 24 * 60 * _MINUTE
"""1971-01-01. Rates were fixed before, and a count since 1970 in the wrong unit gives a time before it."""


def doubts_of(parts: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Return what is unlikely in the bars, one sentence each, with pair, first row and factor.

    **Shape**: one frame per pair, sorted by time, with ``row``, ``interval_time`` and the four prices.

    **Cost**: two arrays of a pair's length for each pair and each triangle of pairs.
    """
    bars = {name: _Bars(part) for name, part in parts.items()}
    found = [doubt for name, each in bars.items() for doubt in (_early(name, each), _jump(name, each)) if doubt]
    return (*found, *_triangles(bars), *_levels(bars), *_lengths(bars))


class _Bars:
    """The bars of one pair as arrays."""

    def __init__(self, part: pl.DataFrame) -> None:
        self.rows: Integers = part.get_column(ROW).to_numpy()
        self.times: Integers = part.get_column(KEY).to_physical().to_numpy()
        self.close: Floats = part.get_column("close").to_numpy()
        self.high: Floats = part.get_column("high").to_numpy()
        self.low: Floats = part.get_column("low").to_numpy()

    def row(self, place: int) -> str:
        """Return a bar's row number and time, by which a sentence names it."""
        return f"row {self.rows[place]:,} ({np.datetime64(int(self.times[place]), 'us').astype('datetime64[s]')})"


def _early(name: str, bars: _Bars) -> str | None:
    if bars.times[0] >= _FREE_RATES:
        return None
    return f"{name}: {bars.row(0)} is before 1971: is interval_time in the right unit?"


def _jump(name: str, bars: _Bars) -> str | None:
    between = np.diff(np.log(bars.close), prepend=np.log(bars.close[0]))
    within = np.log(bars.high / bars.low)
    places = np.flatnonzero(np.maximum(np.abs(between), within) > _JUMP)
    if not places.size:
        return None
    first = int(places[0])
    if abs(between[first]) > _JUMP:
        before = f"the close before, {bars.close[first - 1]:g} in row {bars.rows[first - 1]:,}"
        what = f"close {bars.close[first]:g} is {_factor(between[first])} times {before}"
    else:
        what = f"high {bars.high[first]:g} is {_factor(within[first])} times low {bars.low[first]:g}"
    more = f"; {places.size - 1:,} such jumps more" if places.size > 1 else ""
    return f"{name}: in {bars.row(first)} {what}{more}: a spike, or another unit?"


def _triangles(bars: Mapping[str, _Bars]) -> Iterator[str]:
    """Yield a sentence for each pair that contradicts two others: of the three, the one in most contradictions."""
    found: list[tuple[dict[str, int], Integers, Floats]] = []
    for first, second, third in combinations(CURRENCIES, 3):
        signs = {first + second: 1, second + third: 1, first + third: -1}
        if not signs.keys() <= bars.keys():
            continue
        times = bars[first + second].times
        for name in signs:
            times = np.intersect1d(times, bars[name].times, assume_unique=True)
        excess: Floats = np.zeros(times.size)
        for name, sign in signs.items():
            excess += sign * np.log(bars[name].close[np.searchsorted(bars[name].times, times)])
        wrong = np.flatnonzero(np.abs(excess) > _CONTRADICTION)
        found.append((signs, times[wrong], excess[wrong]))
    told = set[str]()
    for signs, times, excess in found:
        if not times.size:
            continue
        places = {name: int(np.searchsorted(bars[name].times, times[:1])[0]) for name in signs}
        oddness = {name: abs(math.log(bars[name].close[place] / _usual(name))) for name, place in places.items()}
        counts = {name: sum(1 if each[2].size else -1 for each in found if name in each[0]) for name in signs}
        name = max(signs, key=lambda each: (counts[each], oddness[each]))
        if name in told:
            continue
        told.add(name)
        others = " and ".join(each for each in signs if each != name)
        factor = _factor(float(np.median(excess)) * signs[name])
        yield (
            f"{name}: from {bars[name].row(places[name])} on, {times.size:,} closes are {factor} times what {others} "
            "make of it: is one of the three in another unit, at another time or another pair?"
        )


def _levels(bars: Mapping[str, _Bars]) -> Iterator[str]:
    for name, each in bars.items():
        middle, usual = float(np.median(each.close)), _usual(name)
        excess = float(np.log(middle / usual))
        if abs(excess) > _UNUSUAL:
            yield (
                f"{name}: the median close {middle:g} is {_factor(excess)} times a usual {usual:.4g}, first "
                f"{each.row(0)}: is it the price of one {name[:3]} in {name[3:]}?"
            )


def _lengths(bars: Mapping[str, _Bars]) -> Iterator[str]:
    """Yield a sentence for each pair whose bars differ in length from those of most pairs, or change their length."""
    steps = {name: np.diff(each.times) for name, each in bars.items() if each.times.size > 1}
    lengths = {name: _most_frequent(each) for name, each in steps.items()}
    if not lengths:
        return
    common = max(lengths.values(), key=lambda length: (list(lengths.values()).count(length), -length))
    for name, length in lengths.items():
        if not 1 / _LENGTHS < length / common < _LENGTHS:
            most = some_of([other for other in lengths if lengths[other] == common], _NAMED, " and ")
            yield (
                f"{name}: bars are of {_minutes(length)}, from {bars[name].row(0)} on, those of {most} of "
                f"{_minutes(common)}, {length / common:.4g} times that: features compare them bar by bar"
            )
        change = _change(steps[name])
        if change is not None:
            place, early, late = change
            yield (
                f"{name}: bars of {_minutes(early)} become bars of {_minutes(late)} about {bars[name].row(place)}, "
                f"{late / early:.4g} times that: a window counts bars, not minutes"
            )


def _change(steps: Integers) -> tuple[int, int, int] | None:
    """Return the first place at which the bars change their length, and both lengths; None if they do not."""
    size = max(_CHUNK_BARS, -(-steps.size // _CHUNKS))
    early: int | None = None
    for first in range(0, steps.size, size):
        chunk = steps[first : first + size]
        length = _most_frequent(chunk)
        if (chunk == length).sum() * 2 < size:
            continue
        if early is not None and not 1 / _LENGTHS < length / early < _LENGTHS:
            return first - size + int(np.flatnonzero(steps[first - size :] == length)[0]), early, length
        early = length
    return None


def _most_frequent(steps: Integers) -> int:
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])


def _minutes(length: int) -> str:
    return f"{length / _MINUTE:g} min"


def _usual(name: str) -> float:
    pair = parse_pair(name)
    return start_level(pair.base) / start_level(pair.quote)


def _factor(excess: float) -> str:
    """Return a factor from its logarithm as text, with the power of ten that it nearly is, if any."""
    power = round(excess / np.log(10.0))
    exact = f"{float(np.exp(excess)):.4g}"
    return (
        f"{exact} (about {10.0**power:g})" if power and abs(excess - power * np.log(10.0)) < _CONTRADICTION else exact
    )
