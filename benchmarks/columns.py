"""Makes the columns of a benchmark's tables: values such as features have, not noise, at the speed of numpy.

About 4 bytes per value after encoding, as the users' own checkpoints take (11.8 GB for 17,000 columns).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.names import KEY, target_name
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.extract.align import KEY_TYPE, MINUTE

START = datetime(2020, 1, 6, tzinfo=UTC)
"""A Monday: minutes run from Monday to Friday."""
_OPEN_MINUTES = 5 * 1440
_WEEK_MINUTES = 7 * 1440
_REGIMES = np.array(["expanding", "contracting", "neutral"])


def keys(rows: int) -> pl.Series:
    """Return the minutes of ``rows / 7,200`` trading weeks."""
    number = np.arange(rows, dtype=np.int64)
    minutes = number // _OPEN_MINUTES * _WEEK_MINUTES + number % _OPEN_MINUTES
    return pl.Series(KEY, int(START.timestamp()) * 1_000_000 + minutes * MINUTE).cast(KEY_TYPE)


def targets(rows: int) -> pl.DataFrame:
    """Return key and targets; as in real ones, each horizon is a later stretch of its window's walk."""
    rng = np.random.default_rng(11)
    expected = load_expectations()
    walks = {window: _walk(rows + max(expected.horizons), 5e-4, rng) for window in expected.windows}
    found = [
        pl.Series(target_name(window, horizon), walks[window][horizon : horizon + rows])
        for window in expected.windows
        for horizon in expected.horizons
    ]
    return pl.DataFrame([keys(rows), *found])


def column(name: str, kind: str, rows: int, rng: np.random.Generator) -> pl.Series:
    """Return one feature: constants, regimes, counts, flags, or numbers; half of these begin with nulls."""
    if kind == "STRING":
        if name.endswith("regime"):
            return pl.Series(name, _REGIMES[rng.integers(0, 3, rows // 50 + 1).repeat(50)[:rows]])
        return pl.Series(name, ["eurusd"]).new_from_index(0, rows)
    if kind == "BOOL":
        return pl.Series(name, rng.integers(0, 2, rows) == 1)
    if kind == "INT64":
        return pl.Series(name, rng.integers(0, 1440, rows))
    values = np.roll(pool(rows)[rng.integers(len(pool(rows)))], rng.integers(rows))
    warm_up = min(int(rng.choice([0, 0, 0, 45, 360, 2880])), rows // 10)
    values[:warm_up] = np.nan
    return pl.Series(name, values, nan_to_null=True)


@cache
def pool(rows: int) -> list[npt.NDArray[np.float64]]:
    """Return 8 prices, 5 indicators, 2 rounded changes and 5 quotients with all digits: 2.7 to 7.6 bytes per value.

    Columns are rotations of these: to make each of them anew would take longer than all merges together.
    """
    rng = np.random.default_rng(7)
    return [
        *(np.round(1.1 + _walk(rows, 2e-4, rng), 5) for _ in range(8)),
        *(np.round(_walk(rows, 5e-4, rng), 5) for _ in range(5)),
        *(np.round(rng.standard_normal(rows) * 0.01, 5) for _ in range(2)),
        *(rng.standard_normal(rows) for _ in range(5)),
    ]


def _walk(rows: int, step: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return np.cumsum(rng.standard_normal(rows) * step)
