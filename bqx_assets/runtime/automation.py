"""Jobs, the weekly schedules, and the sensor that follows the warehouse. All of them off until switched on.

Belongs here: what starts runs. Does not: what a run does, or how many at once (``dagster.yaml``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg

from bqx_assets.base.errors import BqxError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.settings import training_name
from bqx_assets.catalogue.families import TARGETS_DATASET, targets_table
from bqx_assets.runtime.keys import INTACT, PUBLISHED, SLABS, SPINE, TRAINING
from bqx_assets.runtime.launcher.contract import MEMORY_TAG, PAIR_TAG, PARTITION_TAG
from bqx_assets.runtime.workspace import Workspace

_LOOK_SECONDS = 3_600
"""Between two looks at the warehouse. Describing both datasets is two queries of 10 MB at least, 0.00012 USD: 0.09 USD
a month at this interval, 0.54 at ten minutes; tables change a few times a week."""

extract_job = dg.define_asset_job(
    "extract_job",
    selection=dg.AssetSelection.assets(SPINE, SLABS),
    description="Spine and slabs of a pair: reads the warehouse, touches nothing published.",
    tags={MEMORY_TAG: "extract"},
)
pair_job = dg.define_asset_job(
    "pair_job",
    selection=dg.AssetSelection.assets(SPINE, SLABS, TRAINING, PUBLISHED),
    description="A pair from the warehouse to its published, validated training file.",
    tags={MEMORY_TAG: "pair"},
)
verify_job = dg.define_asset_job(
    "verify_job",
    selection=dg.AssetSelection.checks(INTACT),
    description="Reads a pair's published file in a folder, asks a bucket for its checksum: to find rot.",
    tags={MEMORY_TAG: "pair"},
)


@dg.schedule(job=pair_job, cron_schedule="0 4 * * 0", execution_timezone="UTC")
def weekly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """All 28 pairs, Sundays 04:00 UTC, when the market is closed."""
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        yield _request(pair.name, f"{day}:{pair}")


@dg.schedule(job=verify_job, cron_schedule="0 12 * * 6", execution_timezone="UTC")
def verify_weekly(context: dg.ScheduleEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest]:
    """Verify what is published, Saturdays 12:00 UTC: before Sunday's run would replace it."""
    store = workspace.store()
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        if store.head(training_name(pair)) is not None:
            # By tag: Dagster 1.13 takes a job's partitions from its assets, and a job of a check alone has none.
            tags = {PAIR_TAG: pair.name, PARTITION_TAG: pair.name}
            yield dg.RunRequest(run_key=f"verify:{day}:{pair}", tags=tags)


@dg.sensor(job=pair_job, minimum_interval_seconds=_LOOK_SECONDS)
def targets_changed(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """Run each pair whose targets table changed since the last look. One batched description, no row is read."""
    try:
        warehouse, _ = workspace.connect()
        described = {(each.dataset, each.table): each for each in warehouse.describe()}
    except BqxError as error:
        return dg.SkipReason(str(error))
    tables = {pair.name: described.get((TARGETS_DATASET, targets_table(pair))) for pair in ALL_PAIRS}
    now = {name: each.etag for name, each in tables.items() if each is not None}
    before: dict[str, str] = json.loads(context.cursor or "{}")
    changed = [name for name, etag in now.items() if before.get(name) != etag]
    if not changed:
        return dg.SkipReason(f"none of {len(now)} targets tables changed")
    return dg.SensorResult(
        run_requests=[_request(name, f"{name}:{now[name]}") for name in changed], cursor=json.dumps(before | now)
    )


def _request(pair: str, run_key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, partition_key=pair, tags={PAIR_TAG: pair})
