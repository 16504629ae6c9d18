"""Puts one run for each of some pairs into the Dagster instance's queue, follows them, and cancels them.

Browser, API and command line see the same runs. The instance's own limits hold, so no run is launched from here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext  # there is no public way to launch as the pages do
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.cli import execute_query
from dagster_webserver.version import __version__

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import BqxError, NotReady
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.automation import pair_job, verify_job
from bqx_assets.runtime.coordinator import last_sizes, priorities
from bqx_assets.runtime.daemon import daemon_beside, is_of_this_machine, is_served, server_environment
from bqx_assets.runtime.doctor_job import doctor_job
from bqx_assets.runtime.instance import (
    UNENDED,
    WAITING,
    WORKSPACE,
    dagster_home,
    end_dead_runs,
    open_instance,
    storage_named,
)
from bqx_assets.runtime.keys import FLEET_JOB, PUBLISHED
from bqx_assets.runtime.launcher.tags import PAIR_TAG, PARTITION_TAG, PRIORITY_TAG, will_repeat
from bqx_assets.runtime.rollout import FLEET_TAG, STOP_TAG, stop_after_failures
from bqx_assets.runtime.step import failure_error

RunState = Literal["queued", "running", "done", "failed", "cancelled"]
_LOCATION, _REPOSITORY = "bqx_assets", "__repository__"
_ENDED: Mapping[dg.DagsterRunStatus, RunState] = {
    dg.DagsterRunStatus.SUCCESS: "done",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "cancelled",
}
_RETRY_RUN_TAG = "dagster/auto_retry_run_id"
_LOOK_SECONDS = 1.0
_CANCEL_SECONDS = 60.0
_REPORT_TIME = timedelta(minutes=5)
"""More than the report of a rollout takes."""
_LONGEST = timedelta(days=1)
"""Time that no run takes: Dagster ends one after three hours."""
_LOOKS_ONLY = {verify_job.name, doctor_job.name}
"""Jobs of a pair that make nothing, so that their outcome says nothing about what was made."""
_LAUNCH = """mutation($list: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $list) {
    ... on LaunchMultipleRunsResult { launchMultipleRunsResult {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
    ... on PythonError { message } } }"""


class MemberRun(Record):
    """A pair's run, as far as it is. ``error`` and ``cure`` say why one failed or was cancelled."""

    pair: str
    run_id: str
    state: RunState
    followed: bool
    """Whether the run was in the queue or at work already, and was not launched here."""
    seconds: float | None = None
    usd: float | None = None
    """USD by the ledger, once the run has ended."""
    error: str = ""
    cure: str = ""

    @property
    def ended(self) -> bool:
        """True for a run that is over."""
        return self.state in {"done", "failed", "cancelled"}


class Fleet:
    """The runs of some pairs in an instance."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, stop_after: int | None) -> None:
        now = datetime.now(UTC)
        self.id = f"{now:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"
        self._since = now - _LONGEST
        """The moment after which each of the runs began, also those that are only followed."""
        self.sizes = last_sizes(instance)
        """Bytes of each pair's last training file, where one is known."""
        self._instance = instance
        self._settings = settings
        self._stop_after = stop_after
        self._runs: dict[str, str] = {}
        self._followed: set[str] = set()
        self._ended: dict[str, MemberRun] = {}

    def launch(self, pairs: Sequence[Pair]) -> list[str]:
        """Queue a run for each pair, the first first; a pair that is queued or at work is only followed. Return these.

        Raises:
            NotReady: the code location does not load, or Dagster refuses a run.
        """
        order = priorities(self._instance)
        for run in self._instance.get_runs(dg.RunsFilter(statuses=UNENDED)):
            pair = run.tags.get(PARTITION_TAG, "")
            if _publishes(run) and any(each.name == pair for each in pairs):
                self._runs[pair] = run.run_id
                self._followed.add(pair)
        new = sorted((each.name for each in pairs if each.name not in self._runs), key=lambda name: -order[name])
        if new:
            launched = _launched(self._instance, [self._request(name, order[name]) for name in new])
            self._runs |= dict(zip(new, launched, strict=True))
        return sorted(self._followed)

    def _request(self, pair: str, priority: int) -> dict[str, Any]:
        limit = self._stop_after or self._settings.stop_after
        tags = {PAIR_TAG: pair, PARTITION_TAG: pair, PRIORITY_TAG: str(priority), FLEET_TAG: self.id}
        tags |= {STOP_TAG: str(limit)} if limit else {}
        selector = {
            "repositoryLocationName": _LOCATION,
            "repositoryName": _REPOSITORY,
            "pipelineName": pair_job.name,
        }
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        return {"selector": selector, "mode": "default", "executionMetadata": {"tags": listed}}

    def looks(self) -> Iterator[list[MemberRun]]:
        """Yield the state of all runs, then again after each second, until all have ended."""
        while True:
            now = self.look()
            yield now
            if all(each.ended for each in now) and not self._is_reported_now():
                return
            time.sleep(_LOOK_SECONDS)

    def _is_reported_now(self) -> bool:
        """Return whether the report of a rollout is being written: the end of the daemon now would make it fail.

        A run that began long ago is not waited for, because its process may have died.
        """
        at_work = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
        since = datetime.now(UTC) - _REPORT_TIME
        return bool(
            self._instance.get_runs(dg.RunsFilter(job_name=FLEET_JOB, statuses=at_work, updated_after=since), limit=1)
        )

    def look(self) -> list[MemberRun]:
        """Return the state of all runs, in the order of the queue; stop the rollout if enough of them have failed."""
        ids = [each for pair, each in self._runs.items() if pair not in self._ended]
        # Dagster refuses a filter by no ids.
        records = list(self._instance.get_run_records(dg.RunsFilter(run_ids=ids)) if ids else [])
        for run in (record.dagster_run for record in records):
            if _is_repeated(run) and _RETRY_RUN_TAG in run.tags:
                self._runs[run.tags[PARTITION_TAG]] = run.tags[_RETRY_RUN_TAG]  # looked at next time
        now = {record.dagster_run.tags.get(PARTITION_TAG, ""): self._member(record) for record in records}
        ended = {pair: each for pair, each in now.items() if each.ended}
        if ended:
            spent = self._spent()
            self._ended |= {
                pair: each.model_copy(update={"usd": spent.get(each.run_id)}) for pair, each in ended.items()
            }
        for record in records:
            if record.dagster_run.is_failure and not _is_repeated(
                record.dagster_run
            ):  # the sensor would do it too, where a daemon runs it, but later
                stop_after_failures(self._instance, record.dagster_run, self._settings.stop_after)
        return [self._ended.get(pair) or now.get(pair) or self._deleted(pair) for pair in self._runs]

    def cancel(self) -> list[MemberRun]:
        """Cancel what is queued and at work of this and earlier fleets; a run of the browser goes on. Return all."""
        until, told = time.monotonic() + _CANCEL_SECONDS, set[str]()
        while (own := [each for each in self._open() if FLEET_TAG in each.tags]) and time.monotonic() < until:
            # What waits goes first, or the queue would start others. An interrupted launch is told by its runs alone.
            for run in sorted(own, key=lambda run: run.status not in WAITING):
                self._runs.setdefault(run.tags[PARTITION_TAG], run.run_id)
                if run.status in WAITING:  # Dagster's own way leaves one that is not yet in the queue "canceling"
                    self._instance.report_run_canceled(run, "Cancelled with its fleet. Nothing was started.")
                elif run.run_id not in told and _is_told_to_end(self._instance, run):
                    told.add(run.run_id)
            time.sleep(_LOOK_SECONDS)
        return self.look()

    def _open(self) -> list[dg.DagsterRun]:
        """Return the runs that have not ended, with those whose launch was interrupted before their ids were told."""
        wanted = [dg.RunsFilter(tags={FLEET_TAG: self.id}, statuses=UNENDED)]
        if ids := list(self._runs.values()):
            wanted.append(dg.RunsFilter(run_ids=ids, statuses=UNENDED))
        return list({run.run_id: run for each in wanted for run in self._instance.get_runs(each)}.values())

    def _deleted(self, pair: str) -> MemberRun:
        """Return a run that somebody deleted: it must not be missing among the outcomes as if nobody had asked."""
        error, cure = "its run was deleted, so its outcome is not known", f"bqx run {pair}"
        run, followed = self._runs[pair], pair in self._followed
        return MemberRun(pair=pair, run_id=run, state="cancelled", followed=followed, error=error, cure=cure)

    def _member(self, record: dg.RunRecord) -> MemberRun:
        run = record.dagster_run
        pair = run.tags.get(PARTITION_TAG, "")
        state = _ENDED.get(run.status, "queued" if run.status in WAITING else "running")
        if _is_repeated(run):
            state = "queued"
        began = record.start_time
        seconds = None if began is None else (record.end_time or time.time()) - began
        error, cure = failure_of(self._instance, run) if state in {"failed", "cancelled"} else ("", "")
        return MemberRun(
            pair=pair,
            run_id=run.run_id,
            state=state,
            followed=pair in self._followed,
            seconds=seconds,
            error=error,
            cure=cure,
        )

    def _spent(self) -> dict[str, float]:
        """Return the USD of the last days' runs by the ledger, by run; none if it cannot be read."""
        spent: dict[str, float] = {}
        with suppress(BqxError, OSError):  # what is spent must not stop the following of runs
            for entry in Ledger(Pipeline(self._settings).store).read(self._since).entries:
                spent[entry.run] = spent.get(entry.run, 0.0) + entry.usd
        return spent


def _is_told_to_end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell a run to end, and return whether it was reached: one that only starts, or whose server is gone, is not."""
    with suppress(dg.DagsterError):
        return instance.run_launcher.terminate(run.run_id)
    return False


def _is_repeated(run: dg.DagsterRun) -> bool:
    return run.is_failure and will_repeat(run)


def remaining_seconds(runs: Sequence[MemberRun], sizes: Mapping[str, int]) -> float | None:
    """Return the seconds until all have ended, by what the done ones took for their bytes; None before one is done.

    A pair of unknown size counts as one of the mean size. As many runs go on at once as are at work now.
    """
    mean = sum(sizes.values()) / len(sizes) if sizes else 1.0
    done = [each for each in runs if each.state == "done" and each.seconds]
    if not done:
        return None
    pace = sum(each.seconds or 0 for each in done) / sum(sizes.get(each.pair, mean) for each in done)
    left = [(pace * sizes.get(each.pair, mean), each.seconds or 0.0) for each in runs if not each.ended]
    at_once = sum(each.state == "running" for each in runs) or 1
    return sum(max(0.0, whole - passed) for whole, passed in left) / at_once


@contextmanager
def fleet_of(settings: Settings, stop_after: int | None, *, served: bool) -> Generator[Fleet]:
    """Open the home's instance for a fleet; with ``served``, a daemon takes its runs until the block ends.

    Where runs are containers, as in production, the instance has a daemon of its own, and no second one is started.

    Raises:
        NotReady: a daemon is needed that this command must not start.
    """
    home = dagster_home(settings)
    os.environ.update(server_environment(settings))  # the queue asks the environment which pairs this home has
    with storage_named(home), open_instance(home) as instance, ExitStack() as stack:
        end_dead_runs(instance)
        if served and not is_of_this_machine(instance) and not is_served(instance):
            raise NotReady(
                f"Dagster's daemon of {home}",
                got="no heartbeat in the last 75 s",
                expected="the daemon that takes runs from the queue",
                cure="Start it (deploy/README.md: bqx-daemon). With --detach the runs wait for it in the queue.",
            )
        if served and is_of_this_machine(instance):
            stack.enter_context(daemon_beside(settings))
        yield Fleet(instance, settings, stop_after)


def pairs_to_repeat(settings: Settings, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs whose last run failed or was cancelled, or whose merged file is not the published one.

    A run that makes nothing, such as the doctor's, and one that succeeds before publication, mend no earlier failure.
    """
    home = dagster_home(settings)
    with storage_named(home), open_instance(home) as instance:
        end_dead_runs(instance)
        bad = {pair.name for pair in pairs if _latest_is_bad(instance, pair)}
    other = {each.pair for each in Pipeline(settings).status(pairs) if each.published in {"stale", "failed"}}
    return [pair for pair in pairs if pair.name in bad | other]


def _latest_is_bad(instance: dg.DagsterInstance, pair: Pair) -> bool:
    """Return whether a run of the pair ended badly after the last one that published, or that may still do so."""
    for run in instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: pair.name})):
        bad = run.status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
        if run.job_name not in _LOOKS_ONLY and (bad or _publishes(run)):
            return bad
    return False


