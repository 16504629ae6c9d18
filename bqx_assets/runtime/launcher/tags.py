"""Names the run tags and environment variables that launcher and container share, and reads a run's pair from them."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from bqx_assets.base.errors import UsageError
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.runtime.keys import FLEET_JOB, FLEET_REPORT

PAIR_TAG = "bqx/pair"
PARTITION_TAG = "dagster/partition"
MEMORY_TAG = "bqx/memory_class"
OUTCOME_TAG = "bqx/outcome"
"""What became of a run: published, tables_failed, checks_failed, the name of the error, or refused: not started."""
REFUSED = "refused"
"""The outcome of a run that was cancelled before its start, because its pair has no tables or is not of the fleet."""
UNFINISHED = "unfinished"
"""The outcome of a run that repeats another one, until it has one of its own."""
EXECUTION_TAG = "bqx/cloud_run_execution"
"""The execution's full resource name, which stays right if the launcher's configuration changes."""
ENDING_TAG = "bqx/cloud_run_ending"
ATTEMPT_TAG = "bqx/cloud_run_attempt"
NEVER_BEGAN = "never began"
"""The value of the ending tag of a run whose container died, or was refused, before the run had begun."""
RETRIES_TAG = "dagster/max_retries"
"""Dagster's own tag: how often it may launch a failed run again."""
PRIORITY_TAG = "dagster/priority"
"""Dagster's own tag: the place in the queue."""
_WILL_RETRY_TAG = "dagster/will_retry"
PASSING_EXIT = 75
"""The exit code of a container that could not reach Dagster's database: EX_TEMPFAIL of sysexits.h."""

PAIR_ENV = "BQX_PAIR"
FLEET = "fleet"
"""The value of the pair's variable in a container that works on all pairs together."""
RUN_ENV = "BQX_RUN_ID"
ATTEMPT_ENV = "CLOUD_RUN_TASK_ATTEMPT"
"""Set by Cloud Run: 0 in the first container of a task, 1 in the one that follows it."""


def pair_of(tags: Mapping[str, str]) -> Pair:
    """Return the pair that a run's tags name: its own tag, its partition, or both when they agree.

    Raises:
        UsageError: the tags name no pair, or two. There is no default: a job that fell back to one reported 26 pairs
            as done after 4.
        UnknownPair: the text is not a pair's name.
    """
    named = {tags[key] for key in (PAIR_TAG, PARTITION_TAG) if key in tags}
    if len(named) == 1:
        return parse_pair(named.pop())
    raise UsageError(
        "run",
        got=f"the pairs {', '.join(sorted(named))}" if named else "no pair",
        expected=f"one, in the tag {PAIR_TAG} or {PARTITION_TAG}",
        cure="Launch one partition a run.",
    )


def subject_of(run: dg.DagsterRun) -> str:
    """Return the name of the pair that a run works on, or ``FLEET`` for the report of all pairs. Raises as ``pair_of``.

    A run that is started from the report's own page has another job's name; what it is to make says the same.
    """
    of_fleet = run.job_name == FLEET_JOB or run.asset_selection == {FLEET_REPORT}
    return FLEET if of_fleet and not {PAIR_TAG, PARTITION_TAG} & run.tags.keys() else pair_of(run.tags).name


def will_repeat(run: dg.DagsterRun) -> bool:
    """Return whether Dagster's daemon launches a run that failed once more, as after a lost container."""
    return run.tags.get(_WILL_RETRY_TAG) == "true"
