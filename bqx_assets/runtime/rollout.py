"""Stops a rollout, which is a backfill or a ``bqx fleet run``, after some of its pairs failed (BQX_STOP_AFTER).

A defect that meets every pair need not be met 28 times. What is at work goes on; what is queued is cancelled.
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.runtime.instance import WAITING
from bqx_assets.runtime.launcher.tags import PARTITION_TAG, will_repeat
from bqx_assets.runtime.workspace import Workspace

BACKFILL_TAG = "dagster/backfill"
FLEET_TAG = "bqx/fleet"
"""Tag of the runs of one `bqx fleet run`: its id, by which the web server's page of runs filters them."""
STOP_TAG = "bqx/stop_after"
"""Tag of a run of a fleet that has a limit of its own, in the place of BQX_STOP_AFTER."""
STOPPED_TAG = "bqx/rollout"
STOPPED = "stopped"
_PARENT_TAG = "dagster/parent_run_id"


@dg.run_failure_sensor(name="stop_rollout", minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING)
def stop_rollout(context: dg.RunFailureSensorContext, workspace: Workspace) -> dg.SkipReason:
    """Cancels what is queued of a backfill or fleet when BQX_STOP_AFTER of its pairs have failed; unset, nothing."""
    cancelled = stop_after_failures(context.instance, context.dagster_run, workspace.settings().stop_after)
    return dg.SkipReason(f"{len(cancelled)} queued runs of this rollout were cancelled: {', '.join(cancelled)}")


def stop_after_failures(instance: dg.DagsterInstance, run: dg.DagsterRun, limit: int | None) -> list[str]:
    """Cancel the queued runs of a failed run's rollout if ``limit`` pairs of it have failed; return their pairs.

    The run's own tag replaces ``limit``; None is no limit. A pair whose failed run is launched again has not failed.
    """
    rollout = rollout_of(run)
    limit = int(run.tags.get(STOP_TAG, limit or 0))
    if not rollout or not limit:
        return []
    runs = instance.get_runs(dg.RunsFilter(tags=rollout))
    latest = {each.tags.get(PARTITION_TAG, ""): each for each in reversed(runs)}
    failed = sorted(pair for pair, each in latest.items() if each.is_failure and not will_repeat(each))
    if len(failed) < limit:
        return []
    # A large backfill is put into the queue by parts: the tag lets the queue refuse the later ones.
    instance.add_run_tags(run.run_id, {STOPPED_TAG: STOPPED})
    waiting = {pair: each for pair, each in latest.items() if each.status in WAITING}
    for each in waiting.values():
        instance.report_run_canceled(each, _reason(failed, limit))
    return sorted(waiting)


def was_stopped(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return a sentence if the rollout of a run that is to be queued was stopped; a re-execution by hand goes on."""
    rollout = rollout_of(run)
    if not rollout or _PARENT_TAG in run.tags:
        return ""
    stopped = instance.get_runs(dg.RunsFilter(tags={**rollout, STOPPED_TAG: STOPPED}), limit=1)
    return "This rollout was stopped after failures (BQX_STOP_AFTER)." if stopped else ""


def rollout_of(run: dg.DagsterRun) -> dict[str, str]:
    """Return the tag that all runs of a run's fleet or backfill have; empty for a run of neither."""
    for key in (FLEET_TAG, BACKFILL_TAG):
        if key in run.tags:
            return {key: run.tags[key]}
    return {}


def _reason(failed: list[str], limit: int) -> str:
    return (
        f"The rollout was stopped: {len(failed)} pairs failed ({', '.join(failed)}), and the limit is {limit} "
        "(BQX_STOP_AFTER). Nothing of this pair was started. When the cause is mended: bqx fleet run --failed"
    )
