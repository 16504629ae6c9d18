"""The clock of the shared tables: every time at which a pair has a bar, and where each pair's bars lie on it.

Belongs here: the union of the pairs' times, and moving values onto it. Does not: formulas, frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from bqx_assets.sandbox.market import Floats, Integers, Market


@dataclass(frozen=True, slots=True)
class Clock:
    """The rows of every shared table.

    **Units**: ``times`` microseconds since 1970 UTC, unique and ascending.
    """

    times: Integers
    places: Mapping[str, Integers]
    """For each pair, the row of each of its bars."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.times)

    def put(self, places: Integers, values: Floats) -> Floats:
        """Return values on the clock at the given rows, NaN elsewhere; the values themselves when they fill it."""
        if len(places) == self.rows:
            return values
        spread = np.full(self.rows, np.nan)
        spread[places] = values
        return spread


def clock_of(market: Market) -> Clock:
    """Return the market's union clock. **Cost**: one index array a pair."""
    every = [bars.times for bars in market.pairs.values()]
    times = reduce(np.union1d, every) if every else np.empty(0, np.int64)
    return Clock(times, {pair: np.searchsorted(times, bars.times) for pair, bars in market.pairs.items()})
