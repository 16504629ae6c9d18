"""Puts a computed table into a frame, with names, order and types of columns as the grammar has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.market.bars import Floats, Integers

Column = Floats | pl.Series | str
"""An array with one entry per row, NaN where unknown; a series; or one text for all rows."""


def frame(table: ExpectedTable, times: Integers, columns: dict[str, Column]) -> pl.DataFrame:
    """Return the table: ``interval_time``, then its columns in the grammar's order and types; empties ``columns``.

    **Shape**: one row for each of ``times``. NaN and infinite values become null. **Cost**: one copy of the table.
    """
    # Popped, so that a wide table is not held twice: 330 MB for reg at 178,000 rows.
    types = [(name, COLUMN_TYPES[kind].polars) for name, kind in table.columns]
    found = [_series(name, columns.pop(name), len(times)).cast(kind) for name, kind in types]
    return pl.DataFrame([time_series(times), *found])


def time_series(times: Integers) -> pl.Series:
    """Return times as the key column, in UTC. **Units**: microseconds since 1970."""
    return pl.Series(KEY, times).cast(pl.Datetime("us", "UTC"))


def labels(values: Floats, thresholds: Sequence[float], names: Sequence[str]) -> pl.Series:
    """Return one of ``names`` a row, null where the value is NaN.

    The first name is for values below the first threshold, the last one for values from the last threshold on.
    """
    codes = np.searchsorted(np.asarray(thresholds), values, side="right")
    chosen = pl.Series(codes).set(pl.Series(np.isnan(values)), None)
    return pl.Series(list(names)).gather(chosen)


def _series(name: str, column: Column, rows: int) -> pl.Series:
    if isinstance(column, str):
        return pl.repeat(column, rows, eager=True).alias(name)
    if isinstance(column, pl.Series):
        return column.rename(name)
    finite = np.isfinite(column)
    return pl.Series(name, column if finite.all() else np.where(finite, column, np.nan), nan_to_null=True)
