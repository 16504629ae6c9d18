"""Defines what starts runs: jobs, two weekly schedules, and the sensor that follows the warehouse; all off at first."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg

from bqx_assets.base.errors import TransientReadError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.settings import training_name
from bqx_assets.catalogue.families import TARGETS_DATASET, targets_table
from bqx_assets.runtime.keys import INTACT, PUBLISHED, SLABS, SPINE, TRAINING
from bqx_assets.runtime.launcher.tags import MEMORY_TAG, PAIR_TAG, PARTITION_TAG
from bqx_assets.runtime.workspace import Workspace

_LOOK_SECONDS = 3_600
"""Between two looks at the warehouse: 28 calls for a table's metadata, which bill nothing. Tables change a few times a
week, and a run takes longer than this."""
_LOOKS_IN_VAIN = 3
"""So many looks in a row without an answer are an error: a grey skip every hour, for days, is seen by nobody."""
_UNANSWERED = "looks without an answer"
"""Beside the pairs in the cursor, while there are such looks: how many in a row. It is no pair's name."""
_PRIORITY_TAG = "dagster/priority"
_WILL_RETRY_TAG = "dagster/will_retry"
_STATE_TAG = "bqx/targets_state"
"""On a run that the sensor asked for: the state of the targets table that it was asked for."""

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
    store = workspace.pipeline().store
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        if store.head(training_name(pair)) is not None:
            # By tag: Dagster 1.13 takes a job's partitions from its assets, and a job of a check alone has none.
            tags = {PAIR_TAG: pair.name, PARTITION_TAG: pair.name}
            yield dg.RunRequest(run_key=f"verify:{day}:{pair}", tags=tags)


@dg.sensor(job=pair_job, minimum_interval_seconds=_LOOK_SECONDS)
def targets_changed(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """Run each pair whose targets table changed since the last look; a failed one once more. Reads metadata alone.

    The first look notes how the tables are now and runs nothing: switching the sensor on is no order for 28 runs.
    """
    now: dict[str, str] = {}
    try:
        for warehouse, pairs in workspace.pipeline().warehouses():
            tables = {(TARGETS_DATASET, targets_table(pair)): pair.name for pair in pairs}
            now |= {tables[table]: state for table, state in warehouse.states(tables).items()}
    except TransientReadError as error:
        return _unanswered(context, error)
    # What a next look would meet as well, a missing role for example, is raised: a red tick, and not a grey one.
    before: dict[str, str] = json.loads(context.cursor or "{}")
    failed = before.pop(_UNANSWERED, None) is not None
    if context.cursor is None or (failed and not before):
        return dg.SensorResult(cursor=json.dumps(now), skip_reason=_from_now_on(len(now)))
    changed = [name for name, state in now.items() if before.get(name) != state]
    asked = [_request(name, f"{name}:{now[name]}", {_STATE_TAG: now[name]}) for name in changed]
    # Once more a change, by the run key, whatever becomes of it: the cause may be the data.
    asked += [
        _request(name, f"{name}:{state}:again", {_STATE_TAG: state})
        for name, state in now.items()
        if before.get(name) == state and _has_failed(context.instance, name, state)
    ]
    if not asked:
        if failed:
            context.update_cursor(json.dumps(before))  # looks that are not in a row are not counted together
        return dg.SkipReason(f"none of {len(now)} targets tables changed")
    return dg.SensorResult(run_requests=asked, cursor=json.dumps(before | now))


def _unanswered(context: dg.SensorEvaluationContext, error: TransientReadError) -> dg.SkipReason:
    """Count a look without an answer in the cursor, beside what was noted; raise the error when it is the third.

    An error leaves the cursor as it was, so each look after that is an error as well, until one is answered.
    """
    noted: dict[str, str] = json.loads(context.cursor or "{}")
    looks = int(noted.get(_UNANSWERED, "0")) + 1
    if looks >= _LOOKS_IN_VAIN:
        raise error
    context.update_cursor(json.dumps(noted | {_UNANSWERED: str(looks)}))
    return dg.SkipReason(
        f"The warehouse could not be asked, and is asked again at the next look; from the {_LOOKS_IN_VAIN}rd such look"
        f" in a row on this is an error, this was look {looks}. {error}"
    )


def _from_now_on(tables: int) -> str:
    return (
        f"First look: {tables} targets tables were noted as they are now. A pair is run when its table changes from now"
        " on. For a first run of all pairs launch a backfill of pair_job. To begin anew from now, reset the cursor."
    )


def _has_failed(instance: dg.DagsterInstance, pair: str, state: str) -> bool:
    """Say whether the pair's latest run was asked for by this sensor, for this state, failed, and is not retried."""
    wanted = dg.RunsFilter(job_name=pair_job.name, tags={PARTITION_TAG: pair})
    latest = next(iter(instance.get_runs(wanted, limit=1)), None)
    if latest is None or latest.status != dg.DagsterRunStatus.FAILURE or latest.tags.get(_STATE_TAG) != state:
        return False
    return latest.tags.get(_WILL_RETRY_TAG) != "true"


def _request(pair: str, run_key: str, tags: dict[str, str] | None = None) -> dg.RunRequest:
    """Of runs that wait in the queue the majors go first: by themselves they would go by the alphabet, usdjpy last."""
    priority = next(len(ALL_PAIRS) - place for place, each in enumerate(ALL_PAIRS) if each.name == pair)
    own = {PAIR_TAG: pair, _PRIORITY_TAG: str(priority)}
    return dg.RunRequest(run_key=run_key, partition_key=pair, tags=own | (tags or {}))
