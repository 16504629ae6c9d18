"""A series that features are computed from: a pair's rate, its rate as an index, or its BQX.

Belongs here: ``Source`` and how bars give one. Does not: features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.market import Bars, Floats

WINDOWS = (45, 90, 180, 360, 720, 1440, 2880)
"""Rows of a window: the grammar's ``w7``."""
BASE_WINDOW = 45
"""The BQX that the ``_bqx`` tables are computed from."""

Variant = Literal["", "bqx", "idx"]


@dataclass(frozen=True, slots=True)
class Source:
    """A series to take features of; one entry a bar, NaN is unknown.

    **Units**: ``values``, ``high`` and ``low`` the rate's own, index points, or percent; ``bqx`` percent, by window.
    """

    values: Floats
    high: Floats
    low: Floats
    bqx: Mapping[int, Floats]
    percent: bool = False
    """The values are percentages already and may be 0: a change is a difference, not a percentage of the value."""

    def returns(self) -> Floats:
        """Return the change since the row before, in percent of its value, or in percentage points."""
        return rolling.change(self.values, 1) if self.percent else rolling.growth(self.values, 1)


def source_of(bars: Bars, variant: Variant) -> Source:
    """Return the close (``""``), the close as an index, 100 at the first bar (``idx``), or ``bqx_45`` (``bqx``).

    **Cost**: seven arrays of the bars' length.
    """
    by_window = {window: bqx(bars.close, window) for window in WINDOWS}
    if variant == "bqx":
        values = by_window[BASE_WINDOW]
        return Source(values, values, values, by_window, percent=True)
    scale = 100.0 / bars.close[0] if variant == "idx" and bars.rows else 1.0
    return Source(bars.close * scale, bars.high * scale, bars.low * scale, by_window)
