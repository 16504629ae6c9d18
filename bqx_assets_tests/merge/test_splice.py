"""The splice: equal to the join, read equal by everybody; composed in a bucket, it gives the same file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base import files
from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    ExtractionRecord,
    Manifest,
    manifest_path,
    pieces_in_order,
)
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import (
    CheckpointMismatch,
)
from bqx_assets.base.frame_files import parquet_end_bytes
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.forgery import exchange, writer_name
from bqx_assets_tests.frames import EURUSD, minutes, slab_frame
from bqx_assets_tests.merge.readers import READERS, arrow
from bqx_assets_tests.merge.slabs import (
    PERIODS,
    SETTINGS,
    as_earlier_version,
    extracted,
    merged,
    months_of,
    not_synced,
    slab_folder,
)

NAN, INF = float("nan"), float("inf")
TYPES = {
    pl.Float64: st.floats(width=64),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.String: st.text(max_size=8) | st.just("x" * 1500),
    pl.Boolean: st.booleans(),
}


def _awkward(rows: int) -> dict[str, pl.DataFrame]:
    """Every type with its worst values."""

    def cycle(values: list[Any]) -> list[Any]:
        return (values * rows)[:rows]

    return {
        "agg_eurusd": pl.DataFrame(
            {
                "wild": pl.Series(cycle([1.5, NAN, INF, -INF, None, -0.0]), dtype=pl.Float64),
                "void": pl.Series([None] * rows, dtype=pl.Float64),
                "count": pl.Series(cycle([2**62, None, -3]), dtype=pl.Int64),
            }
        ),
        "tmp_eurusd": pl.DataFrame(
            {
                "word": pl.Series(cycle(["Ω", "", None, "long " * 300]), dtype=pl.String),
                "flag": pl.Series(cycle([True, None, False]), dtype=pl.Boolean),
                "no_word": pl.Series([None] * rows, dtype=pl.String),
                "moment": minutes(rows).reverse(),
            }
        ),
        "mkt_vol": pl.DataFrame({"rising": pl.Series(range(rows), dtype=pl.Int64)}),
    }


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("period_rows", [0, 70])
def test_every_reader_reads_the_pieces_own_values(tmp_path: Path, reader: str, period_rows: int) -> None:
    tables = _awkward(200)
    slab_folder(tmp_path / "slabs", tables, 200, period_rows)
    output = merged(tmp_path / "slabs", tmp_path / "out.parquet")
    expected = pl.concat(
        [slab_frame(tmp_path / "slabs", table) for table in ("targets_eurusd", *tables)], how="horizontal"
    )
    read = READERS[reader](output, expected.columns)
    assert dict(read.schema) == dict(expected.schema)
    assert_frame_equal(read, expected, check_exact=True)


@pytest.mark.parametrize("reader", READERS)
def test_a_projection_reads_only_the_columns_asked_for_in_the_order_asked(tmp_path: Path, reader: str) -> None:
    slab_folder(tmp_path / "slabs", _awkward(50), 50, 20)
    output = merged(tmp_path / "slabs", tmp_path / "out.parquet")
    names = ["mkt_vol__rising", "tmp__word", KEY]
    assert_frame_equal(READERS[reader](output, names), pl.read_parquet(output).select(names))


@pytest.mark.parametrize("period_rows", [0, 50])
def test_filters_by_statistics_find_every_row(tmp_path: Path, period_rows: int) -> None:
    slab_folder(tmp_path / "slabs", _awkward(200), 200, period_rows)
    output = merged(tmp_path / "slabs", tmp_path / "out.parquet")
    scan = pl.scan_parquet(output)
    assert scan.filter(pl.col("mkt_vol__rising") >= 150).select(pl.len()).collect().item() == 50
    assert (
        scan.filter(pl.col(KEY) == months_of(200, period_rows)[120]).select("mkt_vol__rising").collect().item() == 120
    )
    assert scan.filter(pl.col("tmp__word") == "Ω").select(pl.len()).collect().item() == 50
    query = f"SELECT count(*) FROM '{output}' WHERE mkt_vol__rising BETWEEN 60 AND 69"  # noqa: S608 -- our own file
    found = cast("Any", duckdb).sql(query).fetchall()
    assert found == [(10,)]


def test_statistics_of_the_pieces_are_kept(tmp_path: Path) -> None:
    slab_folder(tmp_path / "slabs", _awkward(200), 200, 50)
    output = merged(tmp_path / "slabs", tmp_path / "out.parquet")
    metadata = arrow.read_metadata(output)
    place = [metadata.schema.column(n).name for n in range(metadata.num_columns)].index("mkt_vol__rising")
    kept = [metadata.row_group(n).column(place).statistics for n in range(4)]
    assert [(each.min, each.max, each.null_count) for each in kept] == [(n, n + 49, 0) for n in range(0, 200, 50)]


@st.composite
def _tables(draw: st.DrawFn) -> tuple[int, int, dict[str, pl.DataFrame]]:
    rows = draw(st.integers(1, 12))
    names = draw(st.permutations(["agg_eurusd", "tmp_eurusd", "mkt_vol"]))
    frames: dict[str, pl.DataFrame] = {}
    for name in names[: draw(st.integers(1, 3))]:
        kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
        frames[name] = pl.DataFrame(
            [
                pl.Series(f"c{n}", draw(st.lists(st.none() | TYPES[kind], min_size=rows, max_size=rows)), dtype=kind)
                for n, kind in enumerate(kinds)
            ]
        )
    return rows, draw(st.integers(0, rows)), frames


@settings(max_examples=60, deadline=None)
@given(_tables())
def test_splice_equals_join_for_any_tables_types_nulls_and_periods(
    made: tuple[int, int, dict[str, pl.DataFrame]],
) -> None:
    rows, period_rows, tables = made
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "sync_file", not_synced)
        folder = Path(name)
        record = slab_folder(folder / "slabs", tables, rows, period_rows)
        spliced = pl.read_parquet(merged(folder / "slabs", folder / "splice.parquet"))
        groups = read_footer(folder / "splice.parquet").row_groups
        joined = pl.read_parquet(merged(folder / "slabs", folder / "join.parquet", "join"))
    assert len(record.spine.periods) == -(-rows // (period_rows or rows))
    assert groups == record.spine.row_groups
    assert spliced.height == rows
    assert_frame_equal(spliced, joined, check_exact=True)


@pytest.mark.parametrize("period_rows", [0, 70])
def test_bytes_lie_period_by_period_and_in_each_table_by_table_behind_them_the_footer(
    tmp_path: Path, period_rows: int
) -> None:
    record = slab_folder(tmp_path / "slabs", _awkward(200), 200, period_rows)
    data = merged(tmp_path / "slabs", tmp_path / "out.parquet").read_bytes()
    names = [slab.pieces[n].object_name for n in range(len(record.spine.periods)) for slab in record.slabs]
    assert names[:2] == ["targets_eurusd/2024-01.parquet", "agg_eurusd/2024-01.parquet"]
    assert [piece.object_name for _, piece in pieces_in_order(record.slabs)] == names
    pieces = b"".join((tmp_path / "slabs" / name).read_bytes() for name in names)
    assert data[: len(pieces)] == pieces
    assert len(data) - len(pieces) == parquet_end_bytes(data[-8:])


def test_the_checksum_follows_without_reading_and_catches_any_flipped_byte(tmp_path: Path) -> None:
    folder = extracted(tmp_path / "slabs")
    output = tmp_path / "out.parquet"
    manifest = merge(plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), progress=Silent())
    assert manifest.file.crc32c == crc32c_of_file(output)
    assert manifest.file.size_bytes == output.stat().st_size
    data = bytearray(output.read_bytes())
    for place in range(0, len(data), len(data) // 20):
        data[place] ^= 1
        output.write_bytes(data)
        assert crc32c_of_file(output) != manifest.file.crc32c
        data[place] ^= 1


@pytest.mark.parametrize("engine", ["splice", "join"])
@pytest.mark.parametrize("period", PERIODS)
def test_a_piece_whose_bytes_rotted_is_refused_by_name(tmp_path: Path, engine: str, period: str) -> None:
    folder = extracted(tmp_path / "slabs")
    _rot(folder / "agg_eurusd" / f"{period}.parquet")
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    with pytest.raises(CheckpointMismatch, match=rf"eurusd/agg_eurusd/{period}: other bytes .* --table agg_eurusd"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), engine=engine, progress=Silent())
    assert not (tmp_path / "out.parquet").exists()


def _rot(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("engine", ["splice", "join"])
def test_columns_exchanged_in_a_piece_under_its_own_crc32c_are_refused(tmp_path: Path, engine: str) -> None:
    folder = extracted(tmp_path / "slabs")
    path = folder / "agg_eurusd" / "2024-02.parquet"
    exchange(path, "agg__agg_mean_45", "agg__agg_mean_90", writer_name(path))
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)  # footers, sizes and CRC32C say nothing
    slab = next(each for each in plan.extraction.slabs if each.table == "agg_eurusd")
    assert crc32c_of_file(path) == slab.pieces[1].crc32c
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd/2024-02: other bytes"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), engine=engine, progress=Silent())
    assert not (tmp_path / "out.parquet").exists()


def test_slabs_of_an_earlier_version_are_spliced_and_joined_to_the_same_values(tmp_path: Path) -> None:
    expected = pl.read_parquet(merged(extracted(tmp_path / "slabs"), tmp_path / "now.parquet"))
    folder = as_earlier_version(tmp_path / "slabs")
    assert {path.name for path in folder.glob("*.parquet")} == {f"{table}.parquet" for table in _tables_in(folder)}
    for engine in ("splice", "join"):
        output = merged(folder, tmp_path / f"{engine}.parquet", engine)
        assert_frame_equal(pl.read_parquet(output), expected, check_exact=True)
    manifest = Manifest.load(manifest_path(tmp_path / "splice.parquet"))
    assert manifest.file.content_digest == Manifest.load(manifest_path(tmp_path / "now.parquet")).file.content_digest
    assert manifest.file.crc32c == crc32c_of_file(tmp_path / "splice.parquet")
    assert read_footer(tmp_path / "splice.parquet").row_groups == (120, 80)


def _tables_in(folder: Path) -> list[str]:
    return [slab.table for slab in ExtractionRecord.load(folder / EXTRACTION_FILE).slabs]


def test_a_rotten_slab_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    folder = as_earlier_version(extracted(tmp_path / "slabs"))
    _rot(folder / "agg_eurusd.parquet")
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd: other bytes"):
        merged(folder, tmp_path / "out.parquet")


@pytest.mark.parametrize("earlier", [False, True])
def test_slabs_recorded_before_sha256_was_kept_are_merged_by_their_crc32c(tmp_path: Path, *, earlier: bool) -> None:
    folder = extracted(tmp_path / "slabs")
    if earlier:
        as_earlier_version(folder)
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    old = [
        slab.model_copy(update={"pieces": tuple(each.model_copy(update={"sha256": None}) for each in slab.pieces)})
        for slab in record.slabs
    ]
    record.model_copy(update={"slabs": tuple(old)}).save(folder / EXTRACTION_FILE)
    merged(folder, tmp_path / "out.parquet")
    manifest = Manifest.load(manifest_path(tmp_path / "out.parquet"))
    pieces = [piece for slab in manifest.extraction.slabs for piece in slab.pieces]
    assert {piece.sha256 for piece in pieces} == {None}
    name = next(piece.object_name for piece in pieces if piece.object_name.startswith("agg_eurusd"))
    _rot(folder / name)
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd"):
        merged(folder, tmp_path / "out.parquet")
