"""A container that cannot start, or dies before its run has begun: seen, told apart, not launched again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import dagster as dg
import grpc
import pytest
from dagster._daemon.monitoring.run_monitoring import monitor_starting_run
from google.cloud import run_v2

from bqx_assets.base.errors import CloudRunError, CloudRunUnavailable
from bqx_assets.runtime.launcher.client import Endpoint
from bqx_assets.runtime.launcher.starting import StartWatch
from bqx_assets.runtime.launcher.tags import ENDING_TAG, NEVER_BEGAN
from bqx_assets_tests.runtime.launcher.deployment import Deployment, python, shell
from bqx_assets_tests.servers.cloud_run.faults import Fault

DENIED, AWAY = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE


def _without_image() -> run_v2.Job:
    made = shell("exit 0")
    made.template.template.containers[0].image = "gone"
    return made


def _without_secret() -> run_v2.Job:
    made = shell("exit 0")
    source = run_v2.EnvVarSource({"secret_key_ref": {"secret": "bqx-postgres-url", "version": "latest"}})
    made.template.template.containers[0].env.append(run_v2.EnvVar(name="URL", value_source=source))
    return made


DEATHS: dict[str, tuple[Callable[[], run_v2.Job], int, str]] = {
    "no such secret": (_without_secret, 0, "Secret projects/1/secrets/bqx-postgres-url/versions/latest was not found"),
    "no such image": (_without_image, 0, "Image 'gone' not found."),
    "an import error": (lambda: python("import nothing", retries=1), 2, "exit code 1"),
    "out of memory while it imports": (lambda: python("x = b'x' * (1 << 27)", memory="64Mi"), 1, "Memory limit of"),
    "a good exit without a run": (lambda: shell("exit 0"), 1, "succeeded"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_run_whose_container_never_began_it_is_failed_at_the_next_look_with_the_reason_and_not_retried(
    deployment: Deployment, death: str
) -> None:
    job, containers, reason = DEATHS[death]
    deployment.cloud_run.missing_images.add("gone")
    run = deployment.launch(job())
    deployment.ended()
    deployment.launcher._starting.look(deployment.instance)
    run = deployment.run(run.run_id)
    assert run.status == dg.DagsterRunStatus.FAILURE, "it holds no place in the queue any more"
    assert run.tags[ENDING_TAG] == NEVER_BEGAN
    assert run.tags["dagster/will_retry"] == "false"
    (failure,) = [each for each in deployment.told(run) if each.startswith("The container never began its run.")][:1]
    assert reason in failure
    assert "launch the run again" in failure
    assert len(deployment.cloud_run.latest().pids) == containers
    told = deployment.told(run)
    deployment.launcher._starting.look(deployment.instance)
    assert deployment.told(run) == told


PASSING: dict[str, tuple[str, str]] = {
    "the database does not answer": ("exit 75", "exit code 75"),
    "a signal to end": ("kill -TERM $$", "exit code 143"),
    "a kill of which nobody says why": ("kill -KILL $$", "exit code 137"),
}


@pytest.mark.parametrize("death", PASSING)
def test_a_run_whose_container_never_began_it_for_what_may_pass_is_failed_with_the_reason_and_launched_once_more(
    deployment: Deployment, death: str
) -> None:
    script, reason = PASSING[death]
    run = deployment.launch(shell(script))
    deployment.ended()
    deployment.launcher._starting.look(deployment.instance)
    run = deployment.run(run.run_id)
    assert (run.status, run.tags[ENDING_TAG]) == (dg.DagsterRunStatus.FAILURE, NEVER_BEGAN)
    assert run.tags["dagster/will_retry"] == "true"
    (failure,) = [each for each in deployment.told(run) if each.startswith("The container never began its run.")][:1]
    assert reason in failure
    assert "launches the run once more" in failure


def test_a_run_that_has_begun_is_left_to_run_monitoring(deployment: Deployment) -> None:
    run = deployment.launch(shell("exit 3"))
    deployment.ended()
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
    deployment.instance.report_dagster_event(event, run_id=run.run_id)
    deployment.launcher._starting.look(deployment.instance)
    run = deployment.run(run.run_id)
    assert run.status == dg.DagsterRunStatus.STARTED
    assert ENDING_TAG not in run.tags


def test_a_container_that_is_still_starting_is_waited_for_and_the_end_of_the_one_before_it_is_told(
    deployment: Deployment,
) -> None:
    script = "import os, time; time.sleep(60 * int(os.environ['CLOUD_RUN_TASK_ATTEMPT'])); raise SystemExit(7)"
    run = deployment.launch(python(script, retries=1))
    deployment.cloud_run.await_pids(deployment.cloud_run.latest(), 2)
    for _ in range(2):
        deployment.launcher._starting.look(deployment.instance)
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.STARTING
    (told,) = [each for each in deployment.told(run) if "Cloud Run started container 2" in each]
    assert "exit code 7" in told


def test_an_execution_cancelled_in_the_console_before_its_run_began_cancels_the_run(deployment: Deployment) -> None:
    run = deployment.launch(python("import time; time.sleep(60)"))
    deployment.cloud_run.latest().cancel()
    deployment.ended()
    deployment.launcher._starting.look(deployment.instance)
    run = deployment.run(run.run_id)
    assert (run.status, run.tags[ENDING_TAG]) == (dg.DagsterRunStatus.CANCELED, "cancelled")


@pytest.mark.parametrize("code", [DENIED, AWAY])
def test_while_cloud_run_does_not_answer_no_run_is_closed(deployment: Deployment, code: grpc.StatusCode) -> None:
    run = deployment.launch(shell("exit 1"))
    deployment.ended()
    deployment.launcher._cloud_run._endpoint = deployment.short_patience()
    deployment.cloud_run.inject("GetExecution", *[Fault(code)] * 200)
    deployment.launcher._starting.look(deployment.instance)
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.STARTING


def test_the_watch_looks_by_itself_and_outlives_what_goes_wrong(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    true_look = StartWatch.look

    def look(watch: StartWatch, instance: dg.DagsterInstance) -> None:
        looked.append("")
        if len(looked) == 1:
            raise ConnectionError("the database is away")
        true_look(watch, instance)

    monkeypatch.setattr(StartWatch, "look", look)
    deployment.launcher._starting._every_seconds = 0.05
    run = deployment.launch(shell("exit 1"))
    until = time.monotonic() + 20
    while not deployment.run(run.run_id).is_finished and time.monotonic() < until:
        time.sleep(0.02)
    assert deployment.run(run.run_id).tags[ENDING_TAG] == NEVER_BEGAN
    assert len(looked) > 1


def test_at_the_start_timeout_a_container_that_is_gone_is_not_launched_again_either(deployment: Deployment) -> None:
    """Where no watch was at work: the daemon was away."""
    run = deployment.launch(shell("exit 1"))
    deployment.ended()
    (record,) = deployment.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(deployment.instance), "run_monitoring_start_timeout_seconds", 0.001)
        monitor_starting_run(deployment.instance, record, logging.getLogger("monitor"))
    run = deployment.run(run.run_id)
    assert (run.status, run.tags["dagster/will_retry"]) == (dg.DagsterRunStatus.FAILURE, "false")


@pytest.mark.parametrize(
    ("code", "error", "again"), [(DENIED, CloudRunError, "false"), (AWAY, CloudRunUnavailable, "true")]
)
def test_a_launch_that_is_refused_is_not_tried_again_one_that_was_not_answered_is(
    deployment: Deployment, code: grpc.StatusCode, error: type[Exception], again: str
) -> None:
    deployment.launcher._cloud_run._endpoint = Endpoint(
        emulator_host=deployment.cloud_run.endpoint, retry_timeout_seconds=0.2, retry_wait_seconds=0.02
    )
    deployment.cloud_run.inject("RunJob", *[Fault(code)] * 200)
    with pytest.raises(error):
        deployment.launch(shell("exit 0"))
    (record,) = deployment.instance.get_run_records()
    assert record.dagster_run.tags["dagster/will_retry"] == again
