"""Reads the outcome of an execution from Cloud Run's own records of it and its tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from google.cloud import run_v2

from bqx_assets.runtime.launcher.tags import PASSING_EXIT

_STATE = run_v2.Condition.State
_REASON = run_v2.Condition.ExecutionReason
# Cloud Run has no reason code for these two, so the text of its message distinguishes them.
_MEMORY = re.compile(r"memory limit|out of memory|\boom", re.IGNORECASE)
_TIME = re.compile(r"timeout|timed out|deadline", re.IGNORECASE)
_SIGKILL = 9
_DEADLINE_EXCEEDED = 4
_BY_SIGNAL = 128
"""The exit code of a process that a signal ended is this number plus the signal's."""


class ExecutionStatus(StrEnum):
    """The state of an execution, or the way it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"
    KILLED = "killed by SIGKILL"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts of an execution that Dagster must know."""

    execution: str
    """Full resource name: ``projects/{project}/locations/{region}/jobs/{job}/executions/{execution}``."""
    status: ExecutionStatus
    reason: str = ""
    """Cloud Run's own message, with the exit code."""
    attempts: int = 1
    """Number of containers that were started one after another, including the first."""
    last_attempt: str = ""
    """The end of the attempt before the present one; empty if there was none."""
    logs: str = ""
    may_pass: bool = False
    """Whether another container may succeed: the database did not answer, or a signal ended the last container and
    Cloud Run does not attribute it to memory or time."""

    @property
    def console(self) -> str:
        """The page on which an operator sees the execution."""
        return console_link(self.execution)

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        attempts = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"Cloud Run execution {self.execution.rpartition('/')[2]} {self.status}{attempts}{reason} {self.console}"


def console_link(execution: str) -> str:
    """Return the address of an execution's page in the console, by its full resource name."""
    _, project, _, region, _, _, _, short = execution.split("/")
    return f"https://console.cloud.google.com/run/jobs/executions/details/{region}/{short}/tasks?project={project}"


def outcome_of(execution: run_v2.Execution, tasks: Sequence[run_v2.Task]) -> Outcome:
    """Return the outcome of an execution of one task. ``tasks`` are needed only if it failed or was retried."""
    task = tasks[0] if tasks else run_v2.Task()
    status = _status(execution, task)
    over = status is not ExecutionStatus.RUNNING
    return Outcome(
        execution=execution.name,
        status=status,
        reason="; ".join(dict.fromkeys(_words(execution, task)))
        if over and status is not ExecutionStatus.SUCCEEDED
        else "",
        attempts=1 + max(task.retried, min(execution.retried_count, 1)),
        last_attempt="" if over else _attempt(task.last_attempt_result),
        logs=execution.log_uri,
        may_pass=over and _may_pass(execution, task),
    )


def _status(execution: run_v2.Execution, task: run_v2.Task) -> ExecutionStatus:
    if execution.delete_time:
        return ExecutionStatus.NOT_FOUND
    completed = _completed(execution.conditions)
    if completed.state == _STATE.CONDITION_SUCCEEDED:
        return ExecutionStatus.SUCCEEDED
    if completed.state != _STATE.CONDITION_FAILED:
        return ExecutionStatus.RUNNING
    if completed.execution_reason == _REASON.CANCELLED or execution.cancelled_count:
        return ExecutionStatus.CANCELLED
    return _failure(execution, task)


def _failure(execution: run_v2.Execution, task: run_v2.Task) -> ExecutionStatus:
    result = task.last_attempt_result
    words = " ".join(_words(execution, task))
    # Time is examined before memory: attempts that exceed either limit are ended by the same signal.
    if _TIME.search(words) or result.status.code == _DEADLINE_EXCEEDED:
        return ExecutionStatus.TIMED_OUT
    if _MEMORY.search(words):
        return ExecutionStatus.OUT_OF_MEMORY
    return ExecutionStatus.KILLED if _killed(result) else ExecutionStatus.FAILED


def _may_pass(execution: run_v2.Execution, task: run_v2.Task) -> bool:
    words, result = " ".join(_words(execution, task)), task.last_attempt_result
    if _TIME.search(words) or _MEMORY.search(words):
        return False
    return result.exit_code == PASSING_EXIT or result.term_signal > 0 or result.exit_code > _BY_SIGNAL


def _killed(result: run_v2.TaskAttemptResult) -> bool:
    """Return whether SIGKILL ended the attempt, of which a lack of memory is one of several causes."""
    return result.term_signal == _SIGKILL or result.exit_code == _BY_SIGNAL + _SIGKILL


def _completed(conditions: Sequence[run_v2.Condition]) -> run_v2.Condition:
    return next((each for each in conditions if each.type_ == "Completed"), run_v2.Condition())


def _words(execution: run_v2.Execution, task: run_v2.Task) -> Iterator[str]:
    """Yield Cloud Run's messages about the end, from the execution down to the last container."""
    for text in (_completed(execution.conditions).message, _completed(task.conditions).message):
        if text:
            yield text
    if attempt := _attempt(task.last_attempt_result):
        yield attempt


def _attempt(result: run_v2.TaskAttemptResult) -> str:
    """Return the end of an attempt in words; empty if it did not end."""
    code = f"exit code {result.exit_code}" if result.exit_code else ""
    signal = f"signal {result.term_signal}" if result.term_signal else ""
    return ", ".join(part for part in (result.status.message, code, signal) if part)
