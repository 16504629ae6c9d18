"""Defines the fleet's report as an asset with a check, its job, and what starts it: a schedule, a rollout's end."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from bqx_assets.base.printable import markdown_cell
from bqx_assets.fleet.attention import attention, summary
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.fleet.publication import publish_report
from bqx_assets.fleet.state import FleetState
from bqx_assets.runtime.instance import UNENDED
from bqx_assets.runtime.keys import FLEET_JOB, FLEET_REPORT, GROUP, OWNERS, PUBLISHED
from bqx_assets.runtime.launcher.tags import MEMORY_TAG, PARTITION_TAG
from bqx_assets.runtime.rollout import BACKFILL_TAG, rollout_of
from bqx_assets.runtime.step import StepProgress, errors_as_failures, listener
from bqx_assets.runtime.workspace import Workspace

FLEET_CHECK = "every_pair_published_verified_and_fresh"
_ROWS = 40
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_LOOKED_AT = 50
"""Number of runs, the last changed first, among which a rollout is looked for."""


@dg.asset(
    # The arrow is for the graph. The report needs no pair: a backfill would not write it after one pair's failure.
    deps=[dg.AssetDep(PUBLISHED, partition_mapping=dg.SpecificPartitionsPartitionMapping([]))],
    check_specs=[
        dg.AssetCheckSpec(
            FLEET_CHECK,
            asset=FLEET_REPORT,
            description="Each pair of the fleet is published, its bytes are verified, and its data are fresh.",
        )
    ],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html"},
    code_version="1",
    # A generator's annotation does not say that there is no value: the IO manager would be asked to keep None.
    dagster_type=dg.Nothing,  # pyright: ignore[reportArgumentType] -- at run time it is a DagsterType
)
def fleet_report(
    context: dg.AssetExecutionContext, workspace: Workspace
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """One HTML page on all pairs: stages, checks, nulls, costs, trend, and what needs attention first.

    It is published beside the training files and opens without a network. The check says which pairs are not good.
    """
    with errors_as_failures():
        pipeline = workspace.pipeline(StepProgress(context.log, listener(workspace.channel)))
        state = fleet_state(pipeline, datetime.now(UTC))
        place = publish_report(pipeline.store, state)
    yield dg.MaterializeResult(value=None, asset_key=FLEET_REPORT, metadata=_metadata(place, state))
    yield dg.AssetCheckResult(
        asset_key=FLEET_REPORT,
        check_name=FLEET_CHECK,
        passed=all(pair.is_good for pair in state.pairs),
        severity=dg.AssetCheckSeverity.ERROR,
        description=summary(state)[:4_000],
        metadata={"what needs attention first": dg.MetadataValue.md(attention_table(state))},
    )


fleet_job = dg.define_asset_job(
    FLEET_JOB,
    selection=dg.AssetSelection.assets(FLEET_REPORT),
    description="Writes the report of all pairs, and checks that each is published, verified and fresh.",
    tags={MEMORY_TAG: "pair"},
)
fleet_daily = dg.ScheduleDefinition(
    name="fleet_daily",
    job=fleet_job,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    description="Writes the fleet's report each day at 06:00 UTC.",
)


@dg.sensor(
    name="rollout_report",
    job=fleet_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the fleet's report when all runs of a backfill or of bqx fleet run have ended.",
)
def rollout_report(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the report of the rollout whose pair ended last, once for each end of it."""
    instance = context.instance
    for record in instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED), limit=_LOOKED_AT, order_by="update_timestamp"
    ):
        rollout = rollout_of(record.dagster_run)
        if not rollout or PARTITION_TAG not in record.dagster_run.tags:
            continue
        # Tags alone: a run that was launched again after a failure carries them as well, and makes another end.
        runs = [each for each in instance.get_runs(dg.RunsFilter(tags=rollout)) if PARTITION_TAG in each.tags]
        left = sum(each.status in UNENDED for each in runs)
        (name,) = rollout.values()
        if left or _is_submitting(instance, rollout):
            return dg.SkipReason(f"Rollout {name}: {left} of {len(runs)} runs have not ended, or more are to come.")
        return dg.RunRequest(run_key=f"{name}:{len(runs)}")
    return dg.SkipReason("No backfill and no fleet has ended.")


def _is_submitting(instance: dg.DagsterInstance, rollout: Mapping[str, str]) -> bool:
    """Return whether a backfill has not put all of its runs into the queue."""
    backfill = instance.get_backfill(rollout[BACKFILL_TAG]) if BACKFILL_TAG in rollout else None
    return backfill is not None and backfill.status.value == "REQUESTED"


def attention_table(state: FleetState) -> str:
    """Return a markdown table of what needs attention, with the command that helps."""
    matters = attention(state)
    if not matters:
        return "Nothing: every pair is published, verified and fresh."
    lines = [
        f"| {each.kind} | {markdown_cell(each.sentence[:400])} | {markdown_cell(each.command)} |"
        for each in matters[:_ROWS]
    ]
    more = [f"\nand {len(matters) - _ROWS:,} more"] if len(matters) > _ROWS else []
    return "\n".join(["| | what | command |", "|---|---|---|", *lines, *more])


def _metadata(place: str, state: FleetState) -> dict[str, dg.MetadataValue]:
    link = place if "://" in place else Path(place).absolute().as_uri()
    return {
        "report": dg.MetadataValue.url(link),
        "pairs": dg.MetadataValue.int(len(state.pairs)),
        "good": dg.MetadataValue.int(sum(pair.is_good for pair in state.pairs)),
        "failed": dg.MetadataValue.int(sum(pair.has_failed for pair in state.pairs)),
        "not_fresh": dg.MetadataValue.int(sum(pair.fresh is False for pair in state.pairs)),
        "month_usd": dg.MetadataValue.float(round(state.month_usd, 4)),
    }
