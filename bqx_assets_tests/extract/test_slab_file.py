"""A slab's file is the same however its rows come in, and no more of them are held than a row group takes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, RowAccount, SlabProvenance
from bqx_assets.extract.slab_file import encode_slab
from bqx_assets.extract.slabs import source_of
from bqx_assets.merge.footer import read_footer
from bqx_assets_tests.descriptions import MODIFIED, describe
from bqx_assets_tests.frames import minutes, values


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
