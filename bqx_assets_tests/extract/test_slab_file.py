"""A slab's file is the same however its rows come in, and no more of them are held than a row group takes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, RowAccount, SlabProvenance
from bqx_assets.extract.slab_file import encode_slab
from bqx_assets.extract.slabs import source_of
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


@pytest.mark.parametrize("frame_rows", [1_000, 300, 128, 7])
def test_the_bytes_are_those_of_all_rows_written_at_once(tmp_path: Path, frame_rows: int) -> None:
    rng = np.random.default_rng(3)
    columns = [values(kind, 1_000, rng).alias(kind) for kind in ("FLOAT64", "INT64", "STRING", "BOOL")]
    frame = pl.DataFrame([minutes(1_000), *columns])
    told = encode_slab(frame.iter_slices(frame_rows), tmp_path / "slab.parquet", (300, 300, 300, 100), _provenance)
    assert told == _provenance()
    metadata = {SLAB_METADATA_KEY: told.model_dump_json()}
    frame.write_parquet(
        tmp_path / "whole.parquet", compression="zstd", compression_level=1, row_group_size=300, metadata=metadata
    )
    assert (tmp_path / "slab.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


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
            column = pa.Array.from_buffers(pa.float64(), array.size, [None, pa.py_buffer(memoryview(array))])
            del array
            yield pl.DataFrame(pa.table({"x": column}))
            del column

    encode_slab(frames(), tmp_path / "slab.parquet", (10_000,) * 60, _provenance)
    assert most < 30
