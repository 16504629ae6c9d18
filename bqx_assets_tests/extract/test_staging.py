"""Tables shared by all pairs are read from the warehouse once; every further pair reads those rows from the folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import ReadsEnded, TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.process import ProcessIdentity
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.lease import exclusive
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract import object_file, staging
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.staging import StagedWarehouse, is_shared
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.frames import (
    EURUSD,
    START,
    FrameWarehouse,
    few_tables_expectations,
    frame_job,
    frame_warehouse,
    minutes,
)
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

GBPUSD = parse_pair("gbpusd")
SHARED = ("csi_vol_eur", "mkt_vol", "tri_agg_bqx_eur_usd_gbp", "var_lag_bqx_eur")
ROWS = 200
PREFIX = "staging/shared/"
NAME = f"{PREFIX}{FEATURES_DATASET}/mkt_vol.parquet"


def _tables(pair: Pair) -> Sequence[str]:
    return (f"agg_{pair.name}", *SHARED)


@pytest.fixture
def frames() -> FrameWarehouse:
    """Two pairs and the tables they share; the second pair's spine is shorter at both ends."""
    warehouse = frame_warehouse(ROWS, _tables(EURUSD))
    other = frame_warehouse(ROWS, _tables(GBPUSD), GBPUSD)
    shared = {name: frame for name, frame in other.frames.items() if name not in warehouse.frames}
    warehouse.frames |= shared
    targets = (TARGETS_DATASET, "targets_gbpusd")
    warehouse.frames[targets] = warehouse.frames[targets].slice(20, 150)
    return warehouse


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return request.getfixturevalue("gcs_store") if request.param == "bucket" else LocalObjectStore(tmp_path / "staging")


@pytest.fixture
def staged(frames: FrameWarehouse, place: ObjectStore) -> StagedWarehouse:
    return StagedWarehouse(frames, place, PREFIX)


def _extract(warehouse: StagedWarehouse | FrameWarehouse, folder: Path, pair: Pair) -> ExtractionRecord:
    job = frame_job(folder / pair.name, frame_warehouse(1, ()))
    expectations = few_tables_expectations(_tables(pair), pair)
    return extract_pair(replace(job, pair=pair, warehouse=warehouse, expectations=expectations))


def _request(warehouse: FrameWarehouse | StagedWarehouse, table: str = "mkt_vol", **changes: object) -> ReadRequest:
    found = next(each for each in warehouse.describe() if each.table == table)
    request = ReadRequest(found, tuple(found.types()), warehouse.snapshot())
    return replace(request, **changes)  # type: ignore[arg-type]


def _rows(warehouse: FrameWarehouse | StagedWarehouse, request: ReadRequest) -> pl.DataFrame:
    return pl.concat(pl.DataFrame(pl.from_arrow(batch)) for batch in warehouse.read(request)).sort(KEY)


def test_two_pairs_read_each_shared_table_once_and_get_what_they_would_have_got(
    frames: FrameWarehouse, staged: StagedWarehouse, tmp_path: Path
) -> None:
    expected = {pair: _extract(frames, tmp_path / "plain", pair) for pair in (EURUSD, GBPUSD)}
    assert all(each.whole for each in frames.requests if each.table.table in SHARED)  # so slices are staged as one
    frames.reads.clear()
    for pair in (EURUSD, GBPUSD):
        record = _extract(staged, tmp_path / "staged", pair)
        assert [slab.crc32c for slab in record.slabs] == [slab.crc32c for slab in expected[pair].slabs]
    assert frames.reads == dict.fromkeys([*SHARED, "agg_eurusd", "agg_gbpusd", "targets_eurusd", "targets_gbpusd"], 1)


def test_only_feature_tables_of_no_pair_are_shared(frames: FrameWarehouse) -> None:
    assert {each.table for each in frames.describe() if is_shared(each)} == set(SHARED)
    table = next(each for each in frames.describe() if each.table == "mkt_vol")
    assert not is_shared(replace(table, columns=(*table.columns, ("pair", "STRING"))))
    assert not is_shared(replace(table, dataset=TARGETS_DATASET))
    assert not is_shared(replace(table, table="mkt_vol_summary"))


