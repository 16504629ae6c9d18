"""The encoding that is smallest by its estimated size is the smallest, or nearly, when files are written."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets.extract.choose import allowed
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.encodings import POLICIES, Encoding
from bqx_assets.extract.sample import sampled
from bqx_assets.extract.sizes import sizes_of
from bqx_assets_tests.frames import minutes

_ROWS = 60_000
_RNG = np.random.default_rng(14)
_NOISE = _RNG.standard_normal(_ROWS)
_COLUMNS = {
    "price": pl.Series(np.round(1.1 + np.cumsum(_NOISE) * 5e-5, 5)),
    "five digits": pl.Series(np.round(_NOISE, 5)),
    "all digits": pl.Series(_NOISE),
    "mean": pl.Series(np.cumsum(_NOISE)).rolling_mean(90, min_samples=1),
    "after warm-up": pl.Series(_NOISE).shift(5_000),
    "held": pl.Series(_NOISE[: _ROWS // 20].repeat(20)),
    "count": pl.Series(_RNG.integers(0, 2_000, _ROWS)),
    "time": minutes(_ROWS),
    "regime": pl.Series(["up", "down", "neither"])[_RNG.integers(0, 3, _ROWS)],
}


@pytest.mark.parametrize("name", _COLUMNS)
def test_the_smallest_by_estimate_is_nearly_the_smallest(tmp_path: Path, name: str) -> None:
    column = _COLUMNS[name].alias(name)
    (facts,) = sampled([column])
    assert facts is not None
    sizes = sizes_of(column.dtype)
    estimates = {each: sizes[each.kind](facts, each) for each in allowed(column.dtype, POLICIES["small"])}
    written = {
        each: _bytes_a_row(column, each, tmp_path / "slab.parquet") for each in estimates if estimates[each] < inf
    }
    best = min(estimates, key=estimates.__getitem__)
    assert written[best] <= 1.15 * min(written.values())
    known = 1 - column.null_count() / _ROWS
    assert known * estimates[best] + facts.packed_levels == pytest.approx(written[best], rel=0.25, abs=0.02)


def _bytes_a_row(column: pl.Series, encoding: Encoding, path: Path) -> float:
    frame = column.to_frame()
    with parquet_writer(path, frame, {column.name: encoding}) as writer:
        writer.write_table(as_arrow(frame))
    return path.stat().st_size / column.len()
