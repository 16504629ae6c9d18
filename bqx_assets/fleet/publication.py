"""Publishes the fleet's report beside the training files: the page, its state as data, and a point of the trend."""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.artifacts import load_record
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.files import write_atomic
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.fleet.page import render
from bqx_assets.fleet.state import FleetState
from bqx_assets.fleet.trend import Point, add_point, load_trend

REPORT_NAME, STATE_NAME = "fleet/report.html", "fleet/state.json"
"""Names of the last report and of its state in the output store."""


def publish_report(store: ObjectStore, state: FleetState) -> str:
    """Publish the report of a state in the output store, and return its place. **Cost**: a read, four writes.

    The report of a later state stays: the state of 28 pairs takes a while to observe, and two runs may do so at once.

    Raises:
        StoreError: the store does not answer, or refuses.
        PreconditionFailed: somebody else publishes a report at this moment, again and again.
    """
    trend = add_point(store, Point.of(state))
    if not _is_later(store, state):
        store.put_bytes(STATE_NAME, state.as_json())
        store.put_bytes(REPORT_NAME, render(state, trend).encode())
    return store.uri(REPORT_NAME)


def _is_later(store: ObjectStore, state: FleetState) -> bool:
    """Return whether the published report is of a later state; one that cannot be read is to be replaced."""
    try:
        return load_record(store, STATE_NAME, FleetState).at > state.at
    except CheckpointCorrupt:
        return False


def write_report(store: ObjectStore, state: FleetState, target: Path) -> None:
    """Write the report as a file of this machine, with the trend of the published ones. Raises StoreError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, render(state, load_trend(store)).encode())
