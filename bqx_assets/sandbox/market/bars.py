"""Bars of one pair or instrument, the market that holds them all, and bars made around a path of prices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars in time order; all arrays have one entry per bar.

    **Units**: ``times`` microseconds since 1970 UTC, unique and ascending; prices in quote currency for one unit of
    base; ``volume`` ticks.
    """

    times: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Integers

    @property
    def rows(self) -> int:
        """Number of bars."""
        return len(self.times)


Value = TypeVar("Value")
_KEPT_BYTES = 256 << 20
"""Size of the values that a process keeps: the bars of all pairs and instruments up to 150,000 rows."""
_LEAST_KEPT = 4
"""Number of values that are kept in any case: a triangle has three pairs."""


class Lazy(Mapping[str, Value]):
    """Values by name, each made when it is asked for. Of a long history only those used last are kept."""

    def __init__(self, names: Collection[str], make: Callable[[str], Value], bytes_each: int) -> None:
        self._names = dict.fromkeys(names)
        self._make = lru_cache(max(_LEAST_KEPT, _KEPT_BYTES // max(1, bytes_each)))(make)

    def __getitem__(self, name: str) -> Value:
        """Return the value. Raises KeyError for a name that is none of the given ones."""
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __contains__(self, name: object) -> bool:
        """Return whether the name is one of the given ones; nothing is made."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names; nothing is made."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._names)


@dataclass(frozen=True, slots=True)
class Lack:
    """The reason why a pair has no bars or a table cannot be made, as data; its text is a sentence's end."""

    what: str
    """``no rate with``, ``no bars of instrument``."""
    names: tuple[str, ...] = ()
    """The currencies, pairs or instruments that are lacking."""
    needs: str = ""
    """The pair that a table of several pairs needs."""
    asked: bool = True
    """False for a table that could be made but that nobody asked for."""

    def __str__(self) -> str:
        return f"needs {self.needs}: " * bool(self.needs) + f"{self.what} {' or '.join(self.names)}".rstrip()


@dataclass(frozen=True, slots=True)
class Market:
    """Bars by pair name and by instrument name; pairs may differ in their number of bars, as real ones do."""

    pairs: Mapping[str, Bars]
    instruments: Mapping[str, Bars]
    """The instruments ``ewa`` ... ``vix``, with which the ``corr_*`` tables correlate a pair."""
    missing: Mapping[str, Lack] = field(default_factory=dict[str, Lack])
    """Pairs without bars, each with the reason: ``{"nzdusd": Lack("no rate with", ("nzd",))}``."""
    said: tuple[str, ...] = ()
    """Sentences on how a user's rates were read: columns, times, names, filled values, derived pairs."""
    clock: Integers | None = None
    """Every time at which a pair has a bar, where that is known without looking at all bars."""
    doubts: tuple[str, ...] = ()
    """Sentences on what is possible but unlikely in these rates; each names pair, row and factor."""


_TICKS = 40.0
"""Mean number of ticks in a bar of average activity."""
_WICK = 0.4
"""Half of the mean size of a normally distributed body, as a multiple of its standard deviation."""


def bars_around(
    times: Integers, opens: Floats, closes: Floats, activity: Floats, size: float, rng: np.random.Generator
) -> Bars:
    """Return bars with these opens and closes, highs and lows around them, and volumes.

    High and low lie about half a typical body outside open and close. ``activity`` (mean 1) scales them and the ticks.
    A bar depends on nothing after it.

    **Shape**: one entry per bar in every argument and array. **Units**: ``size`` is the standard deviation of a body
    of average activity, as a log return.
    """
    up_rng, down_rng, ticks_rng = rng.spawn(3)
    wick = _WICK * size * np.sqrt(activity)
    return Bars(
        times=times,
        open=opens,
        high=np.maximum(opens, closes) * np.exp(np.abs(up_rng.standard_normal(times.size)) * wick),
        low=np.minimum(opens, closes) * np.exp(-np.abs(down_rng.standard_normal(times.size)) * wick),
        close=closes,
        volume=1 + ticks_rng.poisson(_TICKS * activity).astype(np.int64),
    )


def take(bars: Bars, chosen: Integers) -> Bars:
    """Return the bars at these positions."""
    return Bars(
        times=bars.times[chosen],
        open=bars.open[chosen],
        high=bars.high[chosen],
        low=bars.low[chosen],
        close=bars.close[chosen],
        volume=bars.volume[chosen],
    )
