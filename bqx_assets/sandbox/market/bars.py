"""Bars of one pair or instrument, the market that holds them all, and bars made around a path of prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


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
    doubts: tuple[str, ...] = ()
    """Sentences on what is possible but unlikely in these rates; each names pair, row and factor."""


_TICKS = 40.0
"""Mean number of ticks in a bar of average activity."""


def bars_around(times: Integers, opens: Floats, closes: Floats, activity: Floats, rng: np.random.Generator) -> Bars:
    """Return bars with these opens and closes, highs and lows around them, and volumes.

    High and low lie about half a typical body outside open and close. ``activity`` (mean 1) scales them and the ticks.

    **Shape**: one entry per bar in every argument and array.
    """
    body = np.abs(np.log(closes / opens))
    wick = 0.5 * (float(body.mean()) + 1e-9) * np.sqrt(activity)
    up, down = np.abs(rng.standard_normal((2, times.size))) * wick
    return Bars(
        times=times,
        open=opens,
        high=np.maximum(opens, closes) * np.exp(up),
        low=np.minimum(opens, closes) * np.exp(-down),
        close=closes,
        volume=1 + rng.poisson(_TICKS * activity).astype(np.int64),
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
