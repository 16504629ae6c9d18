"""The methods of the API: Jobs, Executions, Tasks and their operations."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core.exceptions import FailedPrecondition, GoogleAPICallError, InvalidArgument, NotFound
from google.cloud import run_v2
from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest, TestIamPermissionsResponse
from google.longrunning import operations_pb2 as lro
from google.protobuf.any_pb2 import Any as AnyMessage

from bqx_assets_tests.servers.cloud_run.container import Ended, Image
from bqx_assets_tests.servers.cloud_run.execution import Execution
from bqx_assets_tests.servers.cloud_run.faults import Call
from bqx_assets_tests.servers.cloud_run.sizes import memory_bytes, refusal

if TYPE_CHECKING:
    from bqx_assets_tests.servers.cloud_run.server import CloudRunServer

_PAGE = 100
_REASON = run_v2.Condition.CommonReason


class Methods:
    """The API over one server's jobs and executions."""

    def __init__(self, server: CloudRunServer) -> None:
        self._server = server

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return the four services, by the descriptors of Google's own client."""
        services: dict[str, dict[str, tuple[Callable[[Any], Any], Any, Any]]] = {
            "google.cloud.run.v2.Jobs": {
                "CreateJob": (self.create_job, run_v2.CreateJobRequest, lro.Operation),
                "GetJob": (self.get_job, run_v2.GetJobRequest, run_v2.Job),
                "TestIamPermissions": (
                    self.test_iam_permissions,
                    TestIamPermissionsRequest,
                    TestIamPermissionsResponse,
                ),
                "RunJob": (self.run_job, run_v2.RunJobRequest, lro.Operation),
            },
            "google.cloud.run.v2.Executions": {
                "GetExecution": (self.get_execution, run_v2.GetExecutionRequest, run_v2.Execution),
                "ListExecutions": (self.list_executions, run_v2.ListExecutionsRequest, run_v2.ListExecutionsResponse),
                "CancelExecution": (self.cancel_execution, run_v2.CancelExecutionRequest, lro.Operation),
                "DeleteExecution": (self.delete_execution, run_v2.DeleteExecutionRequest, lro.Operation),
            },
            "google.cloud.run.v2.Tasks": {
                "ListTasks": (self.list_tasks, run_v2.ListTasksRequest, run_v2.ListTasksResponse),
            },
            "google.longrunning.Operations": {
                "GetOperation": (self.get_operation, lro.GetOperationRequest, lro.Operation),
            },
        }
        return tuple(
            grpc.method_handlers_generic_handler(
                service, {name: self._handler(name, *parts) for name, parts in methods.items()}
            )
            for service, methods in services.items()
        )

    def _handler(
        self, name: str, method: Callable[[Any], Any], asked: Any, answered: Any
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            self._server.calls.append(Call(name, context.time_remaining()))
            fault = self._server.fault(name)
            if fault is not None and fault.delay_seconds:
                time.sleep(fault.delay_seconds)
            if fault is not None and not fault.after_effect:
                context.abort(fault.code, fault.message)
            try:
                answer = method(request)
            except GoogleAPICallError as error:
                context.abort(error.grpc_status_code or grpc.StatusCode.UNKNOWN, str(error.message))
            if fault is not None:
                context.abort(fault.code, fault.message)
            return answer

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=getattr(asked, "deserialize", None) or asked.FromString,
            response_serializer=getattr(answered, "serialize", None) or answered.SerializeToString,
        )

    def create_job(self, request: run_v2.CreateJobRequest) -> lro.Operation:
        name = f"{request.parent}/jobs/{request.job_id}"
        template = request.job.template.template
        for container in template.containers:
            limits = container.resources.limits
            if why := refusal(limits.get("cpu", "1"), limits.get("memory", "512Mi")):
                raise InvalidArgument(why)
        if template.max_retries > 10:
            raise InvalidArgument("max_retries must be at most 10.")
        job = run_v2.Job(request.job)
        job.name = name
        self._server.jobs[name] = job
        return _done(job, name)

    def get_job(self, request: run_v2.GetJobRequest) -> run_v2.Job:
        if request.name not in self._server.jobs:
            raise NotFound(_no_such(request.name, "JOB"))
        return self._server.jobs[request.name]

    def test_iam_permissions(self, request: TestIamPermissionsRequest) -> TestIamPermissionsResponse:
        """Return which of the permissions the caller has; the call itself needs none."""
        self.get_job(run_v2.GetJobRequest(name=request.resource))
        held = [each for each in request.permissions if each not in self._server.withheld]
        return TestIamPermissionsResponse(permissions=held)

    def run_job(self, request: run_v2.RunJobRequest) -> lro.Operation:
        job = self.get_job(run_v2.GetJobRequest(name=request.name))
        template = run_v2.TaskTemplate(job.template.template)
        _override(template, request.overrides)
        short = f"{job.name.rpartition('/')[2]}-{uuid.uuid4().hex[:5]}"
        name = f"{job.name}/executions/{short}"
        container = template.containers[0]
        env = {
            **self._server.image_env,
            **{each.name: self._value(each) for each in container.env},
            "CLOUD_RUN_JOB": job.name.rpartition("/")[2],
            "CLOUD_RUN_EXECUTION": short,
            "CLOUD_RUN_TASK_INDEX": "0",
            "CLOUD_RUN_TASK_COUNT": "1",
        }
        image = Image(
            command=[*container.command, *container.args],
            env=env,
            memory_bytes=memory_bytes(container.resources.limits.get("memory", "512Mi")),
            timeout_seconds=run_v2.TaskTemplate.pb(template).timeout.seconds or 600,
            grace_seconds=self._server.grace_seconds,
            log=self._server.logs / f"{short}.log",
        )
        execution = Execution(name, template, image, self._cannot_start(container))
        self._server.executions[name] = execution
        return _operation(execution)

    def _value(self, variable: run_v2.EnvVar) -> str:
        secret = variable.value_source.secret_key_ref.secret
        return self._server.secrets.get(secret, "") if secret else variable.value

    def _cannot_start(self, container: run_v2.Container) -> Ended | None:
        """Return the end of an execution whose container cannot be started, in the words of public captures."""
        if container.image in self._server.missing_images:
            return Ended(code=5, message=f"Image '{container.image}' not found.", reason=_REASON.CONTAINER_MISSING)
        for index, each in enumerate(container.env):
            secret = each.value_source.secret_key_ref.secret
            if secret and secret not in self._server.secrets:
                field = f"spec.template.spec.containers[0].env[{index}].value_from.secret_key_ref.name"
                words = f"{field}: Secret projects/1/secrets/{secret}/versions/latest was not found"
                return Ended(code=9, message=words, reason=_REASON.SECRETS_ACCESS_CHECK_FAILED)
        return None

    def get_execution(self, request: run_v2.GetExecutionRequest) -> run_v2.Execution:
        return self._execution(request.name).message()

    def list_executions(self, request: run_v2.ListExecutionsRequest) -> run_v2.ListExecutionsResponse:
        newest_first = list(self._of_job(request.parent))[::-1]
        start = int(request.page_token or 0)
        page = newest_first[start : start + (request.page_size or _PAGE)]
        more = start + len(page) < len(newest_first)
        return run_v2.ListExecutionsResponse(
            executions=[each.message() for each in page], next_page_token=str(start + len(page)) if more else ""
        )

    def cancel_execution(self, request: run_v2.CancelExecutionRequest) -> lro.Operation:
        execution = self._execution(request.name)
        if execution.over:
            short = request.name.rpartition("/")[2]
            raise FailedPrecondition(f"Execution '{short}' cannot be cancelled because it is not running.")
        execution.cancel()
        return _operation(execution)

    def delete_execution(self, request: run_v2.DeleteExecutionRequest) -> lro.Operation:
        execution = self._execution(request.name)
        execution.cancel()
        execution.deleted = True
        return _operation(execution)

    def list_tasks(self, request: run_v2.ListTasksRequest) -> run_v2.ListTasksResponse:
        return run_v2.ListTasksResponse(tasks=[self._execution(request.parent).task()])

    def get_operation(self, request: lro.GetOperationRequest) -> lro.Operation:
        short = request.name.rpartition("/")[2]
        for execution in self._server.executions.values():
            if execution.short == short:
                return _operation(execution)
        raise NotFound(request.name)

    def _of_job(self, job: str) -> Iterator[Execution]:
        self.get_job(run_v2.GetJobRequest(name=job))
        for execution in list(self._server.executions.values()):
            if execution.name.startswith(f"{job}/executions/") and not execution.deleted:
                yield execution

    def _execution(self, name: str) -> Execution:
        execution = self._server.executions.get(name)
        if execution is None or execution.deleted:
            raise NotFound(_no_such(name, "EXECUTION"))
        return execution


