"""Columns that repeat themselves are written by a dictionary, others never; all values come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.extract.encoding import as_arrow, parquet_writer, repeating
from bqx_assets_tests.frames import minutes

_ROWS = 120_000


def _columns() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.standard_normal(_ROWS)) * 2e-4
    exact = rng.standard_normal(_ROWS)
    return pl.DataFrame(
        [
            minutes(_ROWS),
            pl.Series("price", np.round(1.1 + walk, 5)),
            pl.Series("ratio", exact),
            pl.Series("ratio_mostly_unknown", np.where(np.arange(_ROWS) % 16 == 0, exact, np.nan), nan_to_null=True),
            pl.Series("unknown", [None], dtype=pl.Float64).new_from_index(0, _ROWS),
            pl.Series("volume", rng.integers(0, 1_440, _ROWS)),
            pl.Series("number", np.arange(_ROWS)),
            pl.Series("regime", ["up", "down"] * (_ROWS // 2)),
            pl.Series("text", [f"text {number}" for number in range(_ROWS)]),
            pl.Series("flag", rng.integers(0, 2, _ROWS) == 1),
        ]
    )


def _write(frame: pl.DataFrame, path: Path) -> Path:
    with parquet_writer(path, frame) as writer:
        writer.write_table(as_arrow(frame))
    return path


def test_a_dictionary_is_for_columns_that_repeat_themselves(tmp_path: Path) -> None:
    frame = _columns()
    assert repeating(frame) == ["price", "volume", "regime"]
    group = pq.read_metadata(_write(frame, tmp_path / "slab.parquet")).row_group(0)
    chunks = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert [name for name, chunk in chunks.items() if chunk.has_dictionary_page] == ["price", "volume", "regime"]
    assert all(chunk.compression == "ZSTD" and chunk.is_stats_set for chunk in chunks.values())


def test_a_dictionary_of_rounded_prices_takes_a_fifth_off_and_other_columns_take_no_more(tmp_path: Path) -> None:
    for name, at_most in {"price": 0.8, "volume": 1.05, "regime": 1.05, "ratio": 1.02, "number": 1.05}.items():
        frame = _columns().select(name)
        frame.write_parquet(tmp_path / "polars.parquet", compression="zstd", compression_level=1)
        ours, theirs = _write(frame, tmp_path / "ours.parquet"), tmp_path / "polars.parquet"
        assert ours.stat().st_size <= at_most * theirs.stat().st_size + 2_000, name


@pytest.mark.parametrize("rows", [0, 1, 63])
def test_a_few_rows_decide_nothing(rows: int) -> None:
    assert repeating(_columns().head(rows)) == []


@given(
    st.lists(st.none() | st.floats() | st.sampled_from([1.5, -0.0, 0.0]), max_size=300),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=300),
    st.lists(st.none() | st.text(max_size=3) | st.sampled_from(["up", "down"]), max_size=300),
)
def test_any_values_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, floats: list[float], integers: list[int], texts: list[str]
) -> None:
    height = max(len(floats), len(integers), len(texts), 1)
    types = {"f": pl.Float64, "i": pl.Int64, "t": pl.String}
    series = [
        pl.Series(name, [*found, *[None] * (height - len(found))], dtype=types[name])
        for name, found in {"f": floats, "i": integers, "t": texts}.items()
    ]
    frame = pl.DataFrame(series)
    assert_frame_equal(pl.read_parquet(_write(frame, tmp_path_factory.mktemp("any") / "slab.parquet")), frame)
