"""Pairs that nobody quotes, from those that are: gbpcad out of gbpusd and usdcad.

Belongs here: chains of pairs and the bars along them. Does not: files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce

import numpy as np

from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.sandbox.market import Bars
from bqx_assets.sandbox.paths import take

Step = tuple[str, bool]
"""A given pair, and whether it is walked from base to quote."""


def derive_missing(given: Mapping[str, Bars]) -> tuple[dict[str, Bars], dict[str, str]]:
    """Return bars of all pairs that ``given`` allows, itself included, and why each other one cannot be had.

    A derived pair has bars at the times its whole chain has. Open and close follow exactly; how far the price went
    in between does not, so high and low are the larger and smaller of those two. Volume is the quietest leg's.
    """
    found, missing = dict(given), dict[str, str]()
    for pair in ALL_PAIRS:
        if pair.name in given:
            continue
        chain = shortest_chain(pair, tuple(given))
        if chain is None:
            missing[pair.name] = _reason(pair, given)
            continue
        bars = _along(chain, given)
        if bars.rows:
            found[pair.name] = bars
        else:
            missing[pair.name] = f"{' and '.join(name for name, _ in chain)} have no time in common"
    return found, missing


def shortest_chain(pair: Pair, given: Sequence[str]) -> tuple[Step, ...] | None:
    """Return the fewest given pairs that lead from base to quote, the first in market order among equals."""
    edges = [known for known in ALL_PAIRS if known.name in given]
    chains: dict[str, tuple[Step, ...]] = {pair.base: ()}
    reached = [pair.base]
    for currency in reached:  # grows while it is walked: breadth first
        for edge in edges:
            if currency not in (edge.base, edge.quote):
                continue
            other = edge.quote if currency == edge.base else edge.base
            if other not in chains:
                chains[other] = (*chains[currency], (edge.name, currency == edge.base))
                reached.append(other)
    return chains.get(pair.quote)


def tail(bars: Bars, rows: int) -> Bars:
    """Return the last ``rows`` bars."""
    return take(bars, np.arange(max(0, bars.rows - rows), bars.rows))


def _along(chain: Sequence[Step], given: Mapping[str, Bars]) -> Bars:
    times = reduce(partial(np.intersect1d, assume_unique=True), (given[name].times for name, _ in chain))
    legs = [(take(given[name], np.searchsorted(given[name].times, times)), forward) for name, forward in chain]
    opens, closes = np.ones(times.size), np.ones(times.size)
    for leg, forward in legs:
        opens = opens * leg.open if forward else opens / leg.open
        closes = closes * leg.close if forward else closes / leg.close
    volume = np.min([leg.volume for leg, _ in legs], axis=0)
    return Bars(times, opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, volume)


def _reason(pair: Pair, given: Iterable[str]) -> str:
    known = {currency for name in given for currency in (name[:3], name[3:])}
    unknown = [currency for currency in (pair.base, pair.quote) if currency not in known]
    if unknown:
        return f"no rate with {' or '.join(unknown)}"
    return f"no chain of given pairs leads from {pair.base} to {pair.quote}"
