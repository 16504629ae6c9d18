"""The plan: slabs held against their record exactly, every deviation named with its cure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.artifacts import EXTRACTION_FILE, SLAB_METADATA_KEY, ExtractionRecord, FailedTable, SlabRecord
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.errors import CheckpointCorrupt, CheckpointMismatch, ColumnCollision, FooterError, MergeRefused
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import plan_merge
from bqx_assets_tests.frames import EURUSD, across_months, frame_job, frame_warehouse
from bqx_assets_tests.merge.slabs import PERIODS, SETTINGS, as_earlier_version, extracted, slab_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Slabs of six tables."""
    return extracted(tmp_path / "slabs")


def _change(folder: Path, **facts: object) -> None:
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    record.model_copy(update=facts).save(folder / EXTRACTION_FILE)


def test_a_plan_has_the_recorded_slabs_in_order_the_spine_first(folder: Path) -> None:
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    assert [part.table for part in plan.parts] == [slab.table for slab in record.slabs]
    assert plan.parts[0].table == "targets_eurusd"
    assert (plan.periods, *(part.periods for part in plan.parts)) == (2,) * 8
    names = [[folder / part.table / f"{period}.parquet" for period in PERIODS] for part in plan.parts]
    assert [part.paths for part in plan.parts] == names
    assert plan.size_bytes == sum(slab.size_bytes for slab in record.slabs)


