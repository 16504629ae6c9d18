"""Runs one execution of one task: its containers one after the other, and the API's messages on them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime

from google.cloud import run_v2
from google.rpc.status_pb2 import Status

from bqx_assets_tests.servers.cloud_run.container import Ended, Image, run_container

_STATE, _REASON = run_v2.Condition.State, run_v2.Condition.ExecutionReason


class Execution:
    """An execution that runs in a thread of its own from its construction on."""

    def __init__(
        self, name: str, template: run_v2.TaskTemplate, image: Image, cannot_start: Ended | None = None
    ) -> None:
        self.name = name
        self.pids: list[int] = []
        self.attempts: list[Ended] = []
        self.deleted = False
        self.image = image
        self._template = template
        self._cannot_start = cannot_start
        self._created = datetime.now(UTC)
        self._completed: datetime | None = None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"execution {self.short}", daemon=True)
        self._thread.start()

    @property
    def short(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def over(self) -> bool:
        return self._completed is not None

    def cancel(self) -> None:
        self._cancelled.set()

    def kill(self) -> None:
        """End it at once because the server ends, which does not happen in production."""
        self.cancel()
        if not self.over and self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pids[-1], signal.SIGKILL)

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; return False if it did not come in time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def message(self) -> run_v2.Execution:
        """Return the execution as GetExecution shows it."""
        with self._lock:
            last = self.attempts[-1] if self.over else None
            return run_v2.Execution(
                name=self.name,
                uid=self.short,
                job=self.name.split("/executions/")[0],
                create_time=self._created,
                start_time=self._created,
                completion_time=self._completed,
                task_count=1,
                parallelism=1,
                template=self._template,
                reconciling=last is None,
                running_count=int(last is None),
                succeeded_count=int(last is not None and last.succeeded),
                failed_count=int(last is not None and not last.succeeded and not last.cancelled),
                cancelled_count=int(last is not None and last.cancelled),
                retried_count=int(self._retried() > 0),
                conditions=[self._condition(f"Task {self.short}-task0 failed with message: ")],
                log_uri=f"https://console.cloud.google.com/logs/viewer?project=p&advancedFilter={self.short}",
            )

    def task(self) -> run_v2.Task:
        """Return its one task as ListTasks shows it."""
        with self._lock:
            last = self.attempts[-1] if self.attempts else None
            result = run_v2.TaskAttemptResult()
            if last is not None and not last.cancelled and not last.reason:
                result = run_v2.TaskAttemptResult(
                    status=Status(code=last.code, message=last.message),
                    exit_code=last.exit_code,
                    term_signal=last.term_signal,
                )
            return run_v2.Task(
                name=f"{self.name}/tasks/{self.short}-task0",
                execution=self.name,
                max_retries=self._template.max_retries,
                retried=self._retried(),
                completion_time=self._completed,
                last_attempt_result=result,
                conditions=[self._condition("")],
            )

    def _retried(self) -> int:
        return max(len(self.pids) - 1, 0)

    def _condition(self, prefix: str) -> run_v2.Condition:
        if not self.over:
            return run_v2.Condition(type_="Completed", state=_STATE.CONDITION_RECONCILING)
        last = self.attempts[-1]
        if last.succeeded:
            return run_v2.Condition(type_="Completed", state=_STATE.CONDITION_SUCCEEDED)
        if last.reason:
            failed = _STATE.CONDITION_FAILED
            return run_v2.Condition(type_="Completed", state=failed, reason=last.reason, message=last.message)
        reason = _REASON.CANCELLED if last.cancelled else _REASON.NON_ZERO_EXIT_CODE
        return run_v2.Condition(
            type_="Completed",
            state=_STATE.CONDITION_FAILED,
            execution_reason=reason,
            message="The execution was cancelled." if last.cancelled else prefix + last.message,
        )

    def _work(self) -> None:
        if self._cannot_start is not None:
            with self._lock:
                self.attempts.append(self._cannot_start)
                self._completed = datetime.now(UTC)
            return
        for attempt in range(self._template.max_retries + 1):
            image = replace(self.image, env={**self.image.env, "CLOUD_RUN_TASK_ATTEMPT": str(attempt)})
            ended = run_container(image, self._cancelled, self.pids)
            ended = replace(ended, cancelled=self._cancelled.is_set() and not ended.succeeded)
            last = ended.succeeded or ended.cancelled or attempt == self._template.max_retries
            with self._lock:
                self.attempts.append(ended)
                self._completed = datetime.now(UTC) if last else None
            if last:
                return
