"""One pair's extraction: every table accounted for, failures named after the rest is saved, resume by fingerprint."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import EXTRACTION_FILE, SLAB_METADATA_KEY, ExtractionRecord, SlabProvenance
from bqx_assets.base.errors import (
    CheckpointCorrupt,
    ClockBehind,
    DuplicateKeys,
    ExtractionIncomplete,
    FolderBusy,
    TransientReadError,
    UnknownTable,
)
from bqx_assets.base.names import KEY
from bqx_assets.base.retry import RETRIES
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract import memory
from bqx_assets.extract.pair import NOT_EXTRACTED, extract_features, extract_pair, extract_spine
from bqx_assets.extract.slabs import Slabs
from bqx_assets_tests.frames import (
    FEW_TABLES,
    FrameWarehouse,
    Told,
    across_months,
    frame_job,
    frame_warehouse,
    piece_path,
    slab_frame,
)

ROWS = 200


@pytest.fixture
def warehouse() -> FrameWarehouse:
    return frame_warehouse(ROWS)


def _slab(folder: Path, table: str) -> pl.DataFrame:
    return slab_frame(folder, table)


def test_every_table_becomes_one_slab_of_the_spines_rows(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    assert [slab.table for slab in record.features()] == list(FEW_TABLES)
    assert record.failed == ()
    for slab in record.features():
        frame = _slab(tmp_path, slab.table)
        assert frame.height == record.spine.rows == ROWS
        assert frame.columns == [column.name for column in slab.provenance.columns]
        assert KEY not in frame.columns


def test_a_slabs_values_are_the_tables_own_on_the_spines_rows(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    shuffled = warehouse.frames[FEATURES_DATASET, "mkt_vol"].sample(fraction=0.8, shuffle=True, seed=3)
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = shuffled
    record = extract_pair(frame_job(tmp_path, warehouse))
    keys = _slab(tmp_path, "targets_eurusd").select(KEY)
    expected = keys.join(shuffled, on=KEY, how="left", maintain_order="left").drop(KEY)
    columns = next(slab.provenance.columns for slab in record.slabs if slab.table == "mkt_vol")
    expected = expected.select(pl.col(column.source).alias(column.name) for column in columns)
    assert_frame_equal(_slab(tmp_path, "mkt_vol"), expected)


def test_a_piece_carries_its_provenance_in_its_own_footer(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    for slab in record.slabs:
        (piece,) = slab.pieces
        metadata = pl.read_parquet_metadata(tmp_path / piece.object_name)
        told = SlabProvenance.model_validate_json(metadata[SLAB_METADATA_KEY])
        assert (told.fingerprint, told.spine_fingerprint, told.rows) == (
            piece.fingerprint,
            piece.spine_fingerprint,
            piece.rows,
        )
        own = {"fingerprint", "spine_fingerprint"}
        assert told.model_dump(exclude=own) == slab.provenance.model_dump(exclude=own)


def test_all_tables_are_read_at_one_snapshot_over_the_spines_own_range(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    features = [request for request in warehouse.requests if request.table.dataset == FEATURES_DATASET]
    assert {request.snapshot_time for request in warehouse.requests} == {record.snapshot_time}
    assert {(request.start, request.end) for request in features} == {(record.spine.first, record.spine.last)}


def test_only_the_pairs_own_rows_are_read_from_a_table_of_several(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    table = warehouse.frames[FEATURES_DATASET, "agg_eurusd"]
    other = table.with_columns(pl.lit("gbpusd").alias("pair"))
    warehouse.frames[FEATURES_DATASET, "agg_eurusd"] = pl.concat([other, table])
    record = extract_pair(frame_job(tmp_path, warehouse))
    slab = next(slab for slab in record.slabs if slab.table == "agg_eurusd")
    assert slab.provenance.rows.read == ROWS
    assert not any(column.source == "pair" for column in slab.provenance.columns)


def test_the_leaking_targets_of_base_bqx_are_left_out_and_listed(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    base = next(slab.provenance for slab in record.slabs if slab.table == "base_bqx_eurusd")
    assert len(base.quarantined) == 7
    assert not any("target" in name for name in _slab(tmp_path, "base_bqx_eurusd").columns)


def test_a_future_value_under_an_innocent_name_is_quarantined(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    future = warehouse.frames[TARGETS_DATASET, "targets_eurusd"].get_column("target_bqx90_h30")
    table = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = table.with_columns(future.alias("mkt_vol_atr_45"))
    record = extract_pair(frame_job(tmp_path, warehouse))
    vol = next(slab.provenance for slab in record.slabs if slab.table == "mkt_vol")
    assert [each.column for each in vol.quarantined] == ["mkt_vol_atr_45"]
    assert "mkt_vol__mkt_vol_atr_45" not in _slab(tmp_path, "mkt_vol").columns


def test_columns_that_look_forward_are_kept_where_asked_for_and_the_record_says_so(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse, include_forward_looking=True))
    assert record.forward_looking_included
    assert not any(slab.provenance.quarantined for slab in record.slabs)


def test_a_rerun_reads_nothing_and_gives_the_same_slabs(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    first = extract_pair(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    second = extract_pair(frame_job(tmp_path, warehouse))
    assert not warehouse.reads
    assert second.slabs == first.slabs
    assert (first.resumed, second.resumed) == ((), tuple(sorted(FEW_TABLES)))


def test_only_a_changed_table_is_read_again(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_pair(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    warehouse.revised["mkt_vol"] = warehouse.modified + timedelta(hours=1)
    record = extract_pair(frame_job(tmp_path, warehouse))
    assert warehouse.reads == {"mkt_vol": 1}
    assert set(record.resumed) == set(FEW_TABLES) - {"mkt_vol"}


def test_what_changed_since_the_last_extraction_is_in_the_record(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    assert extract_pair(frame_job(tmp_path, warehouse)).changes == ()
    warehouse.frames[FEATURES_DATASET, "new_eurusd"] = warehouse.frames[FEATURES_DATASET, "agg_eurusd"]
    extract_pair(frame_job(tmp_path, warehouse))
    assert ExtractionRecord.load(tmp_path / EXTRACTION_FILE).changes == ("table new_eurusd appeared, left out",)


def test_changed_spine_rows_make_every_slab_stale(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_pair(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    targets = warehouse.frames[TARGETS_DATASET, "targets_eurusd"]
    warehouse.frames[TARGETS_DATASET, "targets_eurusd"] = targets.head(150)
    warehouse.revised["targets_eurusd"] = warehouse.modified + timedelta(hours=1)
    record = extract_pair(frame_job(tmp_path, warehouse))
    assert set(warehouse.reads) == {"targets_eurusd", *FEW_TABLES}
    assert {_slab(tmp_path, slab.table).height for slab in record.slabs} == {150}


@pytest.mark.parametrize("damage", ["flip", "cut", "foreign"])
def test_a_slab_whose_bytes_are_not_those_written_is_made_again(
    tmp_path: Path, warehouse: FrameWarehouse, damage: str
) -> None:
    before = extract_pair(frame_job(tmp_path, warehouse))
    path = piece_path(tmp_path, "mkt_vol")
    whole = path.read_bytes()
    flipped = whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]
    foreign = piece_path(tmp_path, "agg_eurusd").read_bytes()
    path.write_bytes({"flip": flipped, "cut": whole[:-20], "foreign": foreign}[damage])
    warehouse.reads.clear()
    after = extract_pair(frame_job(tmp_path, warehouse))
    assert warehouse.reads == {"mkt_vol": 1}
    assert [slab.crc32c for slab in after.slabs] == [slab.crc32c for slab in before.slabs]
    assert path.read_bytes() == whole


def test_a_slab_without_its_record_is_not_finished(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_pair(frame_job(tmp_path, warehouse))
    (tmp_path / "mkt_vol.slab.json").unlink()
    warehouse.reads.clear()
    extract_pair(frame_job(tmp_path, warehouse))
    assert warehouse.reads == {"mkt_vol": 1}


def test_failed_tables_are_all_named_after_the_others_were_saved(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    vol = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = pl.concat([vol, vol.head(5)])
    warehouse.faults["tmp_eurusd"] = [OSError(28, "No space left on device")]
    del warehouse.frames[FEATURES_DATASET, "agg_eurusd"]
    with pytest.raises(ExtractionIncomplete, match="3 of 6 tables failed: agg_eurusd, mkt_vol, tmp_eurusd"):
        extract_pair(frame_job(tmp_path, warehouse))
    record = ExtractionRecord.load(tmp_path / EXTRACTION_FILE)
    assert {failed.table: failed.error for failed in record.failed} == {
        "agg_eurusd": "TableMissing",
        "mkt_vol": "DuplicateKeys",
        "tmp_eurusd": "OSError",
    }
    assert [slab.table for slab in record.features()] == [FEW_TABLES[1], FEW_TABLES[2], FEW_TABLES[3]]


def test_a_rerun_after_a_failure_reads_only_what_failed(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    warehouse.faults["tmp_eurusd"] = [OSError(28, "No space left on device")]
    with pytest.raises(ExtractionIncomplete):
        extract_pair(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    record = extract_pair(frame_job(tmp_path, warehouse))
    assert warehouse.reads == {"tmp_eurusd": 1}
    assert record.failed == ()


def test_a_limit_to_some_tables_records_the_rest_as_not_extracted(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse), ["mkt_vol"])
    assert [slab.table for slab in record.features()] == ["mkt_vol"]
    assert {failed.error for failed in record.failed} == {NOT_EXTRACTED}
    assert len(record.failed) == len(FEW_TABLES) - 1
    assert extract_pair(frame_job(tmp_path, warehouse)).failed == ()


def test_an_unknown_table_is_refused_before_any_read(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_spine(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    with pytest.raises(UnknownTable, match="agg_gbpusd"):
        extract_features(frame_job(tmp_path, warehouse), ["agg_gbpusd"])
    assert not warehouse.reads


def test_features_without_a_spine_are_refused(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    with pytest.raises(CheckpointCorrupt, match=r"spine\.json"):
        extract_features(frame_job(tmp_path, warehouse))


def test_a_table_changed_after_the_snapshot_is_refused_by_name(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_spine(frame_job(tmp_path, warehouse))
    warehouse.revised["mkt_vol"] = warehouse.snapshot() + timedelta(hours=1)
    with pytest.raises(ExtractionIncomplete, match="1 of 6 tables failed: mkt_vol; first: TableChanged"):
        extract_features(frame_job(tmp_path, warehouse))


@pytest.mark.parametrize("table", ["mkt_vol", "targets_eurusd"])
def test_a_clock_that_was_set_back_is_named_before_anything_is_read(
    tmp_path: Path, warehouse: FrameWarehouse, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = warehouse.snapshot()
    warehouse.revised[table] = now + timedelta(hours=1)
    monkeypatch.setattr(warehouse, "snapshot", lambda: now)
    with pytest.raises(ClockBehind, match=rf"eurusd/{table}: written at .* after now.*Set this machine's clock"):
        extract_spine(frame_job(tmp_path, warehouse))
    assert not warehouse.reads


def test_a_spine_with_a_repeated_key_is_refused(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    targets = warehouse.frames[TARGETS_DATASET, "targets_eurusd"]
    warehouse.frames[TARGETS_DATASET, "targets_eurusd"] = pl.concat([targets, targets.tail(2)])
    with pytest.raises(DuplicateKeys, match="eurusd/targets_eurusd: 2 surplus rows"):
        extract_spine(frame_job(tmp_path, warehouse))


def test_the_spine_is_sorted_and_holds_only_rows_whose_first_target_is_known(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    targets = warehouse.frames[TARGETS_DATASET, "targets_eurusd"]
    holes = targets.with_columns(
        pl.when(pl.int_range(pl.len()) % 10 != 3).then(pl.col("target_bqx45_h15")).alias("target_bqx45_h15")
    )
    warehouse.frames[TARGETS_DATASET, "targets_eurusd"] = holes.reverse()
    assert extract_spine(frame_job(tmp_path, warehouse)).rows == ROWS * 9 // 10
    assert _slab(tmp_path, "targets_eurusd").get_column(KEY).is_sorted()


def test_every_slab_has_a_piece_of_one_row_group_for_each_period_of_the_spine(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    record = extract_pair(frame_job(tmp_path, across_months(warehouse), period="month"))
    assert record.spine.periods == ("2024-01", "2024-02")
    assert record.spine.row_groups == (120, 80)
    for slab in record.slabs:
        assert [piece.period for piece in slab.pieces] == ["2024-01", "2024-02"]
        files = [pq.read_metadata(tmp_path / piece.object_name) for piece in slab.pieces]
        assert [(file.num_row_groups, file.num_rows) for file in files] == [(1, 120), (1, 80)]


def _with_odd_rows(warehouse: FrameWarehouse) -> None:
    """Shuffled, with rows missing at the start, in the middle, and rows that are on no spine; and a sparse table."""
    vol = warehouse.frames[FEATURES_DATASET, "mkt_vol"]
    between = vol.with_columns(pl.col(KEY) + timedelta(seconds=30))
    odd = pl.concat([vol.slice(40, 60), vol.slice(130), between]).sample(fraction=1, shuffle=True, seed=5)
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = odd
    tmp = warehouse.frames[FEATURES_DATASET, "tmp_eurusd"]
    warehouse.frames[FEATURES_DATASET, "tmp_eurusd"] = pl.concat([tmp.slice(100, 2), tmp.slice(101, 1)])
    targets = warehouse.frames[TARGETS_DATASET, "targets_eurusd"]
    hole = pl.when(pl.int_range(pl.len()) % 10 != 3).then(pl.col("target_bqx45_h15"))
    warehouse.frames[TARGETS_DATASET, "targets_eurusd"] = targets.with_columns(hole.alias("target_bqx45_h15")).reverse()


@pytest.mark.parametrize("knows_months", [False, True])
@pytest.mark.parametrize("stretch_rows", [37, 1_000])
def test_a_history_read_in_periods_and_stretches_is_the_one_read_at_once(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch, stretch_rows: int, *, knows_months: bool
) -> None:
    _with_odd_rows(across_months(warehouse))
    warehouse.knows_months = knows_months
    whole = extract_pair(frame_job(tmp_path / "whole", warehouse, period="none", duplicates="last"))
    monkeypatch.setattr(memory, "SLICE_BYTES", stretch_rows * 8 * 50)
    warehouse.reads.clear()
    parts = extract_pair(frame_job(tmp_path / "parts", warehouse, period="month", duplicates="last"))
    assert warehouse.reads["targets_eurusd"] == (2 if knows_months else 1)
    assert warehouse.reads["mkt_vol"] >= sum(-(-rows // stretch_rows) for rows in parts.spine.row_groups) / 4
    for one, several in zip(whole.slabs, parts.slabs, strict=True):
        assert several.provenance.rows == one.provenance.rows
        assert several.content == one.content
        assert_frame_equal(_slab(tmp_path / "parts", several.table), _slab(tmp_path / "whole", one.table))


def _leaking_late(warehouse: FrameWarehouse) -> None:
    """``mkt_vol_atr_45`` is the future from row 125 on, in the second month, and unknown before."""
    future = warehouse.frames[TARGETS_DATASET, "targets_eurusd"].get_column("target_bqx90_h30")
    late = pl.when(pl.int_range(pl.len()) >= 125).then(future).alias("mkt_vol_atr_45")
    name = (FEATURES_DATASET, "mkt_vol")
    warehouse.frames[name] = warehouse.frames[name].with_columns(late)


@pytest.mark.parametrize("stretch_rows", [30, 1_000])
def test_a_column_found_to_be_the_future_late_is_in_no_piece_and_told_once(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch, stretch_rows: int
) -> None:
    _leaking_late(across_months(warehouse))
    whole = extract_pair(frame_job(tmp_path / "whole", warehouse, period="none"))
    monkeypatch.setattr(memory, "SLICE_BYTES", stretch_rows * 8 * 50)
    told = Told()
    parts = extract_pair(frame_job(tmp_path / "parts", warehouse, period="month", progress=told))
    for one, several in zip(whole.slabs, parts.slabs, strict=True):
        assert several.provenance.quarantined == one.provenance.quarantined
        assert several.provenance.columns == one.provenance.columns
        assert several.provenance.rows == one.provenance.rows
    assert len([text for text in told.warnings if "mkt_vol_atr_45" in text]) == 1
    assert_frame_equal(_slab(tmp_path / "parts", "mkt_vol"), _slab(tmp_path / "whole", "mkt_vol"))


def test_a_failure_between_periods_keeps_the_finished_piece_and_a_rerun_reads_the_other_alone(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    across_months(warehouse)
    warehouse.faults["mkt_vol"] = [None, OSError(28, "No space left on device")]
    with pytest.raises(ExtractionIncomplete, match="1 of 6 tables failed: mkt_vol; first: OSError"):
        extract_pair(frame_job(tmp_path, warehouse, period="month"))
    assert [path.name for path in (tmp_path / "mkt_vol").iterdir()] == ["2024-01.parquet"]
    warehouse.reads.clear()
    warehouse.requests.clear()
    assert extract_pair(frame_job(tmp_path, warehouse, period="month")).failed == ()
    (request,) = warehouse.requests
    assert (request.table.table, request.period) == ("mkt_vol", "2024-02")
    warehouse.reads.clear()
    extract_pair(frame_job(tmp_path, warehouse, period="month"))
    assert not warehouse.reads


def test_a_failure_between_stretches_leaves_nothing_of_the_piece(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SLICE_BYTES", 60 * 8 * 50)
    warehouse.faults["mkt_vol"] = [None, OSError(28, "No space left on device")]
    with pytest.raises(ExtractionIncomplete, match="1 of 6 tables failed: mkt_vol; first: OSError"):
        extract_pair(frame_job(tmp_path, warehouse))
    assert not [path.name for path in tmp_path.iterdir() if "mkt_vol" in path.name]
    warehouse.reads.clear()
    assert extract_pair(frame_job(tmp_path, warehouse)).failed == ()
    assert set(warehouse.reads) == {"mkt_vol"}


def test_a_broken_read_of_one_stretch_is_repeated_for_that_stretch_alone(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SLICE_BYTES", 60 * 8 * 50)
    monkeypatch.setitem(RETRIES, "table_read", replace(RETRIES["table_read"], first_wait_seconds=0.0))
    extract_pair(frame_job(tmp_path / "whole", warehouse, period="month"))
    asked = warehouse.reads["mkt_vol"]
    warehouse.faults["mkt_vol"] = [None, TransientReadError("mkt_vol", got="gone", expected="rows", cure="Again.")]
    extract_pair(frame_job(tmp_path / "again", warehouse, period="month"))
    assert warehouse.reads["mkt_vol"] == 2 * asked + 1
    assert_frame_equal(_slab(tmp_path / "again", "mkt_vol"), _slab(tmp_path / "whole", "mkt_vol"))


def test_a_table_with_no_row_on_a_long_spine_is_refused(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SLICE_BYTES", 60 * 8 * 50)
    name = (FEATURES_DATASET, "mkt_vol")
    warehouse.frames[name] = warehouse.frames[name].with_columns(pl.col(KEY) + timedelta(seconds=30))
    with pytest.raises(ExtractionIncomplete, match="mkt_vol; first: EmptyTable: eurusd/mkt_vol: 199 rows, none on"):
        extract_pair(frame_job(tmp_path, warehouse, period="month"))


def test_a_spine_slab_of_other_keys_than_recorded_is_refused(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_spine(frame_job(tmp_path, warehouse))
    slabs = Slabs.in_folder(tmp_path)
    record = slabs.load_spine()
    frame = _slab(tmp_path, "targets_eurusd").with_columns(pl.col(KEY) + timedelta(minutes=1))
    frame.write_parquet(piece_path(tmp_path, "targets_eurusd"))
    slabs.save_spine(record)
    with pytest.raises(CheckpointCorrupt, match="targets_eurusd/2024-Q1: keys"):
        extract_features(frame_job(tmp_path, warehouse))


def test_bounds_limit_the_spine_and_with_it_every_slab(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    keys = warehouse.frames[TARGETS_DATASET, "targets_eurusd"].get_column(KEY)
    record = extract_pair(frame_job(tmp_path, warehouse, start=keys[20], end=keys[49]))
    assert (record.spine.rows, record.spine.first, record.spine.last) == (30, keys[20], keys[49])


def test_two_extractions_never_share_a_folder(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    with Slabs.in_folder(tmp_path).exclusive(), pytest.raises(FolderBusy):
        extract_pair(frame_job(tmp_path, warehouse))


def test_a_spine_slab_without_its_record_is_not_read_again(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    """What ``kill -9`` between the two leaves behind."""
    job = frame_job(tmp_path, warehouse)
    spine = extract_spine(job)
    (tmp_path / "spine.json").unlink()
    assert extract_spine(job) == spine
    assert warehouse.reads["targets_eurusd"] == 1


def test_a_tables_role_is_in_its_record_whatever_its_name(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    """Lesson 21: ``tmp_{pair}`` was once left out of a merge for its name."""
    record = extract_pair(frame_job(tmp_path, warehouse))
    roles = {slab.table: slab.provenance.role for slab in record.slabs}
    assert roles == {"targets_eurusd": "spine", **dict.fromkeys(FEW_TABLES, "feature")}
    assert "tmp_eurusd" in roles
