"""The queue of all runs: it puts large pairs first, and ends at once the runs that could only fail.

``dagster.yaml`` names the class. Runs of browser, API, schedules and ``bqx fleet run`` all come through it; Dagster's
backfills give their runs no priority and submit them in alphabetical order, so only what waits can be put in order.
"""

from __future__ import annotations

from contextlib import suppress

import dagster as dg
from dagster._core.run_coordinator import SubmitRunContext  # the base's own argument
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from pydantic import ValidationError

from bqx_assets.base.errors import BqxError
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair, parse_pairs
from bqx_assets.base.settings import Settings
from bqx_assets.extract.embedded_layout import is_unfinished, pairs_with_targets
from bqx_assets.runtime.instance import PROCESS_TAG
from bqx_assets.runtime.keys import SLABS, SPINE, TRAINING
from bqx_assets.runtime.launcher.tags import OUTCOME_TAG, PAIR_TAG, PARTITION_TAG, PRIORITY_TAG, REFUSED, UNFINISHED
from bqx_assets.runtime.rollout import BACKFILL_TAG, was_stopped

_READING_JOBS = {"pair_job", "extract_job"}
_OF_NO_RUN_YET = {OUTCOME_TAG: UNFINISHED, PROCESS_TAG: ""}


class PairRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, in which a pair's run has the tag of its pair, and a priority by the pair's size."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue; cancel it, with the reason, if its pair has no tables or is not of the fleet."""
        run = context.dagster_run
        pair = _pair_of(run)
        if pair is None:
            return super().submit_run(context)
        reason = was_stopped(self._instance, run) or self._refusal(run, pair)
        if run.status == dg.DagsterRunStatus.NOT_STARTED and reason:
            # The list of runs does not show the reason: by these tags it can be filtered for what was not started.
            self._instance.add_run_tags(run.run_id, {PAIR_TAG: pair.name, OUTCOME_TAG: REFUSED})
            self._instance.report_run_canceled(run, f"Nothing was started. {reason}")
            return self._instance.get_run_by_id(run.run_id) or run
        # These came with the tags of the run that this one repeats: its outcome, and its process, which may be dead.
        if came := {key: value for key, value in _OF_NO_RUN_YET.items() if key in run.tags}:
            self._instance.add_run_tags(run.run_id, came)
        own = {PAIR_TAG: pair.name, PRIORITY_TAG: str(priorities(self._instance)[pair.name])}
        if missing := {key: value for key, value in own.items() if key not in run.tags}:
            self._instance.add_run_tags(run.run_id, missing)
        return super().submit_run(context)

    def _refusal(self, run: dg.DagsterRun, pair: Pair) -> str:
        """Return why a run could only fail; empty if it could not, or if the settings cannot tell it here."""
        reads = run.job_name in _READING_JOBS or not (run.asset_selection or set()).isdisjoint({SPINE, SLABS})
        with suppress(BqxError, ValidationError):  # of settings that are wrong the run itself will tell
            settings = Settings()
            if BACKFILL_TAG in run.tags and settings.fleet is not None and pair not in parse_pairs(settings.fleet):
                return f"{pair} is not one of the fleet's pairs (BQX_FLEET): {settings.fleet}."
            if reads and isinstance(self._instance.run_launcher, dg.DefaultRunLauncher):
                return without_tables(settings, pair)
        return ""


def priorities(instance: dg.DagsterInstance) -> dict[str, int]:
    """Return the pairs' priorities in the queue, from 28 for the first down to 1.

    Pairs are ordered by the bytes of their last training file, and in market order where none was made. **Cost**: two
    queries of the event log.
    """
    sizes = last_sizes(instance)
    ordered = sorted(ALL_PAIRS, key=lambda pair: -sizes.get(pair.name, 0))
    return {pair.name: len(ordered) - place for place, pair in enumerate(ordered)}


def last_sizes(instance: dg.DagsterInstance) -> dict[str, int]:
    """Return the bytes of each pair's last training file, where one was made."""
    newest = instance.get_latest_storage_id_by_partition(TRAINING, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=TRAINING, storage_ids=list(newest.values()))
    made = [each.asset_materialization for each in instance.fetch_materializations(wanted, len(newest)).records]
    return {
        each.partition: size.value
        for each in made
        if each is not None
        and each.partition is not None
        and isinstance(size := each.metadata.get("size_bytes"), dg.IntMetadataValue)
        and size.value is not None
    }


def without_tables(settings: Settings, pair: Pair) -> str:
    """Return a sentence if embedded warehouses are read of which none has the pair's targets; else an empty text.

    Of a home without any table, and of a warehouse that is not finished, the run itself tells, with what helps.
    """
    if settings.bigquery_project is not None:
        return ""
    folder = settings.of_pair(pair).warehouse_dir
    there = pairs_with_targets(settings)
    if pair in there or not there or is_unfinished(folder):
        return ""
    names = ", ".join(each.name for each in there)
    return f"{pair} has no tables in the warehouse {folder}. Launch only pairs that have some: {names}."


def _pair_of(run: dg.DagsterRun) -> Pair | None:
    """Return the pair of a run's partition; None for a run of no pair."""
    with suppress(BqxError):
        return parse_pair(run.tags.get(PARTITION_TAG) or run.tags.get(PAIR_TAG) or "")
    return None
