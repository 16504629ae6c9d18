"""Columns are written in their encodings, and a slab is the same however its rows come in."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, RowAccount, SlabProvenance
from bqx_assets.base.checksums import Sums, crc32c
from bqx_assets.base.content import Contents, periods_of
from bqx_assets.base.names import KEY
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import as_arrow, encode_piece, parquet_writer
from bqx_assets.extract.encodings import PARQUET_NAMES, SECONDS, Encoding
from bqx_assets.extract.slab_records import source_of
from bqx_assets.merge.footer import parse_footer, read_footer
from bqx_assets.merge.pages import check_pages
from bqx_assets_tests.descriptions import MODIFIED, describe
from bqx_assets_tests.frames import minutes, values


def test_every_column_is_written_in_its_encoding(tmp_path: Path) -> None:
    encodings = {str(each): each for each in SECONDS}
    kinds = {name: np.float64 if each.kind == "split" else np.int64 for name, each in encodings.items()}
    numbers = [pl.Series(name, np.arange(3_000, dtype=kind)) for name, kind in kinds.items()]
    frame = pl.DataFrame([minutes(3_000), *numbers])
    path = tmp_path / "slab.parquet"
    with parquet_writer(path, frame, {KEY: Encoding("delta", "none"), **encodings}) as writer:
        writer.write_table(as_arrow(frame))
    group = pq.read_metadata(path).row_group(0)
    chunks = [group.column(place) for place in range(group.num_columns)]
    codecs = {"none": "UNCOMPRESSED"}
    for chunk in chunks[1:]:
        wanted = encodings[chunk.path_in_schema]
        assert PARQUET_NAMES[wanted.kind] in chunk.encodings, wanted
        assert chunk.compression == codecs.get(wanted.codec, wanted.codec.upper()), wanted
        assert chunk.is_stats_set, wanted
    assert_frame_equal(pl.read_parquet(path), frame)


@pytest.mark.parametrize("letters", [220, 20_000, 200_000])
def test_a_page_of_long_texts_has_at_most_4_mib(tmp_path: Path, letters: int) -> None:
    """Arrow ends a page only after a batch, and refuses one of more than 2 GiB."""
    frame = pl.DataFrame({"text": [f"{number:020d}" * (letters // 20) for number in range(16_000_000 // letters)]})
    path = tmp_path / "slab.parquet"
    with parquet_writer(path, frame, {"text": Encoding("plain", "zstd", 1)}) as writer:
        writer.write_table(as_arrow(frame))
    footer, data = read_footer(path), path.read_bytes()
    chunk, leaf = footer.groups[0].chunks[0], footer.leaves[0]
    pages = check_pages(lambda start, length: data[start : start + length], chunk, leaf)
    assert all(page.values * letters <= 4 << 20 for page in pages)
    assert_frame_equal(pl.read_parquet(path), frame)


def test_long_texts_among_many_short_ones_make_no_page_of_more_than_128_mib(tmp_path: Path) -> None:
    """By their mean length alone, all long ones would be one page, which Arrow refuses from 2 GiB on."""
    rows, long = 400_000, 1_500
    text = pl.Series("text", ["", "x" * 200_000])[[0] * (rows - long) + [1] * long]
    frame, path = text.to_frame(), tmp_path / "slab.parquet"
    with parquet_writer(path, frame, {"text": Encoding("plain", "zstd", 1)}) as writer:
        writer.write_table(as_arrow(frame))
    footer, data = read_footer(path), path.read_bytes()
    chunk, leaf = footer.groups[0].chunks[0], footer.leaves[0]
    last = check_pages(lambda start, length: data[start : start + length], chunk, leaf)[-1]
    assert last.values * 200_000 <= 128 << 20


def _choose(rows: pl.DataFrame) -> dict[str, Encoding]:
    return choose(rows, "balanced", {})


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


def test_a_piece_takes_the_space_that_polars_takes(tmp_path: Path) -> None:
    frame = _frame(60_000)
    piece = encode_piece([frame], 60_000, _provenance, _choose)
    frame.write_parquet(tmp_path / "whole.parquet", compression="zstd", compression_level=1)
    assert piece.sums.size_bytes < 1.1 * (tmp_path / "whole.parquet").stat().st_size


class _BrokenError(Exception):
    """An error of the rows' own."""


def test_frames_are_let_go_while_others_come() -> None:
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

    encode_piece(frames(), 600_000, _provenance, _choose)
    assert most < 30


@pytest.mark.parametrize("frame_rows", [1_000, 300, 128])
def test_a_piece_is_one_row_group_however_its_rows_come(frame_rows: int) -> None:
    frame = _frame(1_000)
    contents = Contents(periods_of(frame[KEY]))
    piece = encode_piece(frame.iter_slices(frame_rows), 1_000, _provenance, _choose, contents)
    data = b"".join(piece.blocks)
    assert_frame_equal(pl.read_parquet(data), frame)
    footer = parse_footer(data[-piece.end_bytes :], len(data), "piece")
    assert footer.row_groups == (1_000,)
    assert footer.types == ("TIMESTAMP", "FLOAT64", "INT64", "STRING", "BOOL")
    assert footer.metadata()[SLAB_METADATA_KEY] == piece.provenance.model_dump_json()
    assert piece.sums == Sums(len(data), crc32c(data), hashlib.sha256(data).hexdigest())
    assert piece.encodings == _choose(frame)
    at_once = encode_piece([frame], 1_000, _provenance, _choose)
    assert at_once.blocks == piece.blocks
    whole = Contents(periods_of(frame[KEY]))
    whole.add(as_arrow(frame))
    assert contents.digests(frame.columns) == whole.digests(frame.columns)


@pytest.mark.parametrize("rows", [9, 11])
def test_a_piece_of_more_or_fewer_rows_is_no_piece(rows: int) -> None:
    with pytest.raises(ValueError, match=f"10 rows, expected {rows}"):
        encode_piece(_frame(10).iter_slices(5), rows, _provenance, _choose)


def test_the_provenance_of_a_piece_is_asked_for_after_the_last_frame() -> None:
    order: list[str] = []

    def frames() -> Iterator[pl.DataFrame]:
        for number in range(3):
            yield pl.DataFrame({"x": [number]})
        order.append("last frame")

    def provenance() -> SlabProvenance:
        order.append("provenance")
        return _provenance()

    encode_piece(frames(), 3, provenance, _choose)
    assert order == ["last frame", "provenance"]


def test_an_error_of_the_rows_comes_out_as_it_is() -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"x": [1]})
        raise _BrokenError

    with pytest.raises(_BrokenError):
        encode_piece(frames(), 1, pytest.fail, _choose)
