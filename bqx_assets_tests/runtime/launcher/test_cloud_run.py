"""Each ending of an execution as Dagster sees it: status, event log, tags, and whether the run is retried."""

from __future__ import annotations

import logging
import time

import dagster as dg
import grpc
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run
from google.cloud import run_v2

from bqx_assets.base.errors import BadSetting, CloudRunError, UnknownPair, UsageError
from bqx_assets.runtime.launcher.tags import ATTEMPT_TAG, ENDING_TAG, EXECUTION_TAG, PAIR_TAG
from bqx_assets_tests.runtime.launcher.deployment import NO_WORKSPACE, Deployment, python, shell
from bqx_assets_tests.servers.cloud_run.faults import Fault

GREEDY = "x = b'x' * (1 << 27)"
SLEEPY = "import time; time.sleep(60)"
QUOTA, AWAY, DENIED = (
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.PERMISSION_DENIED,
)


def monitored(deployment: Deployment, run: dg.DagsterRun) -> dg.DagsterRun:
    """Do to a run what the daemon's run monitoring does each minute, as if its worker had reported its start."""
    deployment.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name=run.job_name), run_id=run.run_id
    )
    for record in deployment.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id])):
        monitor_started_run(deployment.instance, NO_WORKSPACE, record, logging.getLogger("monitor"))
    return deployment.run(run.run_id)


def test_a_launch_says_what_it_started_and_where(deployment: Deployment) -> None:
    run = deployment.launch(shell("exit 0"), dagster__partition="gbpusd")
    execution = deployment.cloud_run.latest()
    assert run.tags[EXECUTION_TAG] == execution.name
    assert run.tags[PAIR_TAG] == "gbpusd"
    facts = deployment.facts(run, "Started Cloud Run")
    assert facts["Pair"] == "gbpusd"
    assert facts["Execution"] == (
        f"https://console.cloud.google.com/run/jobs/executions/details/us-central1/{execution.short}/tasks"
        "?project=test-project"
    )