def test_any_range_and_columns_give_the_rows_of_the_table(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    requests = [
        _request(frames, start=key[20], end=key[30], columns=(KEY, "scope")),
        _request(frames, start=key[5], end=key[90]),
        _request(frames, start=key[50], end=key[60], columns=("mkt_vol_atr_45", KEY)),
        _request(frames),
    ]
    for request in requests:
        assert_frame_equal(_rows(staged, request), _rows(frames, request))


def test_whole_days_are_staged_so_that_a_spine_of_the_same_days_needs_no_other_read(
    frames: FrameWarehouse, staged: StagedWarehouse
) -> None:
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    assert _rows(staged, _request(frames, start=key[20], end=key[30])).height == 11
    assert _rows(staged, _request(frames, start=key[0], end=key[-1])).height == ROWS
    assert frames.reads == {"mkt_vol": 1}
    later = _request(frames, start=key[0], end=key[-1] + timedelta(days=2))
    assert not staged.holds(later)
    assert _rows(staged, later).height == ROWS
    assert frames.reads == {"mkt_vol": 2}
    assert staged.holds(later)


def test_only_columns_that_were_asked_for_are_staged_and_a_request_for_further_ones_keeps_those(
    frames: FrameWarehouse, staged: StagedWarehouse
) -> None:
    frame = frames.frames[FEATURES_DATASET, "mkt_vol"]
    key = frame.get_column(KEY)
    table = next(each for each in frames.describe() if each.table == "mkt_vol")
    tagged = replace(table, columns=(("secret", "STRING"), *table.columns, ("_PARTITIONTIME", "TIMESTAMP")))
    some = ReadRequest(tagged, (KEY, "scope"), frames.snapshot(), key[0], key[90])
    more = replace(some, columns=("mkt_vol_atr_45", KEY))
    assert_frame_equal(_rows(staged, some), _rows(frames, some))
    assert not staged.holds(more)
    assert_frame_equal(_rows(staged, more), _rows(frames, more))
    assert [set(each.columns) for each in frames.requests if each not in (some, more)] == [
        {KEY, "scope"},
        {KEY, "scope", "mkt_vol_atr_45"},
    ]
    frames.reads.clear()
    for request in (some, more, replace(some, columns=(KEY,))):
        assert staged.holds(request)
        assert _rows(staged, request).height == 91
    assert not frames.reads


class _Counted:
    """A store that counts the bytes read of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.read_bytes = 0

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Count, and read."""
        data = self._store.read(name, start, length)
        self.read_bytes += len(data)
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_of_a_long_table_only_the_blocks_of_the_range_are_fetched(
    frames: FrameWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_file, "BLOCK_BYTES", 512)
    monkeypatch.setattr(staging, "_ROW_GROUP_ROWS", 10)
    store = _Counted(LocalObjectStore(tmp_path / "staging"))
    staged = StagedWarehouse(frames, cast("ObjectStore", store), PREFIX)
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    whole = _request(frames, start=key[0], end=key[-1])
    assert_frame_equal(_rows(staged, whole), _rows(frames, whole))
    size = LocalObjectStore(tmp_path / "staging").local_path(NAME).stat().st_size
    store.read_bytes = 0
    part = replace(whole, start=key[95], end=key[104])
    assert_frame_equal(_rows(staged, part), _rows(frames, part))
    footer = pq.read_metadata(tmp_path / "staging" / NAME).serialized_size
    assert 0 < store.read_bytes < footer + size / 4


def test_time_slices_read_a_table_once_and_a_large_range_is_staged_in_the_keys_order_by_whole_days(
    frames: FrameWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = (FEATURES_DATASET, "mkt_vol")
    spread = minutes(ROWS) + pl.Series([timedelta(minutes=30 * number) for number in range(ROWS)])
    frames.frames[name] = frames.frames[name].with_columns(spread.alias(KEY)).sample(fraction=1, shuffle=True, seed=1)
    whole = _request(frames, start=spread[0], end=spread[-1])
    staged = StagedWarehouse(frames, LocalObjectStore(tmp_path / "short"), PREFIX)
    for first in range(0, ROWS, 50):
        part = replace(whole, start=spread[first], end=spread[first + 49], whole=(spread[0], spread[-1]))
        assert_frame_equal(_rows(staged, part), frames.frames[name].sort(KEY).slice(first, 50))
    assert len(frames.requests) == 1  # what is small is one session
    frames.requests.clear()
    monkeypatch.setattr(staging, "_RUN_BYTES", ROWS * 8 * 5)
    staged = StagedWarehouse(frames, LocalObjectStore(tmp_path), PREFIX)
    assert_frame_equal(_rows(staged, whole), _rows(frames, whole))
    days = [request for request in frames.requests if request.start != whole.start]
    assert len(days) > 1
    assert all(each.start is not None and each.start.time() == time() for each in days)
    bounds = pl.Series([each.start for each in days], dtype=spread.dtype)
    run_of = bounds.search_sorted(pl.read_parquet(tmp_path / NAME).get_column(KEY), side="right")
    assert run_of.is_sorted()


def test_a_changed_table_is_read_again(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    _rows(staged, _request(frames))
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].head(50)
    frames.revised["mkt_vol"] = frames.modified + timedelta(hours=1)
    assert _rows(staged, _request(frames)).height == 50
    assert frames.reads == {"mkt_vol": 2}


def test_only_a_period_whose_state_is_another_is_read_again(
    frames: FrameWarehouse, staged: StagedWarehouse, place: ObjectStore
) -> None:
    key = frames.frames[FEATURES_DATASET, "mkt_vol"].get_column(KEY)
    first = _request(frames, start=key[0], end=key[99], period="2024-01", state="a")
    second = _request(frames, start=key[100], end=key[-1], period="2024-02", state="b")
    for request in (first, second):
        assert not staged.holds(request)
        assert_frame_equal(_rows(staged, request), _rows(frames, request))
    frames.reads.clear()
    frames.revised["mkt_vol"] = frames.modified + timedelta(hours=1)
    first, second = (replace(_request(frames), **_part(each)) for each in (first, replace(second, state="c")))
    assert (staged.holds(first), staged.holds(second)) == (True, False)
    for request in (first, second, second, first):
        assert _rows(staged, request).height == 100
    assert frames.reads == {"mkt_vol": 1}
    assert {info.name for info in place.list_objects()} == {
        f"{PREFIX}{FEATURES_DATASET}/mkt_vol/{period}.parquet" for period in ("2024-01", "2024-02")
    }


def _part(request: ReadRequest) -> dict[str, Any]:
    names = ("start", "end", "period", "state")
    return {name: getattr(request, name) for name in names}


def test_without_a_state_a_period_is_valid_while_its_table_is_unchanged(
    frames: FrameWarehouse, staged: StagedWarehouse
) -> None:
    for changes, reads in ((0, 1), (0, 1), (1, 2)):
        frames.revised["mkt_vol"] = frames.modified + timedelta(hours=changes)
        request = _request(frames, start=START, end=START + timedelta(days=1), period="2024-01")
        assert _rows(staged, request).height == ROWS
        assert frames.reads == {"mkt_vol": reads}


@settings(max_examples=8)
@given(changed=st.sets(st.integers(0, 5)))
def test_a_refresh_stages_the_months_that_changed_and_no_others(changed: set[int]) -> None:
    months = [datetime(2024, 1 + number, 1, tzinfo=UTC) for number in range(6)]
    keys = pl.concat([minutes(20, month) for month in months])
    table = frame_warehouse(120, ["mkt_vol"])
    name = (FEATURES_DATASET, "mkt_vol")
    table.frames[name] = table.frames[name].with_columns(keys)
    table.knows_months = True
    with tempfile.TemporaryDirectory() as folder:
        staged = StagedWarehouse(table, LocalObjectStore(Path(folder)), PREFIX)
        for expected in (6, len(changed)):
            table.reads.clear()
            described = next(each for each in staged.describe() if each.table == "mkt_vol")
            states = staged.months([described])[name]
            parts = [
                _request(staged, start=month, end=month + timedelta(minutes=19), period=period, state=state.state)
                for month, (period, state) in zip(months, states.items(), strict=True)
            ]
            assert sum(not staged.holds(part) for part in parts) == expected
            found = pl.concat([_rows(staged, part) for part in parts])
            assert_frame_equal(found, table.frames[name])
            assert table.reads["mkt_vol"] == expected
            moved = pl.col(KEY).dt.month().sub(1).is_in(sorted(changed))
            level = pl.when(moved).then(pl.col("mkt_vol_atr_45").fill_null(0) + 1).otherwise("mkt_vol_atr_45")
            table.frames[name] = table.frames[name].with_columns(level)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "no metadata", "another table's"])
