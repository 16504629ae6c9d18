from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.cloud import run_v2
from google.rpc.status_pb2 import Status

from bqx_assets.runtime.launcher.execution import ExecutionStatus, outcome_of

STATE, REASON = run_v2.Condition.State, run_v2.Condition.ExecutionReason
NAME = "projects/p/locations/r/jobs/bqx-pair/executions/bqx-pair-abcde"


def execution(
    state: run_v2.Condition.State,
    message: str = "",
    reason: run_v2.Condition.ExecutionReason = REASON.NON_ZERO_EXIT_CODE,
) -> run_v2.Execution:
    completed = run_v2.Condition(type_="Completed", state=state, message=message, execution_reason=reason)
    ready = run_v2.Condition(type_="Ready", state=STATE.CONDITION_SUCCEEDED)
    return run_v2.Execution(name=NAME, conditions=[ready, completed])


def task(message: str = "", *, exit_code: int = 0, signal: int = 0, code: int = 0, retried: int = 0) -> run_v2.Task:
    result = run_v2.TaskAttemptResult(
        status=Status(code=code, message=message), exit_code=exit_code, term_signal=signal
    )
    return run_v2.Task(last_attempt_result=result, retried=retried)


FAILED = STATE.CONDITION_FAILED
NO_MEMORY = "Memory limit of 2048 MiB exceeded with 2100 MiB used."
NO_TIME = "Task bqx-pair-abcde-task0 failed with message: The configured timeout was reached."


@pytest.mark.parametrize(
    ("found", "last", "ending"),
    [
        (run_v2.Execution(name=NAME), None, ExecutionStatus.RUNNING),
        (execution(STATE.CONDITION_PENDING), None, ExecutionStatus.RUNNING),
        (execution(STATE.CONDITION_RECONCILING, reason=REASON.CANCELLING), None, ExecutionStatus.RUNNING),
        (execution(STATE.CONDITION_SUCCEEDED), None, ExecutionStatus.SUCCEEDED),
        (execution(FAILED, "The container exited with an error."), task(exit_code=1), ExecutionStatus.FAILED),
        (execution(FAILED), None, ExecutionStatus.FAILED),
        (execution(FAILED, reason=REASON.CANCELLED), None, ExecutionStatus.CANCELLED),
        (execution(FAILED, NO_TIME), task(exit_code=1), ExecutionStatus.TIMED_OUT),
        (execution(FAILED, NO_TIME), task(signal=9), ExecutionStatus.TIMED_OUT),
        (execution(FAILED), task(code=4), ExecutionStatus.TIMED_OUT),
        (execution(FAILED, NO_MEMORY), None, ExecutionStatus.OUT_OF_MEMORY),
        (
            execution(FAILED, "The container exited with an error."),
            task(NO_MEMORY, exit_code=1),
            ExecutionStatus.OUT_OF_MEMORY,
        ),
        (execution(FAILED, "The container exited with an error."), task(exit_code=137), ExecutionStatus.KILLED),
        (execution(FAILED), task("Container terminated on signal 9.", signal=9), ExecutionStatus.KILLED),
        (execution(FAILED, NO_MEMORY), task(signal=9), ExecutionStatus.OUT_OF_MEMORY),
        (execution(FAILED), task(exit_code=143), ExecutionStatus.FAILED),
        (run_v2.Execution(name=NAME, delete_time=datetime.now(UTC)), None, ExecutionStatus.NOT_FOUND),
    ],
)
def test_an_ending_is_read_from_condition_and_last_attempt(
    found: run_v2.Execution, last: run_v2.Task | None, ending: ExecutionStatus
) -> None:
    assert outcome_of(found, [last] if last else []).status is ending


def test_an_outcome_reads_as_one_line_with_reason_and_link() -> None:
    found = outcome_of(
        execution(FAILED, "The container exited with an error."), [task("Boom.", exit_code=3, retried=1)]
    )
    assert str(found) == (
        "Cloud Run execution bqx-pair-abcde failed after 2 attempts: The container exited with an error.; "
        "Boom., exit code 3 https://console.cloud.google.com/run/jobs/executions/details/r/bqx-pair-abcde/tasks?project=p"
    )


def test_words_said_twice_are_kept_once() -> None:
    found = outcome_of(execution(FAILED, NO_MEMORY), [task(NO_MEMORY)])
    assert found.reason == NO_MEMORY
