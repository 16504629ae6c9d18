"""Values come back as they were, repeating columns get dictionaries, a slab is the same however its rows come in."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, RowAccount, SlabProvenance
from bqx_assets.extract.encoding import as_arrow, encode_slab, parquet_writer, repeating
from bqx_assets.extract.slabs import source_of
from bqx_assets.merge.footer import read_footer
from bqx_assets_tests.descriptions import MODIFIED, describe
from bqx_assets_tests.frames import minutes, values

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


def _provenance() -> SlabProvenance:
    return SlabProvenance(
        pair="eurusd",
        role="feature",
        family="market_wide",
        fingerprint="f",
        spine_fingerprint="s",
        source=source_of(describe("features", "t", ())),
        snapshot_time=MODIFIED,
        rows=RowAccount(read=0, matched=0, missing=0, extra=0, duplicates=0),
        duplicate_policy="refuse",
        columns=(),
    )


def _frame(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    columns = [values(kind, rows, rng).alias(kind) for kind in ("FLOAT64", "INT64", "STRING", "BOOL")]
    return pl.DataFrame([minutes(rows), *columns])


@pytest.mark.parametrize("row_groups", [(1_000,), (300, 300, 300, 100), (7,) * 142 + (6,)])
@pytest.mark.parametrize("frame_rows", [1_000, 300, 128])
def test_rows_types_and_row_groups_are_the_same_however_the_rows_come(
    tmp_path: Path, frame_rows: int, row_groups: tuple[int, ...]
) -> None:
    frame, path = _frame(1_000), tmp_path / "slab.parquet"
    told = encode_slab(frame.iter_slices(frame_rows), path, row_groups, _provenance)
    assert_frame_equal(pl.read_parquet(path), frame)
    footer = read_footer(path)
    assert footer.row_groups == row_groups
    assert footer.types == ("TIMESTAMP", "FLOAT64", "INT64", "STRING", "BOOL")
    assert footer.metadata()[SLAB_METADATA_KEY] == told.model_dump_json()


def test_several_row_groups_take_the_space_that_polars_takes(tmp_path: Path) -> None:
    frame = _frame(60_000)
    encode_slab([frame], tmp_path / "slab.parquet", (20_000,) * 3, _provenance)
    frame.write_parquet(tmp_path / "whole.parquet", compression="zstd", compression_level=1, row_group_size=20_000)
    sizes = [(tmp_path / f"{name}.parquet").stat().st_size for name in ("slab", "whole")]
    assert sizes[0] < 1.1 * sizes[1]


def test_provenance_is_asked_for_after_the_last_frame(tmp_path: Path) -> None:
    order: list[str] = []

    def frames() -> Iterator[pl.DataFrame]:
        for number in range(3):
            yield pl.DataFrame({"x": [number]})
        order.append("last frame")

    def provenance() -> SlabProvenance:
        order.append("provenance")
        return _provenance()

    encode_slab(frames(), tmp_path / "slab.parquet", (1, 1, 1), provenance)
    assert order == ["last frame", "provenance"]


class _BrokenError(Exception):
    """An error of the rows' own."""


def test_an_error_of_the_rows_comes_out_as_it_is(tmp_path: Path) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"x": [1]})
        raise _BrokenError

    with pytest.raises(_BrokenError):
        encode_slab(frames(), tmp_path / "slab.parquet", (1, 1), _provenance)


def test_frames_are_let_go_while_others_come(tmp_path: Path) -> None:
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal alive, most
        for _ in range(60):
            array = np.zeros(10_000)
            weakref.finalize(array, gone)
            alive += 1
            most = max(most, alive)
            column = pa.Array.from_buffers(pa.float64(), array.size, [None, pa.py_buffer(array.data)])
            del array
            yield pl.DataFrame(pa.table({"x": column}))
            del column

    encode_slab(frames(), tmp_path / "slab.parquet", (10_000,) * 60, _provenance)
    assert most < 30