def test_a_damaged_object_is_never_served(
    frames: FrameWarehouse, staged: StagedWarehouse, place: ObjectStore, damage: str
) -> None:
    expected = _rows(staged, _request(frames))
    whole, info = place.read(NAME), place.head(NAME)
    assert info is not None
    match damage:
        case "gone":
            place.delete(NAME)
        case "no metadata":
            place.put_bytes(NAME, whole)
        case "another table's":
            _rows(staged, _request(frames, "csi_vol_eur"))
            other = place.head(NAME.replace("mkt_vol", "csi_vol_eur"))
            assert other is not None
            frames.reads.clear()
            frames.reads["mkt_vol"] = 1
            place.put_bytes(NAME, place.read(other.name), metadata=other.metadata)
        case _:
            _change_silently(
                place, whole[:-9] if damage == "cut" else whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]
            )
    assert_frame_equal(_rows(staged, _request(frames)), expected)
    assert frames.reads == {"mkt_vol": 2}
    assert place.read(NAME) == whole


def _change_silently(place: ObjectStore, data: bytes) -> None:
    """Other bytes of which the store's own facts do not know."""
    if isinstance(place, LocalObjectStore):
        path = place.local_path(NAME)
        stat = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        place.put_bytes(NAME, data)


def test_a_broken_read_leaves_nothing_behind(
    frames: FrameWarehouse, staged: StagedWarehouse, place: ObjectStore
) -> None:
    frames.faults["mkt_vol"] = [TransientReadError("mkt_vol", got="gone", expected="rows", cure="Again.")]
    with pytest.raises(TransientReadError):
        _rows(staged, _request(frames))
    assert not staged.holds(_request(frames))
    assert not list(place.list_objects())
    assert _rows(staged, _request(frames)).height == ROWS


