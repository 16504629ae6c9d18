"""Bars around a path of prices.

Belongs here: highs, lows and volumes that fit given opens and closes. Does not: the path itself.
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.market import Bars, Floats, Integers

_TICKS = 40.0
"""Mean ticks of a bar of average activity."""


def bars_around(times: Integers, opens: Floats, closes: Floats, activity: Floats, rng: np.random.Generator) -> Bars:
    """Return bars with these opens and closes; wicks of about half a typical body, ``activity`` (mean 1) in ticks.

    **Shape**: one entry a bar in every argument and array.
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