def _override(template: run_v2.TaskTemplate, overrides: run_v2.RunJobRequest.Overrides) -> None:
    """Apply the overrides of RunJob, which cannot change CPU or memory."""
    if overrides.task_count > 1:
        raise InvalidArgument("This server runs executions of one task.")
    if overrides.timeout:
        template.timeout = overrides.timeout
    if len(overrides.container_overrides) > len(template.containers):
        raise InvalidArgument("More container overrides than containers.")
    for override, container in zip(overrides.container_overrides, template.containers, strict=False):
        if override.name and override.name != container.name:
            raise InvalidArgument(f"No container is named {override.name}.")
        if override.args or override.clear_args:
            container.args = list(override.args)
        new = {each.name for each in override.env}
        container.env = [each for each in container.env if each.name not in new] + list(override.env)


def _operation(execution: Execution) -> lro.Operation:
    """Return the operation of an execution, which is named after it and done when it is over."""
    message = execution.message()
    operation = lro.Operation(name=f"{_location(execution.name)}/operations/{execution.short}", done=execution.over)
    operation.metadata.CopyFrom(_any(message))
    if execution.over:
        operation.response.CopyFrom(_any(message))
    return operation


def _done(job: run_v2.Job, name: str) -> lro.Operation:
    operation = lro.Operation(name=f"{_location(name)}/operations/{uuid.uuid4()}", done=True)
    operation.metadata.CopyFrom(_any(job))
    operation.response.CopyFrom(_any(job))
    return operation


def _any(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(type(message).pb(message))
    return packed


def _location(name: str) -> str:
    return "/".join(name.split("/")[:4])


def _no_such(name: str, kind: str) -> str:
    """Return the refusal for a missing resource in Cloud Run's own words, as public captures have them."""
    _, project, _, region, *_, short = name.split("/")
    return f"Resource '{short}' of kind '{kind}' in region '{region}' in project '{project}' does not exist."
