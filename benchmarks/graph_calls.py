"""Calls for ``benchmarks.dagster_cost``: one run through the whole graph, a backfill, and the size of their events."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from benchmarks.folders import PAIR
from benchmarks.stages import settings_of
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.progress import Silent
from bqx_assets.runtime.in_process import run_pair
from bqx_assets.runtime.instance import dagster_home, open_instance


def run(home: str) -> str:
    """Run one pair; return the run's id."""
    return run_pair(PAIR, settings_of(home), Silent()).run_id


def backfill(home: str) -> int:
    """Run all pairs one after another; return how many were published."""
    return sum(run_pair(pair, settings_of(home), Silent()).passed for pair in ALL_PAIRS)


def events(home: str, run_id: str) -> dict[str, object]:
    """Return the number of a run's events, their bytes, and the bytes of the heaviest materialisation or check."""
    with open_instance(dagster_home(settings_of(home))) as instance:
        entries = instance.all_logs(run_id)
    sizes = [(len(dg.serialize_value(entry)), entry.dagster_event) for entry in entries]
    heaviest = max((size for size, event in sizes if event and event.is_step_materialization), default=0)
    database = sum(path.stat().st_size for path in Path(home, "dagster").rglob("*.db"))
    facts = {"events": len(sizes), "bytes": sum(size for size, _ in sizes), "heaviest": heaviest, "database": database}
    return {"result": facts}
