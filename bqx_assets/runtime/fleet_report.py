"""Defines the fleet's report as an asset with a check, the job that makes it, and its daily schedule, off at first."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from bqx_assets.base.printable import markdown_cell
from bqx_assets.fleet.attention import attention, summary
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.fleet.publication import publish_report
from bqx_assets.fleet.state import FleetState
from bqx_assets.runtime.keys import FLEET_JOB, FLEET_REPORT, GROUP, OWNERS, PUBLISHED
from bqx_assets.runtime.launcher.tags import MEMORY_TAG
from bqx_assets.runtime.step import StepProgress, errors_as_failures, listener
from bqx_assets.runtime.workspace import Workspace

FLEET_CHECK = "every_pair_published_verified_and_fresh"
_ROWS = 40


@dg.asset(
    deps=[PUBLISHED],
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
        "not_fresh": dg.MetadataValue.int(sum(pair.fresh is not True for pair in state.pairs)),
        "month_usd": dg.MetadataValue.float(round(state.month_usd, 4)),
    }
