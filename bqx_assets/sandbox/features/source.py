"""The series that features are computed from: a pair's rate, its rate as an index, or its BQX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.market.bars import Bars, Floats


def bqx(close: Floats, window: int) -> Floats:
    """Return ``(close[t] - close[t - window]) / close[t - window] * 100``, NaN for the first ``window`` bars.

    **Shape**: as ``close``; windows count bars, not clock time. **Units**: percent.
    """
    values = np.full(close.size, np.nan)
    before = close[:-window]
    values[window:] = (close[window:] - before) / before * 100.0
    return values


WINDOWS = (45, 90, 180, 360, 720, 1440, 2880)
"""Lengths of the windows in rows: the grammar's ``w7``."""
BASE_WINDOW = 45
"""Window of the BQX that the ``_bqx`` tables are computed from."""

Variant = Literal["", "bqx", "idx"]


@dataclass(frozen=True, slots=True)
class Source:
    """A series that features are computed from; one entry per bar, NaN where unknown.

    **Units**: the rate's own, index points or percent.
    """

    values: Floats
    high: Floats
    low: Floats
    percent: bool = False
    """The values are percentages and may be 0, so that a change is a difference and not a percentage of the value."""

    def returns(self) -> Floats:
        """Return the change from the previous row, in percent of its value, or in percentage points."""
        return rolling.change(self.values, 1) if self.percent else rolling.growth(self.values, 1)


def source_of(bars: Bars, variant: Variant) -> Source:
    """Return the close (``""``), the close as an index, 100 at the first bar (``idx``), or ``bqx_45`` (``bqx``).

    **Cost**: up to three arrays of the bars' length.
    """
    if variant == "bqx":
        values = bqx(bars.close, BASE_WINDOW)
        return Source(values, values, values, percent=True)
    scale = 100.0 / bars.close[0] if variant == "idx" and bars.rows else 1.0
    return Source(bars.close * scale, bars.high * scale, bars.low * scale)