def _publishes(run: dg.DagsterRun) -> bool:
    return run.job_name == pair_job.name or PUBLISHED in (run.asset_selection or ())


def failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[str, str]:
    """Return the first line of what ended a run, and its cure; of failed checks, their names and the first one's.

    A run that was cancelled has no cure: somebody wanted it.
    """
    kinds = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterEventType.RUN_CANCELED,
    }
    events = [each.dagster_event for each in instance.all_logs(run.run_id, of_type=kinds) if each.dagster_event]
    checks = [
        each.asset_check_evaluation_data
        for each in events
        if each.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    failed = [each for each in checks if not each.passed and each.severity == dg.AssetCheckSeverity.ERROR]
    for event in events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE and (told := event.step_failure_data.user_failure_data):
            own = failure_error(told.metadata)
            if own is not None:
                return f"{type(own).__name__}: {own.subject}: {own.got}, expected {own.expected}", own.cure
    if failed:
        cure = failed[0].metadata.get("cure")
        return f"failed: {', '.join(each.check_name for each in failed)}", str(cure.value) if cure else ""
    ends = [each.message for each in events if each.message]
    cure = "" if run.status is dg.DagsterRunStatus.CANCELED else "The run's page has its log."
    return (ends[-1].splitlines()[0] if ends else "no reason is known"), cure


def _launched(instance: dg.DagsterInstance, requests: list[dict[str, Any]]) -> list[str]:
    """Launch runs as the web server does, and return their ids. Raises NotReady."""
    own = Path(instance.root_directory) / WORKSPACE.name
    target = WorkspaceFileTarget([str(own if own.is_file() else WORKSPACE)])
    with WorkspaceProcessContext(instance, target, __version__, code_server_log_level="ERROR") as context:
        answer = execute_query(context, _LAUNCH, {"list": requests})
    found: dict[str, Any] = (answer.get("data") or {}).get("launchMultipleRuns") or {}
    results: list[dict[str, Any]] = found.get("launchMultipleRunsResult") or []
    refused = [each.get("message") or each["__typename"] for each in results if "run" not in each]
    if refused or len(results) != len(requests):
        raise NotReady(
            "the runs of the fleet",
            got=str(refused[0] if refused else found.get("message") or answer.get("errors")).splitlines()[0],
            expected="a run in the queue for each pair",
            cure="Look whether the code location loads: bqx ui, Deployment. What was queued is followed by the same "
            "command.",
        )
    return [each["run"]["runId"] for each in results]
