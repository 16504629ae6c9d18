"""From arrays on the clock to a table's frame: names, order and types as the grammar has them.

Belongs here: the conversion, and labels by threshold. Does not: what the arrays hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features.shared_clock import Clock
from bqx_assets.sandbox.market import Floats

Column = Floats | pl.Series | str
"""An array on the clock, NaN where unknown; a series of labels; or one text for all rows."""

_TYPES: dict[str, type[pl.DataType]] = {
    "FLOAT64": pl.Float64,
    "INT64": pl.Int64,
    "STRING": pl.String,
    "BOOL": pl.Boolean,
}


def frame(table: ExpectedTable, clock: Clock, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Return the table: ``interval_time``, then its columns in the grammar's order and types.

    **Shape**: the clock's rows. NaN and infinite become null. **Cost**: one copy of the table.
    """
    key = pl.Series(KEY, clock.times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    found = [_series(name, columns[name], clock.rows).cast(_TYPES[kind]) for name, kind in table.columns]
    return pl.DataFrame([key, *found])


def labels(values: Floats, thresholds: Sequence[float], names: Sequence[str]) -> pl.Series:
    """Return one of ``names`` a row: the first below the first threshold, the last from the last on; null where NaN."""
    codes = np.searchsorted(np.asarray(thresholds), values, side="right")
    chosen = pl.Series(codes).set(pl.Series(np.isnan(values)), None)
    return pl.Series(list(names)).gather(chosen)


def _series(name: str, column: Column, rows: int) -> pl.Series:
    if isinstance(column, str):
        return pl.repeat(column, rows, eager=True).alias(name)
    if isinstance(column, pl.Series):
        return column.alias(name)
    finite = np.isfinite(column)
    return pl.Series(name, column if finite.all() else np.where(finite, column, np.nan), nan_to_null=True)
