"""The published report is that of the latest state, whichever run ends last."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bqx_assets.base.artifacts import load_record
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.fleet.publication import REPORT_NAME, STATE_NAME, publish_report
from bqx_assets.fleet.state import FleetState
from bqx_assets.fleet.trend import load_trend
from bqx_assets_tests.fleet.states import NOW, fleet, good


def test_the_report_of_an_earlier_state_replaces_no_later_one_but_counts_in_the_trend(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    late = fleet(pairs=(good("eurusd"),))
    early = late.model_copy(update={"at": NOW - timedelta(days=2), "pairs": (good("gbpusd"),)})
    publish_report(store, late)
    page = store.read(REPORT_NAME)
    assert publish_report(store, early) == store.uri(REPORT_NAME)
    assert (load_record(store, STATE_NAME, FleetState), store.read(REPORT_NAME)) == (late, page)
    assert len(load_trend(store)) == 2


def test_a_state_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    store.put_bytes(STATE_NAME, b"{")
    state = fleet(pairs=(good("eurusd"),))
    publish_report(store, state)
    assert load_record(store, STATE_NAME, FleetState) == state
