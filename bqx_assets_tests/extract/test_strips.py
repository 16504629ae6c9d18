"""Columns that are encoded a few at a time give the file of all at once, and leave their memory as they go."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.files import Blocks
from bqx_assets.extract import strips as module
from bqx_assets.extract.encoding import END_BLOCKS, as_arrow, parquet_writer
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.strips import JoinedFile, collected, strips
from bqx_assets_tests.frames import minutes, values

_KINDS = ("FLOAT64", "INT64", "STRING", "BOOL", "TIMESTAMP")


def _frame(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    known = pl.Series(rng.random(rows) < 0.5)
    made = {kind: minutes(rows) if kind == "TIMESTAMP" else values(kind, rows, rng) for kind in _KINDS}
    null = {kind: pl.Series([None], dtype=column.dtype) for kind, column in made.items()}
    whole = [column.alias(kind) for kind, column in made.items()]
    return pl.DataFrame([*whole, *(each.zip_with(known, null[each.name]).alias(f"{each.name}?") for each in whole)])


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, 90), max_size=5))
def test_frames_of_any_size_are_collected_as_one(cuts: list[int]) -> None:
    frame = _frame(90)
    frames = [frame[start:stop] for start, stop in pairwise(sorted({0, *cuts, 90}))]
    chunked = [pl.concat(frames[:2], rechunk=False), *frames[2:]]
    for each in (frames, chunked, [frame.clear(), *frames]):
        assert_frame_equal(pl.DataFrame(list(collected(each, 90).values())), frame)


@pytest.mark.parametrize("rows", [1, 89, 91])
def test_frames_of_another_number_of_rows_are_refused(rows: int) -> None:
    for size in (90, 30):
        with pytest.raises(ValueError, match=f"rows, expected {rows}"):
            collected(_frame(90).iter_slices(size), rows)


def _written(frame: pl.DataFrame, metadata: dict[str, str] | None = None) -> list[bytes]:
    kinds: dict[type[pl.DataType], Encoding] = {
        pl.Float64: Encoding("split", "zstd", 1),
        pl.Int64: Encoding("dictionary", "zstd", 1),
    }
    encodings = {each.name: kinds.get(each.dtype.base_type(), Encoding("plain", "zstd", 1)) for each in frame}
    output = Blocks()
    with parquet_writer(output, frame, encodings) as writer:
        writer.write_table(as_arrow(frame), row_group_size=frame.height)
        if metadata:
            writer.add_key_value_metadata(metadata)
    return output.blocks


@pytest.mark.parametrize("strip_bytes", [1, 3_000, 1 << 20])
def test_the_joined_file_is_byte_for_byte_that_of_all_columns_at_once(
    monkeypatch: pytest.MonkeyPatch, strip_bytes: int
) -> None:
    monkeypatch.setattr(module, "_STRIP_BYTES", strip_bytes)
    frame, file = _frame(200), JoinedFile()
    for strip in strips({column.name: column for column in frame}):
        written = _written(strip)
        file.add(written[:-END_BLOCKS], written[-END_BLOCKS])
    end_bytes = file.close({"a": "b"})
    whole = b"".join(_written(frame, {"a": "b"}))
    assert b"".join(file.blocks) == whole
    assert end_bytes == int.from_bytes(whole[-8:-4], "little") + 8


def test_the_memory_of_a_frame_is_free_once_it_is_collected() -> None:
    """Its columns may be parts of one message, and the views of its texts may point into it."""
    alive: set[int] = set()

    def frames() -> Iterator[pl.DataFrame]:
        for number in range(4):
            assert not alive
            message = np.full(200_000, ord("x"), np.uint8)
            alive.add(number)
            weakref.finalize(message, alive.discard, number)
            data = pa.py_buffer(message.data)
            places = pa.py_buffer(np.arange(0, 200_001, 20, dtype=np.int32).data)
            columns = {
                "number": pa.Array.from_buffers(pa.float64(), 10_000, [None, data.slice(0, 80_000)]),
                "flag": pa.Array.from_buffers(pa.bool_(), 10_000, [None, data.slice(0, 1_250)]),
                "text": pa.Array.from_buffers(pa.string(), 10_000, [None, places, data]),
            }
            del message, data
            table = pa.table(columns)
            del columns
            yield pl.DataFrame(table)
            del table

    columns = collected(frames(), 40_000)
    assert not alive
    assert columns["text"].to_list() == ["x" * 20] * 40_000
