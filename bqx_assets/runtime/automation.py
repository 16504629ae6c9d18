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
"""Time between two looks at the warehouse. A look makes 28 calls for a table's metadata, which bill nothing. Tables
change a few times a week, and a run takes longer than this."""
_LOOKS_IN_VAIN = 3
"""Number of looks in a row without an answer that are an error: nobody would notice a grey skip every hour for days."""
_UNANSWERED = "looks without an answer"
"""The cursor's key, beside the pairs, for the number of such looks in a row. No pair has this name."""
REASON_TAG = "bqx/reason"
"""Tag of a run that nobody launched by hand: why it runs."""
_PRIORITY_TAG = "dagster/priority"
_WILL_RETRY_TAG = "dagster/will_retry"
_STATE_TAG = "bqx/targets_state"
"""Tag of a run that the sensor requested: the state of the targets table at that time."""

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

stages_follow = dg.AutomationConditionSensorDefinition(
    "stages_follow",
    target=dg.AssetSelection.assets(SLABS, TRAINING, PUBLISHED),
    description="Makes the later stages of a pair after an earlier one was made by hand and its blocking checks passed."
    " It never looks at the warehouse: another sensor does, and its runs make all stages.",
    run_tags={REASON_TAG: "an earlier stage was made anew"},
)


@dg.schedule(job=pair_job, cron_schedule="0 4 * * 0", execution_timezone="UTC")
def weekly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Runs all 28 pairs on Sundays at 04:00 UTC, when the market is closed."""
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        yield _request(pair.name, f"{day}:{pair}")


@dg.schedule(job=verify_job, cron_schedule="0 12 * * 6", execution_timezone="UTC")
def verify_weekly(context: dg.ScheduleEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest]:
    """Verifies the published files on Saturdays at 12:00 UTC, before Sunday's run replaces them."""
    store = workspace.pipeline().store
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        if store.head(training_name(pair)) is not None:
            # A tag names the partition: Dagster 1.13 takes a job's partitions from its assets, and this job has none.
            tags = {PAIR_TAG: pair.name, PARTITION_TAG: pair.name}
            yield dg.RunRequest(run_key=f"verify:{day}:{pair}", tags=tags)


@dg.sensor(job=pair_job, minimum_interval_seconds=_LOOK_SECONDS)
def targets_changed(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """Runs each pair whose targets table changed since the last look; a failed run once more. It reads only metadata.

    The first look notes the present state of the tables and runs nothing: switching the sensor on must not start 28
    runs.
    """
    now: dict[str, str] = {}
    try:
        for warehouse, pairs in workspace.pipeline().warehouses():
            tables = {(TARGETS_DATASET, targets_table(pair)): pair.name for pair in pairs}
            now |= {tables[table]: state for table, state in warehouse.states(tables).items()}
    except TransientReadError as error:
        return _unanswered(context, error)
    # An error that the next look would meet as well, such as a missing role, is raised: the tick is red, not grey.
    before: dict[str, str] = json.loads(context.cursor or "{}")
    failed = before.pop(_UNANSWERED, None) is not None
    if context.cursor is None or (failed and not before):
        return dg.SensorResult(cursor=json.dumps(now), skip_reason=_from_now_on(len(now)))
    changed = [name for name, state in now.items() if before.get(name) != state]
    asked = [_request(name, f"{name}:{now[name]}", {_STATE_TAG: now[name]}) for name in changed]
    # The run key allows one retry for each change, whatever its outcome: the data may be the cause.
    asked += [
        _request(name, f"{name}:{state}:again", {_STATE_TAG: state})
        for name, state in now.items()
        if before.get(name) == state and _has_failed(context.instance, name, state)
    ]
    if not asked:
        if failed:
            context.update_cursor(json.dumps(before))  # only looks in a row are counted together
        return dg.SkipReason(f"none of {len(now)} targets tables changed")
    return dg.SensorResult(run_requests=asked, cursor=json.dumps(before | now))


def _unanswered(context: dg.SensorEvaluationContext, error: TransientReadError) -> dg.SkipReason:
    """Count a look without an answer in the cursor, beside the noted states; raise the error if it is the third.

    An error leaves the cursor unchanged, so each later look is an error as well, until one is answered.
    """
    noted: dict[str, str] = json.loads(context.cursor or "{}")
    looks = int(noted.get(_UNANSWERED, "0")) + 1
    if looks >= _LOOKS_IN_VAIN:
        raise error
    context.update_cursor(json.dumps(noted | {_UNANSWERED: str(looks)}))
    return dg.SkipReason(
        f"The warehouse could not be asked, and is asked again at the next look. This was look {looks} in a row without"
        f" an answer; look {_LOOKS_IN_VAIN} is an error. {error}"
    )


def _from_now_on(tables: int) -> str:
    return (
        f"First look: the present state of {tables} targets tables was noted. A pair runs when its table changes after"
        " this look. For a first run of all pairs launch a backfill of pair_job. To start over, reset the cursor."
    )


def _has_failed(instance: dg.DagsterInstance, pair: str, state: str) -> bool:
    """Return whether the sensor requested the pair's latest run for this state, and it failed and is not retried."""
    wanted = dg.RunsFilter(job_name=pair_job.name, tags={PARTITION_TAG: pair})
    latest = next(iter(instance.get_runs(wanted, limit=1)), None)
    if latest is None or latest.status != dg.DagsterRunStatus.FAILURE or latest.tags.get(_STATE_TAG) != state:
        return False
    return latest.tags.get(_WILL_RETRY_TAG) != "true"


def _request(pair: str, run_key: str, tags: dict[str, str] | None = None) -> dg.RunRequest:
    """Return the request of a pair's run. Its priority puts majors first; Dagster's own order is alphabetic."""
    priority = next(len(ALL_PAIRS) - place for place, each in enumerate(ALL_PAIRS) if each.name == pair)
    own = {PAIR_TAG: pair, _PRIORITY_TAG: str(priority)}
    return dg.RunRequest(run_key=run_key, partition_key=pair, tags=own | (tags or {}))
