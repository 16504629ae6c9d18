"""A slab is trusted by fingerprint and checksum, in a folder and in a bucket; one extraction at a time."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Column, ExtractionRecord
from bqx_assets.base.errors import CheckpointCorrupt, ExtractionIncomplete, FolderBusy
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.pair import extract_features, extract_pair
from bqx_assets.extract.plan import plan_pair
from bqx_assets.extract.slab_records import slab_fingerprint
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.descriptions import MODIFIED, describe
from bqx_assets_tests.frames import EURUSD, FEW_TABLES, FrameWarehouse, across_months, frame_job, frame_warehouse
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.memory_store import MemoryObjectStore

TABLE = describe("features", "agg_eurusd", (("x", "FLOAT64"),))
FACTS: dict[str, Any] = {"spine_fingerprint": "s", "filters": {"pair": "eurusd"}, "policy": "refuse"}
COLUMNS = [Column(name="agg__x", source="x", type="FLOAT64")]


def _mark(table: TableDescription = TABLE, columns: list[Column] = COLUMNS, **changes: Any) -> str:
    return slab_fingerprint(SourceStates({}).state(table, ["2024-01"]), columns, **(FACTS | changes))


def test_the_same_facts_give_the_same_fingerprint() -> None:
    assert _mark() == _mark(replace(TABLE))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: _mark(replace(TABLE, table="agg_bqx_eurusd")),
        lambda: _mark(replace(TABLE, dataset="other")),
        lambda: _mark(replace(TABLE, last_modified=MODIFIED + timedelta(seconds=1))),
        lambda: _mark(replace(TABLE, etag="other")),
        lambda: _mark(replace(TABLE, rows=1_001)),
        lambda: _mark(columns=[Column(name="agg__x", source="x", type="INT64")]),
        lambda: _mark(columns=[*COLUMNS, Column(name="agg__y", source="y", type="INT64")]),
        lambda: _mark(spine_fingerprint="other"),
        lambda: _mark(filters={"pair": "gbpusd"}),
        lambda: _mark(filters={}),
        lambda: _mark(policy="first"),
    ],
)
def test_a_change_of_any_fact_changes_it(changed: Callable[[], str]) -> None:
    assert changed() != _mark()


PREFIX = slabs_prefix(EURUSD)


@pytest.fixture
def warehouse() -> FrameWarehouse:
    return frame_warehouse()


def _job(store: GcsObjectStore, warehouse: FrameWarehouse, *, seconds: float = 30) -> Extraction:
    return frame_job(Slabs(store, slabs_prefix(EURUSD), lease_seconds=seconds), warehouse)


def test_the_slabs_are_those_a_folder_would_hold(
    gcs_store: GcsObjectStore, warehouse: FrameWarehouse, tmp_path: Path
) -> None:
    record = extract_pair(_job(gcs_store, warehouse))
    folder = extract_pair(frame_job(tmp_path, warehouse))
    assert record == folder
    for piece in (piece for slab in record.slabs for piece in slab.pieces):
        assert gcs_store.read(f"{PREFIX}{piece.object_name}") == (tmp_path / piece.object_name).read_bytes()


def test_columns_of_a_slab_of_several_pieces_are_read_alone(
    gcs_store: GcsObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    slabs = Slabs(gcs_store, slabs_prefix(EURUSD))
    record = extract_pair(frame_job(slabs, across_months(frame_warehouse(2_000)), period="month")).slabs[0]
    pieces = [gcs_store.read(f"{PREFIX}{piece.object_name}") for piece in record.pieces]
    lengths: list[int] = []
    read = gcs_store.read

    def counted(name: str, start: int = 0, length: int | None = None) -> bytes:
        data = read(name, start, length)
        lengths.append(len(data))
        return data

    monkeypatch.setattr(gcs_store, "read", counted)
    names = ["target_bqx90_h15", KEY]
    whole = pl.concat([pl.read_parquet(io.BytesIO(piece), columns=names).select(names) for piece in pieces])
    found = [slabs.piece_frame(piece, names) for piece in record.pieces]
    assert_frame_equal(pl.concat(found), whole)
    assert sum(lengths) < sum(map(len, pieces))
    assert_frame_equal(found[1], whole.tail(1_880))


def test_no_file_is_written_in_the_container(
    gcs_store: GcsObjectStore,
    gcs: GcsServer,
    warehouse: FrameWarehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[int] = []

    def look() -> None:
        seen.append(len(list(tmp_path.iterdir())))

    gcs.fail("object.insert", "hook", times=10_000, hook=look)
    record = extract_pair(_job(gcs_store, warehouse))
    assert set(seen) == {0}
    assert gcs.buckets[BUCKET].live.keys() == {
        *(f"{PREFIX}{piece.object_name}" for slab in record.slabs for piece in slab.pieces),
        *(f"{PREFIX}{slab.table}.slab.json" for slab in record.slabs),
        *(f"{PREFIX}{name}" for name in ("spine.json", "extraction.json")),
    }


def test_a_rerun_reads_no_table_and_no_slab_but_the_spine(
    gcs_store: GcsObjectStore, gcs: GcsServer, warehouse: FrameWarehouse
) -> None:
    first = extract_pair(_job(gcs_store, warehouse))
    warehouse.reads.clear()
    gcs.log.clear()
    assert extract_pair(_job(gcs_store, warehouse)).slabs == first.slabs
    assert not warehouse.reads
    read = {name for name, _, _ in gcs.log.ranges if name.endswith(".parquet")}
    assert read == {f"{PREFIX}targets_eurusd/2024-Q1.parquet"}
    assert not any(name.endswith(".parquet") for operation, name in gcs.log.calls if operation == "object.insert")


@pytest.mark.parametrize("damage", ["other bytes", "slab gone", "record gone", "record of another"])
def test_a_slab_that_is_not_the_recorded_one_is_made_again(
    gcs_store: GcsObjectStore, warehouse: FrameWarehouse, damage: str
) -> None:
    before = extract_pair(_job(gcs_store, warehouse))
    slab, record = f"{PREFIX}mkt_vol/2024-Q1.parquet", f"{PREFIX}mkt_vol.slab.json"
    found = gcs_store.head(slab)
    assert found is not None
    if damage == "other bytes":
        gcs_store.put_bytes(slab, gcs_store.read(slab)[::-1], metadata=found.metadata)
    elif damage == "record of another":
        gcs_store.put_bytes(record, gcs_store.read(f"{PREFIX}tmp_eurusd.slab.json"))
    else:
        gcs_store.delete(slab if damage == "slab gone" else record)
    warehouse.reads.clear()
    after = extract_pair(_job(gcs_store, warehouse))
    assert warehouse.reads == {"mkt_vol": 1}
    assert after.slabs == before.slabs


def test_only_a_changed_table_is_read_again_and_the_plan_knows(
    gcs_store: GcsObjectStore, gcs: GcsServer, warehouse: FrameWarehouse
) -> None:
    extract_pair(_job(gcs_store, warehouse))
    warehouse.reads.clear()
    warehouse.revised["mkt_vol"] = warehouse.modified + timedelta(hours=1)
    gcs.log.clear()
    plan = plan_pair(_job(gcs_store, warehouse))
    assert (sum(each.fresh for each in plan.families), sum(each.stale for each in plan.families)) == (5, 1)
    assert gcs.log.count() == {"object.list": 1, "object.media": 2}  # the records of the spine and of its slab
    extract_pair(_job(gcs_store, warehouse))
    assert warehouse.reads == {"mkt_vol": 1}


def test_a_table_whose_upload_fails_is_named_and_the_others_are_saved(
    gcs_store: GcsObjectStore, gcs: GcsServer, warehouse: FrameWarehouse
) -> None:
    gcs.fail("object.insert", status=403, name="mkt_vol/2024-Q1.parquet")
    with pytest.raises(ExtractionIncomplete, match="1 of 6 tables failed: mkt_vol; first: StoreError"):
        extract_pair(_job(gcs_store, warehouse))
    record = Slabs(gcs_store, slabs_prefix(EURUSD)).load_extraction()
    assert isinstance(record, ExtractionRecord)
    assert len(record.features()) == len(FEW_TABLES) - 1
    warehouse.reads.clear()
    assert not extract_pair(_job(gcs_store, warehouse)).failed
    assert warehouse.reads == {"mkt_vol": 1}


def test_transient_faults_of_the_store_are_not_seen(
    gcs_store: GcsObjectStore, gcs: GcsServer, warehouse: FrameWarehouse
) -> None:
    for kind, after in (("status", False), ("reset", False), ("status", True), ("reset", True)):
        gcs.fail("object.insert", kind, after=after, times=2, name="mkt_vol/2024-Q1.parquet")
    assert not extract_pair(_job(gcs_store, warehouse)).failed


def test_a_second_extraction_at_the_same_time_is_refused(gcs_store: GcsObjectStore, warehouse: FrameWarehouse) -> None:
    with (
        Slabs(gcs_store, slabs_prefix(EURUSD), lease_seconds=0.8).exclusive(),
        pytest.raises(FolderBusy, match="lease"),
    ):
        extract_pair(_job(gcs_store, warehouse, seconds=0.8))


def test_features_without_a_spine_are_refused(gcs_store: GcsObjectStore, warehouse: FrameWarehouse) -> None:
    with pytest.raises(CheckpointCorrupt, match=r"spine\.json"):
        extract_features(_job(gcs_store, warehouse))


def test_slabs_go_where_the_file_will_be_published(gcs: GcsServer, tmp_path: Path) -> None:
    assert gcs.url
    assert Pipeline(Settings(home=tmp_path)).slabs(EURUSD).place == str(tmp_path / "checkpoints" / "eurusd")
    pipeline = Pipeline(Settings(output=f"gs://{BUCKET}/team"))
    assert pipeline.slabs(EURUSD).place.rstrip("/") == f"gs://{BUCKET}/team/staging/slabs/eurusd"
    assert isinstance(pipeline.store, GcsObjectStore)
    pipeline.store.client.close()


def test_a_slab_object_tells_how_long_its_footer_is(gcs_store: GcsObjectStore, warehouse: FrameWarehouse) -> None:
    warehouse.frames[FEATURES_DATASET, "mkt_vol"] = warehouse.frames[FEATURES_DATASET, "mkt_vol"].select(pl.all())
    extract_pair(_job(gcs_store, warehouse))
    info = gcs_store.head(f"{PREFIX}mkt_vol/2024-Q1.parquet")
    assert info is not None
    end = gcs_store.read(info.name, info.size_bytes - int(info.metadata["footer-bytes"]))
    assert end.endswith(b"PAR1")
    assert int.from_bytes(end[-8:-4], "little") == len(end) - 8


def test_a_tables_pieces_are_listed_while_other_threads_store_theirs() -> None:
    store = MemoryObjectStore()
    for number in range(300):
        store.put_bytes(f"eurusd/old_{number}/2024-Q1.parquet", b"")
    slabs = Slabs(store, "eurusd/")
    assert len(slabs.others("old_0", ())) == 1  # it has listed the store
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def table(number: int) -> int:
        for period in range(20):
            slabs._keep(store.put_bytes(f"eurusd/new_{number}/{period}.parquet", b""))
        return len(slabs.others(f"new_{number}", ()))

    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(table, range(100))) == [20] * 100
    finally:
        sys.setswitchinterval(before)
