"""Calls the Cloud Run Admin API with deadlines and retries, so that a run never gets two executions.

Nothing here depends on Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import run_v2
from google.protobuf.duration_pb2 import Duration

from bqx_assets.base.errors import BadSetting, CloudRunError, CloudRunUnavailable
from bqx_assets.base.refusals.facts import is_of_credentials
from bqx_assets.base.refusals.read import read_refusal
from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store.naming import server_address
from bqx_assets.runtime.launcher.execution import ExecutionStatus, Outcome, outcome_of
from bqx_assets.runtime.launcher.tags import RUN_ENV

T = TypeVar("T")
Client = TypeVar("Client", run_v2.JobsClient, run_v2.ExecutionsClient, run_v2.TasksClient)

_UNSURE = (api.ServiceUnavailable, api.DeadlineExceeded, api.InternalServerError, api.Aborted, api.Unknown)
"""Errors after which a call may have taken effect: its answer was lost, or never made."""
_LOOK_BACK = 200
"""Executions that are searched for one whose start was not confirmed. Cloud Run lists the newest first."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of the Admin API, and the deadlines and waits of its calls."""

    api_endpoint: str | None = None
    """Another host than ``run.googleapis.com``, over TLS and with the usual credentials."""
    emulator_host: str | None = None
    """``host:port`` of a server that is spoken to in plain text and without credentials."""
    call_timeout_seconds: float = field(default_factory=lambda: RETRIES["cloud_run"].call_seconds)
    """Deadline of one call."""
    retry_timeout_seconds: float = field(default_factory=lambda: RETRIES["cloud_run"].patience_seconds)
    """Time for which a failing call is repeated before it counts as failed."""
    retry_wait_seconds: float = field(default_factory=lambda: RETRIES["cloud_run"].first_wait_seconds)
    """Bound of the first random wait; it grows as the policy ``cloud_run`` of ``base.retry`` says."""

    def __post_init__(self) -> None:
        if self.api_endpoint and self.emulator_host:
            raise BadSetting(
                "run_launcher",
                got="api_endpoint and emulator_host",
                expected="at most one of them",
                cure="Leave emulator_host out in production.",
            )
        for name, address in (("api_endpoint", self.api_endpoint), ("emulator_host", self.emulator_host)):
            if address is not None:
                server_address(address, f"run_launcher {name}", schemes=("",))


