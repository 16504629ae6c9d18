"""Defines what starts runs: jobs, two weekly schedules, and two sensors; schedules and sensors are off at first.

``sources_changed`` alone decides that a changed table makes a run; ``fleet.changes`` has its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from bqx_assets.base.errors import TransientReadError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.printable import first_of, markdown_code
from bqx_assets.base.settings import training_name
from bqx_assets.catalogue.families import is_shared
from bqx_assets.extract.embedded_layout import pairs_of_fleet
from bqx_assets.fleet.changes import TARGETS as TARGETS_GROUP
from bqx_assets.fleet.changes import Group, Memory, Runs, Verdict, asked, in_words, judged, look, noted, version
from bqx_assets.runtime.instance import UNENDED
from bqx_assets.runtime.keys import INTACT, PUBLISHED, SLABS, SPINE, TARGETS, TRAINING, family_key
from bqx_assets.runtime.launcher.tags import MEMORY_TAG, PAIR_TAG, PARTITION_TAG, PRIORITY_TAG, will_repeat
from bqx_assets.runtime.workspace import Workspace

_LOOK_SECONDS = 3_600
"""Time between two looks at the warehouse. A look makes a call for each table's metadata, which bills nothing. Tables
change a few times a week, and a run takes longer than this."""
_LOOKS_IN_VAIN = 3
"""Number of looks in a row without an answer that are an error: nobody would notice a grey skip every hour for days."""
_SHOWN_TABLES = 20
REASON_TAG = "bqx/reason"
"""Tag of a run that nobody launched by hand: why it runs."""
CHANGES_TAG = "bqx/changes"
"""Tag of a run of ``sources_changed``: the number of changes of tables that it was requested for."""
_VERSION_TAG = "dagster/data_version"
_ASKED_TAG = "bqx/request"
"""Tag of a run of ``sources_changed``: the name of the request, the same for its repetition after a failure."""

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
    " It never looks at the warehouse: sources_changed does, and its runs make all stages.",
    run_tags={REASON_TAG: "an earlier stage was made anew"},
)


@dg.schedule(
    job=pair_job,
    cron_schedule="0 4 * * 0",
    execution_timezone="UTC",
    description="Runs all pairs of the fleet, from the warehouse to the published file.",
)
def weekly(context: dg.ScheduleEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest]:
    """Runs all pairs of the fleet on Sundays at 04:00 UTC, when the market is closed."""
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in pairs_of_fleet(workspace.settings()):
        yield _request(pair.name, f"{day}:{pair}", {REASON_TAG: "the weekly run of all pairs"})


@dg.schedule(
    job=verify_job,
    cron_schedule="0 12 * * 6",
    execution_timezone="UTC",
    description="Verifies the bytes of what is published.",
)
def verify_weekly(context: dg.ScheduleEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest]:
    """Verifies the published files on Saturdays at 12:00 UTC, before Sunday's run replaces them."""
    store = workspace.pipeline().store
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    for pair in ALL_PAIRS:
        if store.head(training_name(pair)) is not None:
            # A tag names the partition: Dagster 1.13 takes a job's partitions from its assets, and this job has none.
            tags = {PAIR_TAG: pair.name, PARTITION_TAG: pair.name, REASON_TAG: "the weekly verification"}
            yield dg.RunRequest(run_key=f"verify:{day}:{pair}", tags=tags)


@dg.sensor(
    job=pair_job,
    minimum_interval_seconds=_LOOK_SECONDS,
    description="Looks at the state of all tables each hour, and makes each pair anew whose tables changed, once they"
    " have come to rest. The first look runs nothing. A tick says which pairs wait, and for what.",
)
def sources_changed(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """Makes each pair anew whose targets or feature tables changed, after a look that finds no further change.

    It reads only metadata, and records the tables' states as observations. The first look notes them and runs nothing.
    One pair has one run at a time, and one in 6 hours. A pair whose run failed is requested once more, and then only
    after a change. Of a table that all pairs share, one change makes 28 runs: all at once, majors first.
    """
    return followed(context, workspace, datetime.now(UTC))


def followed(
    context: dg.SensorEvaluationContext, workspace: Workspace, now: datetime
) -> dg.SensorResult | dg.SkipReason:
    """Return what a look at the warehouse comes to; ``now`` is the time that is noted and compared.

    Raises:
        TransientReadError: the third look in a row without an answer. Other errors as ``fleet.changes.look``: the next
            look would meet them as well, such as a missing role, so the tick is red and not grey.
    """
    before = Memory.model_validate_json(context.cursor) if context.cursor else Memory()
    try:
        groups = look(workspace.pipeline())
    except TransientReadError as error:
        return _unanswered(context, before, error)
    after = noted(before, groups, now)
    verdicts = judged(before, after, groups, _runs(context.instance, after), now)
    requests = [_requested(each) for each in verdicts if each.asked]
    waits = in_words([each for each in verdicts if not each.asked])
    if requests and waits:
        context.log.info(waits)
    tables = sum(len(group.states) for group in groups)
    looked = f"{tables:,} tables of {len(after.pairs)} pairs"
    still = f"None of {looked} changed." if not waits else f"{waits} {looked} were looked at."
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else still if before.signs else _from_now_on(looked),
        cursor=asked(after, verdicts, now).model_dump_json(exclude_defaults=True),
        asset_events=list(_observations(before, groups)),
    )


