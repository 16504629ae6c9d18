"""Publishes the fleet's report beside the training files: the page, its state as data, and a point of the trend."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bqx_assets.base.artifacts import Record
from bqx_assets.base.files import write_atomic
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.fleet.page import render
from bqx_assets.fleet.state import FleetState
from bqx_assets.fleet.trend import Point, add_point, load_trend
from bqx_assets.pipeline import Pipeline

REPORT_NAME, STATE_NAME = "fleet/report.html", "fleet/state.json"
"""Names of the last report and of its state in the output store."""


class FleetReport(Record):
    """A report that was written, and the state that it shows."""

    place: str
    """Path or URI of the page."""
    state: FleetState


def publish_report(pipeline: Pipeline, now: datetime, *, ask_sources: bool = False) -> FleetReport:
    """Publish the report of the fleet at ``now`` in the output store. **Cost**: as ``fleet_state``, and four writes.

    Raises:
        StoreError: the store does not answer, or refuses.
        PreconditionFailed: somebody else publishes a report at this moment, again and again.
    """
    state, store = fleet_state(pipeline, now, ask_sources=ask_sources), pipeline.store
    trend = add_point(store, Point.of(state))
    store.put_bytes(STATE_NAME, state.as_json())
    store.put_bytes(REPORT_NAME, render(state, trend).encode())
    return FleetReport(place=store.uri(REPORT_NAME), state=state)


def write_report(pipeline: Pipeline, now: datetime, target: Path, *, ask_sources: bool = False) -> FleetReport:
    """Write the report as a file of this machine, with the trend of the published ones. Raises StoreError, OSError."""
    state = fleet_state(pipeline, now, ask_sources=ask_sources)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, render(state, load_trend(pipeline.store)).encode())
    return FleetReport(place=str(target), state=state)
