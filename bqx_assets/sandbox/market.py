"""The market an embedded warehouse is computed from: bars of the 28 pairs and of the instruments beside them.

Belongs here: the data types. Does not: where bars come from (``simulate``, ``rates``), features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars in time order; all arrays have one entry a bar.

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
class Market:
    """Bars by pair name and by instrument name; pairs may differ in rows, as real ones do."""

    pairs: Mapping[str, Bars]
    instruments: Mapping[str, Bars]
    """``ewa`` ... ``vix``: what the ``corr_*`` tables correlate a pair with."""
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Pairs without bars, with the reason: ``{"nzdusd": "no rate with nzd"}``."""
    said: tuple[str, ...] = ()
    """What was taken for what where the rates are a user's own: columns, times, names, fillings, derived pairs."""
    doubts: tuple[str, ...] = ()
    """What in these rates is hardly true, each with its pair, row and factor."""