def test_bytes_that_arrive_damaged_are_read_from_the_warehouse_again(
    frames: FrameWarehouse, gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    staged = StagedWarehouse(frames, gcs_store, PREFIX)
    expected = _rows(staged, _request(frames))
    gcs.fail("object.media", "corrupt", times=3, name=NAME)
    assert_frame_equal(_rows(staged, _request(frames)), expected)


def test_an_empty_table_is_staged_as_one(frames: FrameWarehouse, staged: StagedWarehouse) -> None:
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].clear()
    for _ in range(2):
        assert sum(batch.num_rows for batch in staged.read(_request(frames))) == 0
    assert frames.reads == {"mkt_vol": 1}


def test_readers_of_one_table_at_the_same_time_stage_it_once(
    frames: FrameWarehouse, place: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_LEASE_SECONDS", 2.0)
    heights: list[int] = []

    def read() -> None:
        heights.append(_rows(StagedWarehouse(frames, place, PREFIX), _request(frames)).height)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert heights == [ROWS] * 4
    assert frames.reads == {"mkt_vol": 1}


_HOLD = """
import sys
import time
from pathlib import Path
from bqx_assets.base.store.lease import exclusive
from bqx_assets.base.store.local import LocalObjectStore
with LocalObjectStore(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_reader_that_died_while_it_staged_holds_nobody_up(
    frames: FrameWarehouse, staged: StagedWarehouse, place: ObjectStore
) -> None:
    if isinstance(place, LocalObjectStore):
        with subprocess.Popen([sys.executable, "-c", _HOLD, place.root, NAME], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            process.kill()
    else:
        dead = ProcessIdentity.this().model_copy(update={"process": 2**22 + 1})
        place.put_bytes(f"{NAME}.lease", dead.model_dump_json().encode())
    assert _rows(staged, _request(frames)).height == ROWS
    assert [info.name for info in place.list_objects()] == [NAME]


def test_a_run_that_ends_waits_for_no_other_reader(
    frames: FrameWarehouse, staged: StagedWarehouse, place: ObjectStore
) -> None:
    with exclusive(place, NAME):
        threading.Timer(0.3, frames.outage.end).start()
        began = monotonic()
        with pytest.raises(ReadsEnded):
            _rows(staged, _request(frames))
        assert monotonic() - began < 0.9  # the next look would be after a second


def test_an_object_replaced_while_it_is_read_does_not_change_what_is_read(
    frames: FrameWarehouse, staged: StagedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_ROW_GROUP_ROWS", 60)
    rows = staged.read(_request(frames))
    first = next(rows)
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].head(50)
    frames.revised["mkt_vol"] = frames.modified + timedelta(hours=1)
    assert _rows(staged, _request(frames)).height == 50
    assert first.num_rows + sum(batch.num_rows for batch in rows) == ROWS


def test_the_settings_say_where_shared_tables_are_kept(
    gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gcs.buckets
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")  # plain text: no credentials are looked for
    cloud = Settings(home=tmp_path, bigquery_project="bqx-ml", bigquery_storage_endpoint="http://127.0.0.1:1")
    for changes, uri in (
        ({}, str(tmp_path / "staging" / "x")),
        ({"output": f"gs://{BUCKET}/team"}, f"gs://{BUCKET}/team/staging/shared/x"),
        ({"output": f"gs://{BUCKET}", "staging": tmp_path / "mounted"}, str(tmp_path / "mounted" / "x")),
    ):
        settings = cloud.model_copy(update=changes)
        warehouse = Pipeline(settings).warehouse(parse_pair("eurusd"))
        assert isinstance(warehouse, StagedWarehouse)
        assert warehouse.store.uri(f"{warehouse.prefix}x") == uri
