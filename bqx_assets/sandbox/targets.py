"""The targets table of a pair: BQX now, and BQX a few bars later.

Belongs here: the 49 targets by their formula. Does not: which rows become the spine (``extract.spine``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.sandbox.features.bqx import bqx
from bqx_assets.sandbox.market import Bars


def targets_frame(
    bars: Bars, pair: Pair, windows: Sequence[int], horizons: Sequence[int], *, whole: bool = False
) -> pl.DataFrame:
    """Return ``interval_time``, ``pair``, ``bqx_{w}`` and ``target_bqx{w}_h{h}[t] = bqx_w[t + h]``.

    **Shape**: a row for each bar that has a BQX of the shortest window, as the users' tables do: 45 fewer than bars.
    With ``whole`` a row for each bar: the first target is known 15 bars before the first BQX. Null where a window or
    horizon reaches beyond the bars. **Units**: percent.
    """
    first = 0 if whole else min(windows)
    series = {window: bqx(bars.close, window) for window in windows}
    columns = {f"bqx_{window}": values for window, values in series.items()}
    for window, values in series.items():
        for horizon in horizons:
            later = np.full(bars.rows, np.nan)
            later[: max(0, bars.rows - horizon)] = values[horizon:]
            columns[f"target_bqx{window}_h{horizon}"] = later
    frame = pl.DataFrame({KEY: bars.times} | columns)
    return frame.select(
        pl.col(KEY).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(KEY_TYPE),
        pl.lit(pair.name).alias(PAIR_COLUMN),
        pl.all().exclude(KEY).fill_nan(None),
    )[first:]
