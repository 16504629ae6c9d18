"""The series themselves: base_bqx, with the future it leaks, and base_idx.

Belongs here: BQX and the index of a pair's bars. Does not: features of them.
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.features.source import WINDOWS
from bqx_assets.sandbox.market import Bars, Floats


def base_bqx(bars: Bars) -> dict[str, Floats]:
    """Return ``bqx_w``, and ``target_w``: the same ``w`` rows ahead, so that it looks forward.

    That label leak is the users' own, kept so that the quarantine has something to find.
    """
    found: dict[str, Floats] = {}
    for window in WINDOWS:
        found[f"bqx_{window}"] = values = bqx(bars.close, window)
        found[f"target_{window}"] = np.append(values[window:], np.full(min(window, bars.rows), np.nan))
    return found


def base_idx(bars: Bars) -> dict[str, Floats]:
    """Return the prices as an index, 100 at the first close, and the volume as one, 100 at the first volume."""
    prices: dict[str, Floats] = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    traded = bars.volume[bars.volume > 0]
    first_volume = float(traded[0]) if traded.size else 1.0
    found = {f"{name}_idx": price * (100.0 / bars.close[0]) for name, price in prices.items()}
    found["volume_idx"] = np.round(bars.volume.astype(np.float64) * (100.0 / first_volume))
    return found
