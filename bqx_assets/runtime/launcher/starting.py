"""Watches runs that were launched but have not begun, and fails those whose container cannot start or dies early.

Dagster 1.13 monitors the health only of runs that have STARTED. A run with a wrong secret, image or account stayed
STARTING for the whole start timeout of 600 s, held a place of the queue, and was then launched once more: 28 runs took
80 minutes to fail. ``cloud_run`` answers for runs that have begun.
"""

from __future__ import annotations

import logging
import threading

import dagster as dg
from dagster._core.events import EngineEventData

from bqx_assets.base.errors import CloudRunError, CloudRunUnavailable
from bqx_assets.runtime.launcher.client import CloudRun
from bqx_assets.runtime.launcher.execution import ExecutionStatus, Outcome
from bqx_assets.runtime.launcher.tags import ATTEMPT_TAG, ENDING_TAG, EXECUTION_TAG, NEVER_BEGAN, RETRIES_TAG

_LOG = logging.getLogger(__name__)
_WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
_LASTS = (
    "The next container would fail for the same reason, so the run is not retried: read its log, fix its image, secret,"
    " service account or memory class (deploy/README.md), then launch the run again."
)
_PASSES = (
    "Another container may succeed, so Dagster launches the run once more if its retries are on (run_retries in"
    " dagster.yaml). If that one fails as well, read its log: the database and its address, then memory."
)


class StartWatch:
    """Examines all runs that wait for their container every few seconds, in a thread of the launching process."""

    def __init__(self, cloud_run: CloudRun, every_seconds: float) -> None:
        self._cloud_run = cloud_run
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, instance: dg.DagsterInstance) -> None:
        """Start watching; does nothing if the watch has started already."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, args=(instance,), name="bqx-starts", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def look(self, instance: dg.DagsterInstance) -> None:
        """Close each run whose execution is over although the run has not begun.

        If Cloud Run cannot be asked, or refuses to answer, the runs stay as they are until the next look.
        """
        for run in instance.get_runs(dg.RunsFilter(statuses=_WAITING)):
            if execution := run.tags.get(EXECUTION_TAG):
                try:
                    outcome = self._cloud_run.outcome(execution)
                except CloudRunError as error:
                    _LOG.warning("run %s waits for its container: %s", run.run_id, error)
                    if isinstance(error, CloudRunUnavailable):
                        return
                    continue
                if outcome.status is ExecutionStatus.RUNNING:
                    tell_of_retry(instance, run, outcome)
                else:
                    _close(instance, run.run_id, outcome)

    def _watch(self, instance: dg.DagsterInstance) -> None:
        while not self._over.wait(self._every_seconds):
            try:
                self.look(instance)
            except Exception:  # noqa: BLE001 -- for example, the database did not answer; Dagster's own loops go on too
                _LOG.warning("runs that wait for their container were not looked at", exc_info=True)


def has_not_begun(run: dg.DagsterRun) -> bool:
    """Return whether a run waits for its container."""
    return run.status in _WAITING


def tell_of_retry(instance: dg.DagsterInstance, run: dg.DagsterRun, outcome: Outcome) -> None:
    """Log once in the run's event log that Cloud Run started another container, and how the one before it ended."""
    if outcome.attempts > int(run.tags.get(ATTEMPT_TAG) or 1):
        message = f"Container {outcome.attempts - 1} ended: {outcome.last_attempt or 'no reason given'}."
        tell(instance, run, f"{message} Cloud Run started container {outcome.attempts}.", outcome)
        instance.add_run_tags(run.run_id, {ATTEMPT_TAG: str(outcome.attempts)})


def tell(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str, outcome: Outcome) -> None:
    """Write a message, with the known facts of the execution, to the run's event log."""
    links = {"Execution": outcome.console, "Logs": outcome.logs}
    facts = {
        "Ending": outcome.status.value,
        "Reason": outcome.reason or outcome.last_attempt,
        "Containers": str(outcome.attempts),
        **{label: dg.UrlMetadataValue(link) for label, link in links.items() if link},
    }
    instance.report_engine_event(message, run, EngineEventData(facts), cls=StartWatch)


def tags_of_never_begun(outcome: Outcome) -> dict[str, str]:
    """Return the tags of a run whose container never began it: no retry if the next container would fail as well.

    If another one may succeed, Dagster's own retry stays, even after a second container: nothing was read yet.
    """
    return {ENDING_TAG: NEVER_BEGAN} if outcome.may_pass else {ENDING_TAG: NEVER_BEGAN, RETRIES_TAG: "0"}


def _close(instance: dg.DagsterInstance, run_id: str, outcome: Outcome) -> None:
    """Mark a run that never began as failed or cancelled, with the outcome of its execution."""
    run = instance.get_run_by_id(run_id)
    if run is None or not has_not_begun(run) or run.tags.get(EXECUTION_TAG) != outcome.execution:
        return  # before it ended, the container reported that the run began, or is over
    if outcome.status is ExecutionStatus.CANCELLED:
        instance.add_run_tags(run_id, {ENDING_TAG: outcome.status.value})
        instance.report_run_canceled(run, str(outcome))
        return
    message = f"The container never began its run. {outcome}\n{_PASSES if outcome.may_pass else _LASTS}"
    tell(instance, run, message, outcome)
    instance.add_run_tags(run_id, tags_of_never_begun(outcome))
    instance.report_run_failed(instance.get_run_by_id(run_id) or run, message)
