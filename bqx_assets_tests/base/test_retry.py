"""Waits follow the policy, and every adapter follows the one table of policies."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import CloudRunUnavailable, StoreError, TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.retry import RETRIES, Caller
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.extract.read import read_frame
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets_tests.frames import frame_warehouse
from bqx_assets_tests.servers.bigquery.faults import Fault
from bqx_assets_tests.servers.bigquery.wire import wired

NOBODY = "127.0.0.1:9"


@given(st.integers(1, 60))
@settings(deadline=None)
def test_a_wait_is_random_below_a_bound_that_doubles_up_to_the_longest(failures: int) -> None:
    policy = replace(RETRIES["bigquery"], first_wait_seconds=1.0, longest_wait_seconds=32.0)
    waits = {policy.wait_seconds(failures) for _ in range(20)}
    assert len(waits) > 1
    assert 0 <= min(waits) <= max(waits) <= min(32.0, 2.0 ** (failures - 1))


def _changed(monkeypatch: pytest.MonkeyPatch, caller: Caller, **limits: Any) -> None:
    monkeypatch.setitem(RETRIES, caller, replace(RETRIES[caller], **limits))


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_table_is_read_as_often_as_its_policy_says(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    _changed(monkeypatch, "table_read", attempts=attempts, first_wait_seconds=0.001)
    warehouse = frame_warehouse(50, ["mkt_vol"])
    table = next(each for each in warehouse.describe() if each.table == "mkt_vol")
    warehouse.faults["mkt_vol"] = [TransientReadError("mkt_vol", got="503", expected="rows", cure="Again.")] * 9
    with pytest.raises(TransientReadError):
        read_frame(warehouse, ReadRequest(table, (KEY,), warehouse.snapshot()), subject="mkt_vol", progress=Silent())
    assert warehouse.reads["mkt_vol"] == attempts


@pytest.mark.parametrize("attempts", [1, 3])
def test_bigquery_is_asked_as_often_as_its_policy_says(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    _changed(monkeypatch, "bigquery", attempts=attempts, first_wait_seconds=0.001)
    frames = frame_warehouse(50, ["mkt_vol"])
    table = next(each for each in frames.describe() if each.table == "mkt_vol")
    with wired(frames) as (warehouse, reads):
        reads.lasting = Fault("status", batches=0)
        with pytest.raises(TransientReadError):
            list(warehouse.read(ReadRequest(table, (KEY,), warehouse.snapshot())))
        assert len(reads.sessions) == attempts


@pytest.mark.parametrize("patience_seconds", [0.2, 0.8])
def test_cloud_storage_is_asked_as_long_as_its_policy_says(
    monkeypatch: pytest.MonkeyPatch, patience_seconds: float
) -> None:
    _changed(
        monkeypatch,
        "cloud_storage",
        patience_seconds=patience_seconds,
        first_wait_seconds=0.01,
        longest_wait_seconds=0.05,
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{NOBODY}")
    store, began = GcsObjectStore("bqx-ml-output"), time.monotonic()
    with pytest.raises(StoreError, match="after retries"):
        store.head("x")
    assert patience_seconds - 0.1 < time.monotonic() - began < patience_seconds + 1


@pytest.mark.parametrize("patience_seconds", [0.2, 0.8])
def test_cloud_run_is_asked_as_long_as_its_policy_says(
    monkeypatch: pytest.MonkeyPatch, patience_seconds: float
) -> None:
    _changed(
        monkeypatch, "cloud_run", patience_seconds=patience_seconds, first_wait_seconds=0.01, longest_wait_seconds=0.05
    )
    client = CloudRun(Endpoint(emulator_host=NOBODY))
    with pytest.raises(CloudRunUnavailable, match=f"for {patience_seconds:g} s"):
        client.find("projects/p/locations/l/jobs/j", "run")
    client.close()
