"""The plan: slabs held against their record exactly, every deviation named with its cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, FailedTable
from bqx_assets.base.errors import CheckpointCorrupt, CheckpointMismatch, ColumnCollision, FooterError, MergeRefused
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import plan_merge
from bqx_assets_tests.frames import EURUSD, frame_job, frame_warehouse
from bqx_assets_tests.merge.slabs import SETTINGS, extracted, slab_folder


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
    assert plan.size_bytes == sum(slab.size_bytes for slab in record.slabs)


def test_a_missing_slab_is_named_with_its_cure(folder: Path) -> None:
    (folder / "agg_eurusd.parquet").unlink()
    with pytest.raises(MergeRefused, match=r"1 missing: agg_eurusd.*bqx extract eurusd --table agg_eurusd"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_failed_table_is_named_even_where_an_older_slab_of_it_lies(folder: Path) -> None:
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    left = tuple(slab for slab in record.slabs if slab.table != "tmp_eurusd")
    _change(folder, slabs=left, failed=(FailedTable(table="tmp_eurusd", error="EmptyTable", message="x"),))
    with pytest.raises(MergeRefused, match=r"eurusd: 1 failed or not extracted: tmp_eurusd, expected exactly 7 slabs"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_tables_not_asked_for_yet_are_not_left_out_in_silence(tmp_path: Path) -> None:
    extract_pair(frame_job(tmp_path, frame_warehouse()), ["agg_eurusd"])
    with pytest.raises(MergeRefused, match="5 failed or not extracted"):
        plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)


def test_a_superfluous_file_is_named(folder: Path) -> None:
    shutil.copy(folder / "agg_eurusd.parquet", folder / "agg_old.parquet")
    with pytest.raises(MergeRefused, match=r"1 superfluous: agg_old.parquet"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_strangers_file_beside_slabs_may_have_any_name(folder: Path) -> None:
    (folder / "two\nlines.txt").write_bytes(b"x")
    (folder / ("x" * 250)).mkdir()
    assert len(plan_merge(EURUSD, working_folder(folder), SETTINGS).parts) == 7


def test_half_written_files_are_no_tables(folder: Path) -> None:
    (folder / ".agg_eurusd.parquet.partial-1-ab").write_bytes(b"x")
    assert len(plan_merge(EURUSD, working_folder(folder), SETTINGS).parts) == 7


def test_a_slab_of_another_size_is_not_the_recorded_one(folder: Path) -> None:
    with (folder / "agg_eurusd.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointMismatch, match=r"eurusd/agg_eurusd: .* bytes"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_a_slab_of_another_provenance_is_refused(folder: Path, tmp_path: Path) -> None:
    other = extracted(tmp_path / "other", row_group_rows=90)
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    shutil.copy(other / "agg_eurusd.parquet", folder / "agg_eurusd.parquet")
    size_bytes = (folder / "agg_eurusd.parquet").stat().st_size
    slabs = tuple(
        slab.model_copy(update={"size_bytes": size_bytes}) if slab.table == "agg_eurusd" else slab
        for slab in record.slabs
    )
    _change(folder, slabs=slabs)
    with pytest.raises(CheckpointMismatch, match="agg_eurusd: another provenance"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_slabs_of_another_spine_are_refused(folder: Path) -> None:
    spine = ExtractionRecord.load(folder / EXTRACTION_FILE).spine
    _change(folder, spine=spine.model_copy(update={"fingerprint": "another"}))
    with pytest.raises(CheckpointMismatch, match="expected another"):
        plan_merge(EURUSD, working_folder(folder), SETTINGS)


def test_another_pairs_folder_is_refused(folder: Path) -> None:
    with pytest.raises(MergeRefused, match="slabs of eurusd, expected of gbpusd"):
        plan_merge(parse_pair("gbpusd"), working_folder(folder), SETTINGS)


def test_a_damaged_slab_of_the_right_size_is_a_footer_error(folder: Path) -> None:
    path = folder / "agg_eurusd.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:-300] + b"\xff" * 292 + data[-8:])
    with pytest.raises(FooterError, match="eurusd/agg_eurusd"):
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