class CloudRun:
    """The calls for jobs, executions and tasks.

    It connects at the first call, because loading a Dagster instance must not need credentials.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def start(
        self, job: str, *, env: Mapping[str, str], args: Sequence[str], timeout_seconds: int, before: str | None = None
    ) -> str:
        """Start one execution of ``job`` for the run that ``env`` names and return its full resource name.

        A call whose answer was lost may have started one. So before a second attempt the job's latest executions are
        searched for the run's id, back to ``before``, the run's previous execution.

        Raises:
            CloudRunUnavailable: the quota stayed exhausted, or Cloud Run could not be asked.
            CloudRunError: the job is missing, or the call was refused.
        """
        request = run_v2.RunJobRequest(
            name=job,
            overrides=run_v2.RunJobRequest.Overrides(
                task_count=1,
                timeout=Duration(seconds=timeout_seconds),
                container_overrides=[
                    run_v2.RunJobRequest.Overrides.ContainerOverride(
                        args=list(args),
                        env=[run_v2.EnvVar(name=name, value=value) for name, value in env.items()],
                    )
                ],
            ),
        )
        unsure = False

        def once() -> str:
            nonlocal unsure
            if unsure and (started := self._latest(job, env[RUN_ENV], before)):
                return started
            try:
                operation: Any = self._jobs.run_job(request, retry=None, timeout=self._endpoint.call_timeout_seconds)
            except _UNSURE:
                unsure = True
                raise
            return _named(operation.metadata)

        return self._ask(job, once)

    def outcome(self, execution: str) -> Outcome:
        """Return the state of an execution.

        Raises:
            CloudRunUnavailable: Cloud Run could not be asked.
            CloudRunError: it refused to answer.
        """

        def once() -> Outcome:
            timeout = self._endpoint.call_timeout_seconds
            try:
                found = self._executions.get_execution(name=execution, retry=None, timeout=timeout)
                over = bool(found.completion_time) and not found.succeeded_count
                asked = over or found.retried_count
                tasks = self._tasks.list_tasks(parent=execution, retry=None, timeout=timeout) if asked else ()
                return outcome_of(found, list(tasks))
            except api.NotFound as error:
                return Outcome(execution, ExecutionStatus.NOT_FOUND, reason=str(error))

        # With little patience: many runs are examined one after another, and again a minute later.
        return self._ask(execution, once, patience_seconds=self._endpoint.call_timeout_seconds)

    def find(self, job: str, run_id: str) -> str | None:
        """Return the latest execution that was started for a run, if it is among the job's latest 200.

        Raises:
            CloudRunUnavailable: Cloud Run could not be asked.
            CloudRunError: it refused to answer.
        """
        return self._ask(job, lambda: self._latest(job, run_id))

    def cancel(self, execution: str) -> bool:
        """Ask Cloud Run to end an execution by SIGTERM, and 10 s later by SIGKILL.

        Returns False if the execution was over already, or does not exist.

        Raises:
            CloudRunUnavailable: Cloud Run could not be asked.
            CloudRunError: it refused.
        """

        def once() -> bool:
            try:
                self._executions.cancel_execution(
                    name=execution, retry=None, timeout=self._endpoint.call_timeout_seconds
                )
            except api.NotFound:
                return False
            except api.FailedPrecondition as error:
                if read_refusal(error, "cloud_run").reason not in {"not_running", "bad_request"}:
                    raise
                return False
            return True

        return self._ask(execution, once)

    def close(self) -> None:
        """Close the connections that were made."""
        for name in ("_jobs", "_executions", "_tasks"):
            if name in self.__dict__:
                self.__dict__[name].transport.close()

    def _latest(self, job: str, run_id: str, before: str | None = None) -> str | None:
        """Return the newest of the job's latest executions that has the run's id, as far back as ``before``."""
        listed = self._executions.list_executions(parent=job, retry=None, timeout=self._endpoint.call_timeout_seconds)
        for execution in islice(listed, _LOOK_BACK):
            if execution.name == before:
                break
            containers = execution.template.containers
            if any(each.name == RUN_ENV and each.value == run_id for box in containers for each in box.env):
                return execution.name
        return None

    def _ask(self, subject: str, once: Callable[[], T], patience_seconds: float | None = None) -> T:
        """Return the result of a call, repeated while its failure may pass; raise our own error otherwise.

        The reason of a refusal decides, not its code: a revoked login arrives as UNAVAILABLE, and an exceeded quota may
        have any of several codes.
        """
        endpoint = self._endpoint
        patience = patience_seconds or endpoint.retry_timeout_seconds
        again = Retry(
            predicate=lambda error: read_refusal(error, "cloud_run").again == "later",
            initial=endpoint.retry_wait_seconds,
            maximum=RETRIES["cloud_run"].longest_wait_seconds,
            multiplier=RETRIES["cloud_run"].factor,
            timeout=patience,
        )
        try:
            return again(once)()
        except api.RetryError as error:
            refusal = read_refusal(error, "cloud_run", resource=subject)
            raise CloudRunUnavailable(
                subject,
                got=f"{refusal.sentence} ({refusal.said}), for {patience:g} s",
                expected="an answer of the Cloud Run Admin API",
                cure=refusal.cure,
            ) from error
        except Exception as error:
            if not isinstance(error, (api.GoogleAPICallError, GoogleAuthError)) and not is_of_credentials(error):
                raise
            refusal = read_refusal(error, "cloud_run", resource=subject)
            raise CloudRunError(
                subject,
                got=f"{refusal.sentence} ({refusal.said})",
                expected="a call that Cloud Run accepts",
                cure=refusal.cure,
            ) from error

    @cached_property
    def _jobs(self) -> run_v2.JobsClient:
        return self._client(run_v2.JobsClient)

    @cached_property
    def _executions(self) -> run_v2.ExecutionsClient:
        return self._client(run_v2.ExecutionsClient)

    @cached_property
    def _tasks(self) -> run_v2.TasksClient:
        return self._client(run_v2.TasksClient)

    def _client(self, kind: type[Client]) -> Client:
        if host := self._endpoint.emulator_host:
            transport: Any = kind.get_transport_class("grpc")(channel=grpc.insecure_channel(host))
            return kind(transport=transport)
        return kind(client_options=ClientOptions(api_endpoint=self._endpoint.api_endpoint))


def _named(metadata: object) -> str:
    """Return the name of the execution that an operation started. Raises CloudRunError if it names none."""
    if isinstance(metadata, run_v2.Execution) and metadata.name:
        return metadata.name
    raise CloudRunError(
        "RunJob",
        got=f"an operation with metadata of type {type(metadata).__name__}",
        expected="one that names its execution",
        cure="Look for the execution in the console, and report this.",
    )