def _unanswered(context: dg.SensorEvaluationContext, before: Memory, error: TransientReadError) -> dg.SkipReason:
    """Count a look without an answer in the memory, beside what was noted; raise the error if it is the third.

    An error leaves the cursor unchanged, so each later look is an error as well, until one is answered.
    """
    looks = before.unanswered + 1
    if looks >= _LOOKS_IN_VAIN:
        raise error
    context.update_cursor(before.model_copy(update={"unanswered": looks}).model_dump_json(exclude_defaults=True))
    return dg.SkipReason(
        f"The warehouse could not be asked, and is asked again at the next look. This was look {looks} in a row without"
        f" an answer; look {_LOOKS_IN_VAIN} is an error. {error}"
    )


def _from_now_on(looked: str) -> str:
    return (
        f"First look: the present state of {looked} was noted. A pair runs when a table of it changes after this look."
        " For a first run of all pairs launch a backfill of pair_job. To start over, reset the cursor."
    )


def _runs(instance: dg.DagsterInstance, memory: Memory) -> Runs:
    """Return the pairs with a run that has not ended, and the requests whose run failed for good."""
    at_work = instance.get_runs(dg.RunsFilter(statuses=UNENDED))
    open_requests = {name: each.asked for name, each in memory.pairs.items() if each.asked and not each.repeated}
    return Runs(
        at_work=frozenset(run.tags[PARTITION_TAG] for run in at_work if PARTITION_TAG in run.tags),
        failed=frozenset(each for name, each in open_requests.items() if _has_failed(instance, name, each)),
    )


def _has_failed(instance: dg.DagsterInstance, pair: str, request: str) -> bool:
    """Return whether the pair's latest run was made for this request, and it failed and is not retried."""
    wanted = dg.RunsFilter(job_name=pair_job.name, tags={PARTITION_TAG: pair})
    latest = next(iter(instance.get_runs(wanted, limit=1)), None)
    if latest is None or not latest.is_failure or latest.tags.get(_ASKED_TAG) != request:
        return False
    return not will_repeat(latest)


def _observations(before: Memory, groups: Sequence[Group]) -> Iterator[dg.AssetObservation]:
    """Yield an observation of each source whose tables are not as at the last look, with their state as data version.

    A shared family is one source, also where embedded warehouses have it several times.
    """
    sources: dict[tuple[str, str | None], list[Group]] = {}
    for group in groups:
        partition = None if is_shared(group.family) else group.owner
        sources.setdefault((group.family, partition), []).append(group)
    for (family, partition), some in sources.items():
        if any(before.signs.get(group.name) != group.signs for group in some):
            known = [group for group in some if group.name in before.signs]
            changed = sorted({table for group in known for table in group.changed(before.signs[group.name])})
            shown = "\n".join(
                f"- {line}" for line in first_of([markdown_code(each) for each in changed], _SHOWN_TABLES)
            )
            yield dg.AssetObservation(
                TARGETS if family == TARGETS_GROUP else family_key(family),
                partition=partition,
                metadata={
                    "tables": sum(len(group.states) for group in some),
                    "changed": len(changed),
                    "changed_tables": dg.MetadataValue.md(shown or "not known: this was the first look"),
                },
                tags={_VERSION_TAG: version(some)},
            )


def _requested(verdict: Verdict) -> dg.RunRequest:
    """Return the request of a verdict. Dagster makes one run of a run key, whatever becomes of it."""
    tags = {_ASKED_TAG: verdict.asked, REASON_TAG: verdict.reason}
    if verdict.changes:
        tags[CHANGES_TAG] = str(verdict.changes)
    return _request(verdict.pair, f"{verdict.asked}:again" if verdict.repeated else verdict.asked, tags)


def _request(pair: str, run_key: str, tags: dict[str, str]) -> dg.RunRequest:
    """Return the request of a pair's run. Its priority puts majors first; Dagster's own order is alphabetic."""
    priority = next(len(ALL_PAIRS) - place for place, each in enumerate(ALL_PAIRS) if each.name == pair)
    own = {PAIR_TAG: pair, PRIORITY_TAG: str(priority)}
    return dg.RunRequest(run_key=run_key, partition_key=pair, tags=own | tags)
