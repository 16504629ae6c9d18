"""An outage is lasting only while nothing arrives from anywhere; what arrives ends it, and one call ends all reads."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import grpc
import pyarrow as pa
import pytest

from bqx_assets.base.errors import ExtractionIncomplete, ReadsEnded, TransientReadError, WarehouseUnavailable
from bqx_assets.base.retry import RETRIES, RetryPolicy
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract import pair
from bqx_assets.extract import warehouse as module
from bqx_assets.extract.pair import NOT_EXTRACTED, extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import Outage, ReadRequest
from bqx_assets_tests.frames import FEW_TABLES, FrameWarehouse, Told, frame_job, frame_warehouse
from bqx_assets_tests.servers.bigquery.faults import Fault, FaultyReads
from bqx_assets_tests.servers.bigquery.wire import wired


@pytest.fixture
def warehouse() -> FrameWarehouse:
    return frame_warehouse(200)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _failed(outage: Outage, clock: Clock, failures: int = 2) -> bool:
    return outage.failed("503", began=clock.now, failures=failures)


def test_before_the_first_row_a_silence_is_lasting_sooner_than_after_it(clock: Clock) -> None:
    for arrived, limit in ((False, module.FIRST_SECONDS), (True, module.LASTING_SECONDS)):
        outage = Outage()
        if arrived:
            outage.arrived()
        assert not _failed(outage, clock)
        clock.now += limit - 1
        assert not _failed(outage, clock)
        clock.now += 1
        assert _failed(outage, clock)
        assert outage.lasts


def test_rows_from_anywhere_end_an_outage(clock: Clock) -> None:
    outage = Outage()
    outage.arrived()
    for _ in range(20):
        clock.now += module.LASTING_SECONDS - 1
        assert not _failed(outage, clock)
        assert outage.now
        outage.arrived()
        assert not outage.now
        assert outage.words() == ""


def test_a_single_request_that_hung_for_long_is_tried_again_before_it_is_an_outage(clock: Clock) -> None:
    outage = Outage()
    began = clock.now
    clock.now += 10 * module.LASTING_SECONDS
    assert not outage.failed("deadline", began=began, failures=1)
    assert outage.failed("deadline", began=began, failures=2)


def test_a_service_that_asks_for_fewer_calls_is_given_the_longer_time(clock: Clock) -> None:
    outage, began = Outage(), clock.now
    clock.now += module.LASTING_SECONDS - 1
    assert not outage.failed("rate", began=began, failures=3, busy=True)
    clock.now += 1
    assert outage.failed("rate", began=began, failures=4, busy=True)


def test_an_answer_without_rows_ends_a_silence_and_leaves_the_shorter_time(clock: Clock) -> None:
    outage = Outage()
    _failed(outage, clock)
    clock.now += module.FIRST_SECONDS
    outage.answered()
    assert not outage.now
    assert not _failed(outage, clock)
    clock.now += module.FIRST_SECONDS
    assert _failed(outage, clock)


def test_a_wait_ends_with_the_reads(clock: Clock) -> None:
    outage = Outage()
    outage.wait(0)
    outage.end()
    began = time.perf_counter()
    with pytest.raises(ReadsEnded):
        outage.wait(60)
    assert time.perf_counter() - began < 5
    assert clock.now


def test_what_is_said_tells_for_how_long_nothing_arrived(clock: Clock) -> None:
    outage = Outage()
    assert outage.words() == ""
    _failed(outage, clock)
    clock.now += 12
    assert outage.words() == "nothing arrived for 12 s (503)"


def _refused() -> WarehouseUnavailable:
    return WarehouseUnavailable("bqx-ml", got="login revoked", expected="an answer", cure="Log in.")


def test_an_error_that_holds_for_all_tables_ends_the_run_as_one_and_what_is_finished_is_saved(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    warehouse.faults["mkt_vol"] = [_refused()]
    warehouse.faults["cov_lag_eurusd_usdjpy"] = [_refused()]
    told = Told()
    with pytest.raises(WarehouseUnavailable, match=r"^eurusd: login revoked \(at bqx-ml; .*bqx extract eurusd$"):
        extract_pair(frame_job(tmp_path, warehouse, progress=told, workers=1))
    record = Slabs.in_folder(tmp_path).load_extraction()
    names = [slab.table for slab in record.features()]
    left = [each.table for each in record.failed]
    assert sorted([*names, *left]) == sorted(FEW_TABLES)
    assert {each.error for each in record.failed} == {NOT_EXTRACTED}
    assert not any("login revoked" in each for each in told.warnings)  # said once, by the error itself
    assert sum(warehouse.reads.values()) == 1 + len(names) + 1  # spine, what is saved, and the first refusal
    warehouse.faults.clear()
    warehouse.reads.clear()
    warehouse.outage = Outage()
    assert extract_pair(frame_job(tmp_path, warehouse)).failed == ()
    assert sorted(warehouse.reads) == sorted(left)


def test_an_interruption_waits_for_no_read_that_is_under_way(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def hanging(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if request.table.dataset == FEATURES_DATASET:
            begun.set()
            warehouse.outage.wait(60)
        yield from FrameWarehouse.read(warehouse, request)

    def interrupted(*_: object, **__: object) -> NoReturn:
        begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(warehouse, "read", hanging)
    monkeypatch.setattr(pair, "wait", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        extract_pair(frame_job(tmp_path, warehouse))
    assert time.monotonic() - began < 10


def test_ctrl_c_is_heard_at_once_where_the_system_goes_on_with_a_wait_that_it_came_into(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[float] = []

    def hanging(request: ReadRequest) -> Iterator[pa.RecordBatch]:
        if request.table.dataset == FEATURES_DATASET:
            if not pressed:
                pressed.append(time.monotonic())
                # As a run with its libraries was seen to be: the main thread's wait is not broken off.
                signal.siginterrupt(signal.SIGINT, False)  # noqa: FBT003 (has no name)
                time.sleep(0.5)  # until the main thread waits
                os.kill(os.getpid(), signal.SIGINT)
            warehouse.outage.wait(30)
        yield from FrameWarehouse.read(warehouse, request)

    monkeypatch.setattr(warehouse, "read", hanging)
    try:
        with pytest.raises(KeyboardInterrupt):
            extract_pair(frame_job(tmp_path, warehouse))
    finally:
        signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003
    assert time.monotonic() - pressed[0] < 10


def test_while_nothing_arrives_the_attempts_of_a_table_are_not_counted(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(RETRIES["table_read"], first_wait_seconds=0.001, longest_wait_seconds=0.01)
    monkeypatch.setitem(RETRIES, "table_read", quick)
    gone = TransientReadError("mkt_vol", got="unavailable", expected="rows", cure="Again.")
    warehouse.faults["mkt_vol"] = [gone] * (RETRIES["table_read"].attempts * 3)
    with pytest.raises(ExtractionIncomplete):
        extract_pair(frame_job(tmp_path, warehouse))
    warehouse.faults["mkt_vol"] = [gone] * (RETRIES["table_read"].attempts * 3)
    warehouse.outage.failed("503", began=time.monotonic(), failures=1)  # as the adapter would note
    assert extract_pair(frame_job(tmp_path, warehouse)).failed == ()


class _UnderWay(Told):
    """Sets a fault for all calls once the spine is there."""

    def __init__(self, reads: FaultyReads, fault: Fault) -> None:
        super().__init__()
        self._reads, self._fault = reads, fault

    def start(self, stage: str, total: int) -> None:
        assert (stage, total) == ("extract", len(FEW_TABLES))
        self._reads.lasting = self._fault
        self._reads.sessions.clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> RetryPolicy:
    quick = replace(RETRIES["table_read"], first_wait_seconds=0.001, longest_wait_seconds=0.01)
    monkeypatch.setitem(RETRIES, "table_read", quick)
    return replace(RETRIES["bigquery"], attempts=2, first_wait_seconds=0.01, longest_wait_seconds=0.02)


def test_an_outage_that_passes_costs_no_table_however_often_each_was_tried(
    tmp_path: Path, warehouse: FrameWarehouse, quick: RetryPolicy
) -> None:
    with wired(warehouse, quick) as (wire, reads):
        job = frame_job(tmp_path, warehouse, progress=_UnderWay(reads, Fault("status", batches=0)))
        threading.Timer(1.0, lambda: setattr(reads, "lasting", None)).start()
        record = extract_pair(replace(job, warehouse=wire))
    assert record.failed == ()
    assert len(reads.sessions) > RETRIES["table_read"].attempts * quick.attempts * len(FEW_TABLES)


@pytest.mark.parametrize("kind", ["network", "credentials", "permission"])
def test_what_refuses_every_table_ends_the_run_as_one_error_after_few_calls(
    tmp_path: Path, warehouse: FrameWarehouse, quick: RetryPolicy, kind: str
) -> None:
    plugin = "Getting metadata from plugin failed with error: ('invalid_grant: Bad Request', {})"
    session = "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/p'"
    fault, words = {
        "network": (Fault("status"), "injected UNAVAILABLE"),
        "credentials": (Fault("status", message=plugin), "invalid_grant"),
        "permission": (Fault("status", grpc.StatusCode.PERMISSION_DENIED, message=session), "readsessions"),
    }[kind]
    with wired(warehouse, quick) as (wire, reads):
        wire.outage._lasting_seconds = 0.5
        told = _UnderWay(reads, fault)
        with pytest.raises(WarehouseUnavailable, match=words):
            extract_pair(replace(frame_job(tmp_path, warehouse, progress=told), warehouse=wire))
        asked = {each.read_session.table.rpartition("/")[2] for each in reads.sessions}
    assert len(asked) <= 2  # the tables that were in work: as many as there are workers
    assert {each.error for each in Slabs.in_folder(tmp_path).load_extraction().failed} == {NOT_EXTRACTED}
    if kind != "network":
        assert len(reads.sessions) <= 2
