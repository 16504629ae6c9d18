"""Defines ``CloudRunLauncher``, the class that ``dagster.yaml`` names under ``run_launcher``.

It implements Dagster's launcher interface and writes to the run's event log. ``client`` makes the calls, and
``execution`` reads the state of an execution.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Self

import dagster as dg
from dagster._core.events import EngineEventData  # Dagster exports no public names of a launcher's interface
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from bqx_assets.base.errors import BadSetting, BqxError, CloudRunUnavailable
from bqx_assets.base.retry import RETRIES
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets.runtime.launcher.execution import ExecutionStatus, Outcome, console_link
from bqx_assets.runtime.launcher.starting import StartWatch, has_not_begun, tags_of_never_begun, tell, tell_of_retry
from bqx_assets.runtime.launcher.tags import (
    ATTEMPT_TAG,
    ENDING_TAG,
    EXECUTION_TAG,
    FLEET,
    MEMORY_TAG,
    PAIR_ENV,
    PAIR_TAG,
    RETRIES_TAG,
    RUN_ENV,
    subject_of,
)

_RETRY = RETRIES["cloud_run"]
CONFIG: dict[str, Any] = {
    "project": dg.Field(dg.StringSource, description="Google Cloud project of the jobs."),
    "region": dg.Field(dg.StringSource, description="Region of the jobs, for example us-central1."),
    "jobs": dg.Field(
        dg.Map(str, dg.StringSource),
        description="Maps each memory class, as in the run tag bqx/memory_class, to the name of the job of that size."
        " In Cloud Run, CPU and memory belong to a job, not to an execution.",
    ),
    "default_memory_class": dg.Field(dg.StringSource, description="Class of a run that has no such tag."),
    "timeout_seconds": dg.Field(
        dg.IntSource, default_value=7200, description="Longest time of one container of an execution."
    ),
    "start_check_seconds": dg.Field(
        float,
        default_value=10.0,
        description="Time between two looks at the runs that wait for their container. A run whose container ended"
        " before the run began fails at such a look, not only after run_monitoring's start_timeout_seconds.",
    ),
    "api_endpoint": dg.Field(
        dg.Noneable(dg.StringSource), is_required=False, description="Another host than run.googleapis.com, over TLS."
    ),
    "emulator_host": dg.Field(
        dg.Noneable(dg.StringSource),
        is_required=False,
        description="host:port of a server that is called in plain text, without credentials. Not for production.",
    ),
    "call_timeout_seconds": dg.Field(
        float, is_required=False, description=f"Deadline of one call; default {_RETRY.call_seconds:g}."
    ),
    "retry_timeout_seconds": dg.Field(
        float,
        is_required=False,
        description="Time for which a call is repeated while quota or network fail; default"
        f" {_RETRY.patience_seconds:g}.",
    ),
    "retry_wait_seconds": dg.Field(
        float,
        is_required=False,
        description=f"Bound of the first random wait, multiplied by {_RETRY.factor:g} after each further failure, up to"
        f" {_RETRY.longest_wait_seconds:g} s; default {_RETRY.first_wait_seconds:g}.",
    ),
}
"""The schema of the launcher's configuration. ``client.Endpoint`` has the defaults that are not here."""


_LOG = logging.getLogger(__name__)
_STATUS = {
    ExecutionStatus.RUNNING: WorkerStatus.RUNNING,
    ExecutionStatus.SUCCEEDED: WorkerStatus.SUCCESS,
    ExecutionStatus.NOT_FOUND: WorkerStatus.NOT_FOUND,
}
"""Every other status is a failure."""
_STRATEGY_TAG = "dagster/retry_strategy"


class CloudRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Launches each run as one execution of the Cloud Run job of its memory class, for one pair."""

    def __init__(self, config: Mapping[str, Any], inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._parent = f"projects/{config['project']}/locations/{config['region']}/jobs/"
        self._jobs: dict[str, str] = dict(config["jobs"])
        self._default_class: str = config["default_memory_class"]
        self._timeout_seconds: int = config["timeout_seconds"]
        self._cloud_run = CloudRun(
            Endpoint(**{each.name: config[each.name] for each in fields(Endpoint) if each.name in config})
        )
        self._starting = StartWatch(self._cloud_run, config["start_check_seconds"])
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration that this launcher was made from."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the schema of ``config`` in ``dagster.yaml``."""
        return CONFIG

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Return the launcher that ``dagster.yaml`` describes."""
        return cls(config_value, inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's execution. A run whose start is refused permanently is not retried by Dagster.

        Raises:
            UsageError: the run is not for exactly one pair.
            BadSetting: no job is configured for the run's memory class.
            CloudRunError: Cloud Run refused, or could not be asked.
        """
        args = ExecuteRunArgs(_origin(context), context.dagster_run.run_id, None, set_exit_code_on_failure=True)
        try:
            self._start(context.dagster_run, args)
        except CloudRunUnavailable:
            raise
        except BqxError:
            # A second launch would lack the same role, job or pair.
            self._instance.add_run_tags(context.dagster_run.run_id, {RETRIES_TAG: "0"})
            raise

    @property
    def supports_resume_run(self) -> bool:
        """True: a new container can continue a run whose worker died, without reading finished tables again."""
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        """Start another execution that continues the run. Raises as ``launch_run`` does."""
        args = ResumeRunArgs(_origin(context), context.dagster_run.run_id, None, set_exit_code_on_failure=True)
        self._start(context.dagster_run, args)

    def terminate(self, run_id: str) -> bool:
        """Cancel the run's execution, and return whether it is being cancelled, or was over and the run is closed."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        try:
            execution = self._execution_of(run)
            if run.status != dg.DagsterRunStatus.CANCELING:
                # This comes first: the worker itself looks for it and stops, even if Cloud Run cannot be asked.
                self._instance.report_run_canceling(run)
            cancelled = execution is not None and self._cloud_run.cancel(execution)
        except BqxError as error:
            self._tell(run, f"Cloud Run execution not cancelled: {error}")
            return False
        if not cancelled:
            self._instance.report_run_canceled(run, "No Cloud Run execution of this run was at work any more.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: Dagster's run monitoring may ask for the state of a run's worker."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return the state of the run's execution; when it has ended, log once how and why.

        If Cloud Run cannot be asked, the worker counts as running: Dagster fails a run whose worker is unknown, and the
        retry would then work beside it.

        Raises:
            CloudRunError: Cloud Run refuses to answer. The daemon logs it and leaves the run as it is.
        """
        self._starting.begin(self._instance)  # after a restart of the daemon, which may have launched nothing yet
        try:
            execution = self._execution_of(run)
            outcome = self._cloud_run.outcome(execution) if execution else None
        except CloudRunUnavailable as error:
            _LOG.warning("run %s: %s", run.run_id, error)
            return CheckRunHealthResult(WorkerStatus.RUNNING, str(error), transient=True)
        if outcome is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "No Cloud Run execution was started for this run.")
        if outcome.status is ExecutionStatus.RUNNING:
            tell_of_retry(self._instance, run, outcome)
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=outcome.execution)
        return self._over(run, outcome)

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,  # noqa: FBT001, FBT002 -- Dagster's signature
    ) -> str | None:
        """Return the state of the run's execution with links, for the message of a failed run."""
        try:
            execution = self._execution_of(run)
            outcome = self._cloud_run.outcome(execution) if execution else None
        except BqxError as error:
            return str(error)
        if outcome is None:
            return None
        if has_not_begun(run) and outcome.status is not ExecutionStatus.RUNNING:
            self._instance.add_run_tags(run.run_id, tags_of_never_begun(outcome))
        return f"{outcome}\nLogs: {outcome.logs}" if include_container_logs and outcome.logs else str(outcome)

    def dispose(self) -> None:
        """Stop the watch and close the connections to Cloud Run."""
        self._starting.end()
        self._cloud_run.close()

    def _start(self, run: dg.DagsterRun, args: ExecuteRunArgs | ResumeRunArgs) -> None:
        self._starting.begin(self._instance)
        subject, job = subject_of(run), self._job(run)
        # A retried run has the tags of the run that it repeats, and a resumed one its own: both name an old execution.
        stale = {tag: "" for tag in (EXECUTION_TAG, ENDING_TAG, ATTEMPT_TAG) if tag in run.tags}
        # A new container has no files of the old one, so a retry must not skip the steps that made them.
        strategy = run.tags.get(_STRATEGY_TAG, "ALL_STEPS")
        pair = {} if subject == FLEET else {PAIR_TAG: subject}
        self._instance.add_run_tags(run.run_id, {**pair, _STRATEGY_TAG: strategy, **stale})
        execution = self._cloud_run.start(
            job,
            env={PAIR_ENV: subject, RUN_ENV: run.run_id},
            # The first words, which name this host's interpreter, are left out.
            args=["dagster", *args.get_command_args()[-3:]],
            timeout_seconds=self._timeout_seconds,
            before=run.tags.get(EXECUTION_TAG),
        )
        self._instance.add_run_tags(run.run_id, {EXECUTION_TAG: execution})
        link = dg.UrlMetadataValue(console_link(execution))
        facts = {"Pair": subject, "Job": job.rpartition("/")[2], "Execution": link}
        self._tell(run, f"Started Cloud Run execution {execution.rpartition('/')[2]} for {subject}", facts)

    def _job(self, run: dg.DagsterRun) -> str:
        """Return the full resource name of the job of the run's memory class. Raises BadSetting if there is none."""
        memory_class = run.tags.get(MEMORY_TAG, self._default_class)
        if memory_class in self._jobs:
            return self._parent + self._jobs[memory_class]
        raise BadSetting(
            f"run {run.run_id}",
            got=f"memory class {memory_class!r}",
            expected=f"one of {', '.join(sorted(self._jobs))}",
            cure=f"Correct the tag {MEMORY_TAG}, or add the job under run_launcher in dagster.yaml.",
        )

    def _execution_of(self, run: dg.DagsterRun) -> str | None:
        """Return the run's execution, also if the launcher died before it could write the tag."""
        return run.tags.get(EXECUTION_TAG) or self._cloud_run.find(self._job(run), run.run_id)

    def _over(self, run: dg.DagsterRun, outcome: Outcome) -> CheckRunHealthResult:
        """Return the health of a run whose worker has exited.

        The worker reports nothing more, so a run that is still unfinished stays unfinished and counts as failed.
        """
        status = _STATUS.get(outcome.status, WorkerStatus.FAILED)
        latest = self._instance.get_run_by_id(run.run_id)
        if latest is not None and not latest.is_finished:
            if outcome.status is ExecutionStatus.SUCCEEDED:
                status = WorkerStatus.FAILED
                outcome = replace(outcome, reason="its container left without finishing the run")
            self._tell_of_end(latest, outcome)
        return CheckRunHealthResult(status, str(outcome), transient=False, run_worker_id=outcome.execution)

    def _tell_of_end(self, run: dg.DagsterRun, outcome: Outcome) -> None:
        """Log the end of an unfinished run's execution once, and note it in the run's tags."""
        if run.tags.get(ENDING_TAG) != outcome.status.value:
            tell(self._instance, run, str(outcome), outcome)
        tags = {ENDING_TAG: outcome.status.value}
        if outcome.attempts > 1:
            tags[RETRIES_TAG] = "0"  # Cloud Run has retried already, and one retry is enough
        self._instance.add_run_tags(run.run_id, tags)
        if outcome.status is ExecutionStatus.CANCELLED:
            # Somebody cancelled it in the console: a failed run would be retried against their will.
            self._instance.report_run_canceled(run, str(outcome))

    def _tell(self, run: dg.DagsterRun, message: str, facts: Mapping[str, Any] | None = None) -> None:
        self._instance.report_engine_event(message, run, EngineEventData(facts), cls=type(self))


def _origin(context: LaunchRunContext | ResumeRunContext) -> JobPythonOrigin:
    """Return the location of the job's code for the container, without the settings for other kinds of containers."""
    origin = context.job_code_origin
    if origin is None:
        raise BadSetting(
            f"run {context.dagster_run.run_id}",
            got="no code origin",
            expected="a run of a job in a code location",
            cure="Launch it from the web server, a schedule or a sensor.",
        )
    return origin._replace(repository_origin=origin.repository_origin._replace(container_context={}))