def test_the_container_gets_pair_run_and_the_command_of_dagster_without_this_hosts_paths(
    deployment: Deployment,
) -> None:
    run = deployment.launch(shell('echo "$BQX_PAIR $BQX_RUN_ID $0 $1 $2"; echo "$3"'))
    deployment.ended()
    first, arguments = deployment.cloud_run.output(deployment.cloud_run.latest()).splitlines()
    assert first == f"eurusd {run.run_id} dagster api execute_run"
    assert '"instance_ref": null' in arguments  # the storage's configuration is the image's, not a word of a command


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        ({"other": "tag"}, UsageError, "no pair"),
        ({"dagster__partition": "eurusd", "bqx__pair": "gbpusd"}, UsageError, "the pairs eurusd, gbpusd"),
        ({"dagster__partition": "usdeur"}, UnknownPair, "Did you mean eurusd"),
        ({"dagster__partition": "eurusd", "bqx__memory_class": "huge"}, BadSetting, "one of large, pair"),
    ],
)
def test_a_run_that_is_not_for_one_pair_of_a_known_size_is_not_launched(
    deployment: Deployment, tags: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        deployment.launch(shell("exit 0"), **tags)
    assert not deployment.cloud_run.executions


def test_the_memory_class_chooses_the_job(deployment: Deployment) -> None:
    deployment.cloud_run.deploy(shell("exit 0", memory="8Gi"), "bqx-pair-large")
    deployment.launch(shell("exit 0"), dagster__partition="eurusd", bqx__memory_class="large")
    assert "/jobs/bqx-pair-large/" in deployment.cloud_run.latest().name


def test_a_launch_that_cloud_run_refuses_fails_the_run_with_its_words(deployment: Deployment) -> None:
    deployment.cloud_run.inject("RunJob", Fault(DENIED, "Permission 'run.jobs.runWithOverrides' denied"))
    with pytest.raises(CloudRunError, match="runWithOverrides"):
        deployment.launch(shell("exit 0"))
    (record,) = deployment.instance.get_run_records()
    assert record.dagster_run.status == dg.DagsterRunStatus.FAILURE
    assert any("runWithOverrides" in each for each in deployment.told(record.dagster_run))


ENDINGS = [
    (shell("exit 3"), 60, "failed", "exit code 3", WorkerStatus.FAILED),
    (python(GREEDY, memory="64Mi"), 60, "out of memory", "Memory limit of 64 MiB exceeded", WorkerStatus.FAILED),
    (python(SLEEPY), 1, "timed out", "The configured timeout was reached", WorkerStatus.FAILED),
    (shell("exit 0"), 60, "succeeded", "left without finishing the run", WorkerStatus.FAILED),
]


@pytest.mark.parametrize(("job", "timeout", "ending", "reason", "status"), ENDINGS, ids=[row[2] for row in ENDINGS])
def test_each_ending_is_told_apart_with_reason_and_link(
    deployment: Deployment, job: run_v2.Job, timeout: int, ending: str, reason: str, status: WorkerStatus
) -> None:
    deployment.launcher._timeout_seconds = timeout
    run = deployment.launch(job)
    deployment.ended()
    health = deployment.launcher.check_run_worker_health(run)
    assert health.status == status
    assert reason in str(health.msg)
    assert f" {ending}: " in str(health.msg)
    assert deployment.run(run.run_id).tags[ENDING_TAG] == ending
    deployment.launcher.check_run_worker_health(deployment.run(run.run_id))
    facts = deployment.facts(run, str(health.msg))  # told once, though asked twice
    assert facts["Ending"] == ending
    assert facts["Execution"].startswith("https://console.cloud.google.com/run/jobs/executions/details/")
    assert facts["Logs"].startswith("https://console.cloud.google.com/logs/")


def test_monitoring_fails_a_run_whose_container_died_and_it_is_retried_once(deployment: Deployment) -> None:
    run = deployment.launch(python(GREEDY, memory="64Mi"))
    deployment.ended()
    run = monitored(deployment, run)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert any("out of memory" in each and "Marking run" in each for each in deployment.told(run))
    assert run.tags["dagster/will_retry"] == "true"
    assert run.tags["dagster/retry_strategy"] == "ALL_STEPS"


def test_a_run_that_cloud_run_has_retried_is_not_retried_by_dagster_as_well(deployment: Deployment) -> None:
    run = deployment.launch(shell("exit 3", retries=1))
    deployment.ended()
    assert len(deployment.cloud_run.latest().pids) == 2
    run = monitored(deployment, run)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert any("failed after 2 attempts" in each for each in deployment.told(run))
    assert run.tags["dagster/will_retry"] == "false"


def test_the_event_log_says_why_a_container_was_started_again(deployment: Deployment) -> None:
    run = deployment.launch(
        python(
            f"import os; {GREEDY}" + " if os.environ['CLOUD_RUN_TASK_ATTEMPT'] == '0' else 0; " + SLEEPY,
            memory="64Mi",
            retries=1,
        )
    )
    deployment.cloud_run.await_pids(deployment.cloud_run.latest(), 2)
    for _ in range(2):
        assert deployment.launcher.check_run_worker_health(deployment.run(run.run_id)).status == WorkerStatus.RUNNING
    (message,) = [each for each in deployment.told(run) if "Cloud Run started container 2" in each]
    assert "Memory limit of 64 MiB exceeded" in message
    assert deployment.run(run.run_id).tags[ATTEMPT_TAG] == "2"


def test_an_execution_cancelled_in_the_console_cancels_the_run_and_is_not_retried(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    deployment.cloud_run.latest().cancel()
    deployment.ended()
    run = monitored(deployment, run)
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert run.tags[ENDING_TAG] == "cancelled"
    assert "dagster/will_retry" not in run.tags


def test_an_execution_that_was_deleted_is_not_found(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    deployment.cloud_run.latest().deleted = True
    deployment.cloud_run.latest().kill()
    health = deployment.launcher.check_run_worker_health(run)
    assert health.status == WorkerStatus.NOT_FOUND
    assert "does not exist" in str(health.msg)
    assert monitored(deployment, run).status == dg.DagsterRunStatus.FAILURE


def test_a_working_container_is_healthy(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    assert deployment.launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert monitored(deployment, run).status == dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize("code", [QUOTA, AWAY])
def test_a_cloud_run_that_cannot_be_asked_fails_no_run(deployment: Deployment, code: grpc.StatusCode) -> None:
    run = deployment.launch(python(SLEEPY))
    deployment.launcher._cloud_run._endpoint = deployment.short_patience()
    deployment.cloud_run.inject("GetExecution", *[Fault(code)] * 200)
    health = deployment.launcher.check_run_worker_health(run)
    assert (health.status, health.transient) == (WorkerStatus.RUNNING, True)
    assert monitored(deployment, run).status == dg.DagsterRunStatus.STARTED


def test_the_execution_of_a_launcher_that_died_before_writing_its_name_is_found(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    deployment.instance.add_run_tags(run.run_id, {EXECUTION_TAG: ""})
    run = deployment.run(run.run_id)
    assert deployment.launcher.check_run_worker_health(run).run_worker_id == deployment.cloud_run.latest().name


def test_a_run_that_was_never_launched_has_no_worker(deployment: Deployment) -> None:
    deployment.cloud_run.deploy(shell("exit 0"), "bqx-pair")
    assert deployment.launcher.check_run_worker_health(deployment.create()).status == WorkerStatus.NOT_FOUND


def test_a_resumed_run_has_a_new_execution_that_goes_on_and_an_ending_of_its_own(deployment: Deployment) -> None:
    run = deployment.launch(shell('echo "$2"; exit 3'))
    deployment.ended()
    deployment.launcher.check_run_worker_health(run)
    deployment.instance.resume_run(run.run_id, NO_WORKSPACE, attempt_number=1)
    deployment.ended()
    first, second = deployment.cloud_run.executions.values()
    assert [deployment.cloud_run.output(each) for each in (first, second)] == ["execute_run\n", "resume_run\n"]
    resumed = deployment.run(run.run_id)
    assert (resumed.tags[EXECUTION_TAG], resumed.tags[ENDING_TAG]) == (second.name, "")
    deployment.launcher.check_run_worker_health(resumed)
    assert deployment.facts(run, second.short + " failed")["Ending"] == "failed"


def test_a_resumption_whose_first_call_failed_does_not_take_the_dead_execution_for_the_new_one(
    deployment: Deployment,
) -> None:
    run = deployment.launch(shell("exit 3"))
    deployment.ended()
    deployment.cloud_run.inject("RunJob", Fault(AWAY))
    deployment.instance.resume_run(run.run_id, NO_WORKSPACE, attempt_number=1)
    assert deployment.cloud_run.called("ListExecutions") == 1
    assert len(deployment.cloud_run.executions) == 2
    assert deployment.run(run.run_id).tags[EXECUTION_TAG] == deployment.cloud_run.latest().name


def test_a_run_that_repeats_another_is_not_judged_by_the_others_execution(deployment: Deployment) -> None:
    first = deployment.launch(shell("exit 3"))
    deployment.ended()
    deployment.cloud_run.inject("RunJob", Fault(DENIED))
    again = deployment.create(dagster__partition="eurusd", **{EXECUTION_TAG: first.tags[EXECUTION_TAG]})
    with pytest.raises(CloudRunError):
        deployment.instance.launch_run(again.run_id, NO_WORKSPACE)
    assert deployment.launcher.check_run_worker_health(deployment.run(again.run_id)).status == WorkerStatus.NOT_FOUND


def test_terminate_ends_the_container(deployment: Deployment) -> None:
    run = deployment.launch(shell("trap 'echo told; exit 0' TERM; sleep 60 & wait"))
    deployment.cloud_run.await_pids(deployment.cloud_run.latest(), 1)
    time.sleep(0.1)
    assert deployment.launcher.terminate(run.run_id)
    deployment.ended()
    assert deployment.cloud_run.output(deployment.cloud_run.latest()) == "told\n"
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.CANCELING


def test_terminate_closes_a_run_whose_container_is_gone(deployment: Deployment) -> None:
    run = deployment.launch(shell("exit 1"))
    deployment.ended()
    assert deployment.launcher.terminate(run.run_id)
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.CANCELED
    assert not deployment.launcher.terminate(run.run_id)


def test_terminate_says_so_when_cloud_run_does_not_listen(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    deployment.cloud_run.inject("CancelExecution", Fault(DENIED, "Permission 'run.executions.cancel' denied"))
    assert not deployment.launcher.terminate(run.run_id)
    assert any("run.executions.cancel" in each for each in deployment.told(run))
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.CANCELING  # the worker itself looks for this


def test_debug_information_speaks_of_the_execution(deployment: Deployment) -> None:
    run = deployment.launch(python(SLEEPY))
    told = deployment.launcher.get_run_worker_debug_info(run)
    assert "running" in str(told)
    assert "Logs: https://console.cloud.google.com/logs/" in str(told)
