"""A pair beside an instrument: corr.

Belongs here: correlation with an instrument's bars, and the instrument's BQX. Does not: other pairs (``peers``).
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features import rolling
from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.features.source import WINDOWS
from bqx_assets.sandbox.market import Bars, Floats, Integers

_VOLATILITY_ROWS = 60


def instrument_bqx(times: Integers, instrument: Bars) -> dict[str, Floats]:
    """Return the instrument's ``bqx_w`` at ``times``, NaN at those where it has no bar.

    Windows count ``times``, across which the instrument's last close is carried: an exchange that opens a quarter of
    the day would take eleven days to fill 2,880 bars of its own.
    """
    newest = np.searchsorted(instrument.times, times, side="right") - 1
    carried = np.append(instrument.close, np.nan)[newest]
    traded = np.append(instrument.times, -1)[newest] == times
    return {f"bqx_{window}": np.where(traded, bqx(carried, window), np.nan) for window in WINDOWS}


def correlate(pair: Floats, instrument: Floats, *, levels: bool) -> dict[str, Floats]:
    """Return correlation and covariance of two indices, on the rows that both have.

    Of their levels (``levels``: the ``etf_idx`` tables), or of their one-row returns, whose deviations the volatilities
    are in either case. **Units**: index points and percent; minutes in the names count rows.
    """
    one, other = rolling.growth(pair, 1), rolling.growth(instrument, 1)
    first, second = (pair, instrument) if levels else (one, other)
    return {
        **{f"corr_{rows}min": rolling.correlation(first, second, rows) for rows in (30, 60, 90)},
        "covar_60min": rolling.covariance(first, second, _VOLATILITY_ROWS),
        "fx_volatility_60min": rolling.deviation(one, _VOLATILITY_ROWS),
        "ibkr_volatility_60min": rolling.deviation(other, _VOLATILITY_ROWS),
    }
