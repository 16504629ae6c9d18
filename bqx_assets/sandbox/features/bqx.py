"""BQX: how far the close has come over a window of bars, in percent of where it started.

Belongs here: the one formula that targets and features share. Does not: anything computed from BQX.
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.market import Floats


def bqx(close: Floats, window: int) -> Floats:
    """Return ``(close[t] - close[t - window]) / close[t - window] * 100``, NaN for the first ``window`` bars.

    **Shape**: as ``close``; windows count bars, not clock time. **Units**: percent.
    """
    values = np.full(close.size, np.nan)
    before = close[:-window]
    values[window:] = (close[window:] - before) / before * 100.0
    return values