@pytest.mark.parametrize("period", PERIODS)
def test_a_missing_piece_is_named_with_its_cure(folder: Path, period: str) -> None:
    (folder / "agg_eurusd" / f"{period}.parquet").unlink()
    with pytest.raises(
        MergeRefused, match=rf"1 missing: agg_eurusd/{period}, .*bqx extract eurusd --table agg_eurusd\."
    ):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_all_missing_pieces_of_a_slab_are_named_and_its_table_once(folder: Path) -> None:
    shutil.rmtree(folder / "agg_eurusd")
    with pytest.raises(
        MergeRefused, match=r"2 missing: agg_eurusd/2024-01, agg_eurusd/2024-02, .*eurusd --table agg_eurusd\."
    ):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_missing_piece_of_the_spine_is_extracted_again_with_all_tables(folder: Path) -> None:
    (folder / "targets_eurusd" / "2024-02.parquet").unlink()
    with pytest.raises(MergeRefused, match=r"1 missing: targets_eurusd/2024-02, .*: bqx extract eurusd\.$"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_failed_table_is_named_even_where_an_older_slab_of_it_lies(folder: Path) -> None:
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    left = tuple(slab for slab in record.slabs if slab.table != "tmp_eurusd")
    _change(folder, slabs=left, failed=(FailedTable(table="tmp_eurusd", error="EmptyTable", message="x"),))
    with pytest.raises(MergeRefused, match=r"eurusd: 1 failed or not extracted: tmp_eurusd, expected exactly 7 slabs"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_tables_not_asked_for_yet_are_not_left_out_in_silence(tmp_path: Path) -> None:
    extract_pair(frame_job(tmp_path, across_months(frame_warehouse()), period="month"), ["agg_eurusd"])
    with pytest.raises(MergeRefused, match="5 failed or not extracted"):
        plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)


@pytest.mark.parametrize("name", ["agg_old.parquet", "agg_eurusd.parquet", "agg_eurusd/2023-12.parquet"])
def test_a_superfluous_file_is_named(folder: Path, name: str) -> None:
    shutil.copy(folder / "agg_eurusd" / "2024-01.parquet", folder / name)
    with pytest.raises(MergeRefused, match=f"1 superfluous: {name}"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_strangers_file_beside_slabs_may_have_any_name(folder: Path) -> None:
    (folder / "two\nlines.txt").write_bytes(b"x")
    (folder / ("x" * 250)).mkdir()
    assert len(plan_merge(EURUSD, working_folder(folder), SETTINGS).parts) == 7


def test_half_written_files_are_no_tables(folder: Path) -> None:
    (folder / ".agg_eurusd.parquet.partial-1-ab").write_bytes(b"x")
    (folder / "agg_eurusd" / ".2024-02.parquet.partial-1-ab").write_bytes(b"x")
    assert len(plan_merge(EURUSD, working_folder(folder), SETTINGS).parts) == 7


PIECE = "agg_eurusd/2024-02.parquet"


def test_a_piece_of_another_size_is_not_the_recorded_one(folder: Path) -> None:
    with (folder / PIECE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointMismatch, match=r"eurusd/agg_eurusd/2024-02: .* bytes"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def _put(folder: Path, data: bytes) -> None:
    """Put other bytes in the place of a piece, with a record that vouches for their size and checksums."""
    (folder / PIECE).write_bytes(data)
    sums = sums_of_files([(folder / PIECE, 0)])._asdict()

    def changed(slab: SlabRecord) -> SlabRecord:
        pieces = [each.model_copy(update=sums) if each.object_name == PIECE else each for each in slab.pieces]
        return slab.model_copy(update={"pieces": tuple(pieces)})

    _change(folder, slabs=tuple(map(changed, ExtractionRecord.load(folder / EXTRACTION_FILE).slabs)))


def _rewrite(folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Give a piece another content under its own provenance."""
    told = pl.read_parquet_metadata(folder / PIECE)[SLAB_METADATA_KEY]
    table = change(pl.read_parquet(folder / PIECE)).to_arrow()
    with pq.ParquetWriter(folder / PIECE, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({SLAB_METADATA_KEY: told})
    _put(folder, (folder / PIECE).read_bytes())


def _of_another_extraction(folder: Path) -> bytes:
    warehouse = across_months(frame_warehouse())
    warehouse.modified += timedelta(hours=1)
    extract_pair(frame_job(folder.with_name("other"), warehouse, period="month"))
    return (folder.with_name("other") / PIECE).read_bytes()


@pytest.mark.parametrize(
    "other", ["agg_eurusd/2024-01.parquet", "mkt_vol/2024-02.parquet", "targets_eurusd/2024-02.parquet", "another run"]
)
def test_a_piece_of_another_provenance_is_refused(folder: Path, other: str) -> None:
    _put(folder, _of_another_extraction(folder) if other == "another run" else (folder / other).read_bytes())
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd/2024-02: another provenance"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        pl.exclude("agg__agg_mean_45"),
        pl.all().name.map(lambda name: name.replace("agg_mean_45", "agg_mean_46")),
        pl.all().cast(pl.Float64, strict=False).cast(pl.Int64, strict=False),
    ],
    ids=["one less", "another name", "another type"],
)
def test_a_piece_of_another_column_set_is_refused(folder: Path, change: pl.Expr) -> None:
    _rewrite(folder, lambda frame: frame.select(change))
    with pytest.raises(CheckpointMismatch, match=r"eurusd/agg_eurusd/2024-02: .* other columns"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


@pytest.mark.parametrize("rows", [79, 81])
def test_a_piece_of_another_number_of_rows_is_refused(folder: Path, rows: int) -> None:
    _rewrite(folder, lambda frame: pl.concat([frame, frame]).head(rows))
    with pytest.raises(CheckpointMismatch, match=rf"eurusd/agg_eurusd: row groups \(120, {rows}\)"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


@pytest.mark.parametrize("pieces", [slice(1), slice(1, None), slice(None, None, -1)], ids=["first", "last", "reversed"])
def test_a_slab_without_a_piece_for_each_period_in_order_is_refused(folder: Path, pieces: slice) -> None:
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    place = [slab.table for slab in record.slabs].index("agg_eurusd")
    slabs = list(record.slabs)
    slabs[place] = slabs[place].model_copy(update={"pieces": slabs[place].pieces[pieces]})
    for name in {"2024-01", "2024-02"} - {piece.period for piece in slabs[place].pieces}:
        (folder / f"agg_eurusd/{name}.parquet").unlink()
    _change(folder, slabs=tuple(slabs))
    with pytest.raises(CheckpointMismatch, match=r"eurusd/agg_eurusd: pieces .*, expected 2024-01, 2024-02"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_the_plan_of_slabs_of_an_earlier_version_is_that_of_their_files(folder: Path) -> None:
    as_earlier_version(folder)
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    files = [part.paths for part in plan.parts]
    assert files == [[folder / f"{part.table}.parquet"] for part in plan.parts]
    assert plan.size_bytes == sum(path.stat().st_size for (path,) in files)
    assert plan.periods == 1


def test_slabs_of_another_spine_are_refused(folder: Path) -> None:
    spine = ExtractionRecord.load(folder / EXTRACTION_FILE).spine
    _change(folder, spine=spine.model_copy(update={"fingerprint": "another"}))
    with pytest.raises(CheckpointMismatch, match="expected another"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_another_pairs_folder_is_refused(folder: Path) -> None:
    with pytest.raises(MergeRefused, match="slabs of eurusd, expected of gbpusd"):
        plan_merge(parse_pair("gbpusd"), working_folder(folder), SETTINGS)


def test_a_damaged_piece_of_the_right_size_is_a_footer_error(folder: Path) -> None:
    data = (folder / PIECE).read_bytes()
    (folder / PIECE).write_bytes(data[:-300] + b"\xff" * 292 + data[-8:])
    with pytest.raises(FooterError, match="eurusd/agg_eurusd/2024-02"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_the_slabs_of_an_extraction_that_was_killed_are_no_raw_checkpoints(folder: Path) -> None:
    (folder / EXTRACTION_FILE).unlink()
    with pytest.raises(MergeRefused, match=r"an extraction that did not end.*bqx extract eurusd"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_damaged_record_is_corrupt(folder: Path) -> None:
    (folder / EXTRACTION_FILE).write_text("{")
    with pytest.raises(CheckpointCorrupt):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_two_tables_with_one_column_name_collide_by_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    slab_folder(tmp_path, {"agg": frame, "agg_eurusd": frame}, 2)
    with pytest.raises(ColumnCollision, match="agg__x from agg, agg_eurusd"):
        plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)
