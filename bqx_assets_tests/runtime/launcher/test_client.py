from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import grpc
import pytest

from bqx_assets.base.errors import BadSetting, CloudRunError, CloudRunUnavailable
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets.runtime.launcher.outcome import Ending
from bqx_assets_tests.runtime.launcher.deployment import shell
from bqx_assets_tests.servers.cloud_run.faults import Fault
from bqx_assets_tests.servers.cloud_run.server import PARENT, CloudRunServer

QUOTA, AWAY = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE


def client(server: CloudRunServer, retry_timeout_seconds: float = 5.0) -> CloudRun:
    return CloudRun(
        Endpoint(
            emulator_host=server.endpoint,
            call_timeout_seconds=2.0,
            retry_timeout_seconds=retry_timeout_seconds,
            retry_wait_seconds=0.02,
        )
    )


def start(server: CloudRunServer, script: str = "exit 0", run_id: str = "run-1", **kwargs: float) -> str:
    job = server.deploy(shell(script), "bqx-pair")
    env = {"BQX_PAIR": "eurusd", "BQX_RUN_ID": run_id}
    return client(server, **kwargs).start(job, env=env, args=["a", "b c"], timeout_seconds=7200)


def test_start_passes_words_environment_timeout_and_one_task(cloud_run: CloudRunServer) -> None:
    name = start(cloud_run, 'echo "$0|$1|$BQX_PAIR|$CLOUD_RUN_TASK_ATTEMPT"')
    execution = cloud_run.executions[name]
    assert execution.join(5)
    assert cloud_run.output(execution) == "a|b c|eurusd|0\n"
    assert execution.image.timeout_seconds == 7200


def test_a_quota_is_waited_out(cloud_run: CloudRunServer) -> None:
    cloud_run.inject("RunJob", Fault(QUOTA), Fault(QUOTA), Fault(AWAY))
    start(cloud_run)
    assert cloud_run.called("RunJob") == 4
    assert len(cloud_run.executions) == 1


def test_a_quota_that_stays_exhausted_is_told_as_such(cloud_run: CloudRunServer) -> None:
    cloud_run.inject("RunJob", *[Fault(QUOTA, "Quota exceeded for 'Job Run Requests per minute'")] * 500)
    before = time.monotonic()
    with pytest.raises(CloudRunUnavailable, match="Job Run Requests per minute"):
        start(cloud_run, retry_timeout_seconds=0.3)
    assert time.monotonic() - before < 10
    assert not cloud_run.executions


@pytest.mark.parametrize("code", [AWAY, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL])
def test_a_lost_answer_starts_no_second_execution(cloud_run: CloudRunServer, code: grpc.StatusCode) -> None:
    start(cloud_run, run_id="another run")
    cloud_run.inject("RunJob", Fault(code, after_effect=True))
    name = start(cloud_run)
    assert cloud_run.called("RunJob") == 2  # one for each run
    assert name == cloud_run.latest().name
    assert len(cloud_run.executions) == 2


def test_a_call_that_hangs_meets_its_deadline(cloud_run: CloudRunServer) -> None:
    name = start(cloud_run, "sleep 30")
    cloud_run.inject("GetExecution", Fault(AWAY, delay_seconds=1.0))
    impatient = CloudRun(Endpoint(emulator_host=cloud_run.endpoint, call_timeout_seconds=0.3))
    with pytest.raises(CloudRunUnavailable, match=r"(?i)deadline"):
        impatient.outcome(name)
    assert client(cloud_run).outcome(name).ending is Ending.RUNNING


def test_every_call_carries_a_deadline(cloud_run: CloudRunServer) -> None:
    name = start(cloud_run, "exit 1")
    cloud_run.executions[name].join(5)
    asked = client(cloud_run)
    asked.outcome(name)
    asked.find(name.split("/executions/")[0], "nobody")
    asked.cancel(name)
    assert {call.method for call in cloud_run.calls} == {
        "RunJob",
        "GetExecution",
        "ListTasks",
        "ListExecutions",
        "CancelExecution",
    }
    assert all((call.deadline_seconds or 99) < 2.5 for call in cloud_run.calls), cloud_run.calls


def test_a_missing_job_is_named(cloud_run: CloudRunServer) -> None:
    with pytest.raises(CloudRunError, match=r"jobs/nowhere.* does not exist"):
        client(cloud_run).start(f"{PARENT}/jobs/nowhere", env={}, args=["a"], timeout_seconds=60)
    assert cloud_run.called("RunJob") == 1


def test_an_execution_that_is_not_there_is_an_outcome_and_no_error(cloud_run: CloudRunServer) -> None:
    gone = f"{PARENT}/jobs/bqx-pair/executions/gone"
    assert client(cloud_run).outcome(gone).ending is Ending.NOT_FOUND
    assert client(cloud_run).cancel(gone) is False


def test_a_runs_execution_is_found_among_hundreds(cloud_run: CloudRunServer) -> None:
    wanted = start(cloud_run, run_id="wanted")
    other = cloud_run.executions[start(cloud_run, run_id="other")]
    for number in range(150):
        later = copy.copy(other)
        later.name = f"{other.name}-{number}"
        cloud_run.executions[later.name] = later
    job = wanted.split("/executions/")[0]
    assert client(cloud_run).find(job, "wanted") == wanted
    assert cloud_run.called("ListExecutions") == 2
    assert client(cloud_run).find(job, "unknown") is None


def test_plain_text_and_another_tls_host_exclude_each_other() -> None:
    with pytest.raises(BadSetting, match="at most one"):
        Endpoint(api_endpoint="us-central1-run.googleapis.com", emulator_host="127.0.0.1:1")


def test_without_an_emulator_the_clients_speak_tls_to_the_configured_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "user.json").write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "user.json"))
    asked = CloudRun(Endpoint(api_endpoint="us-central1-run.googleapis.com"))
    assert asked._jobs.transport.host == "us-central1-run.googleapis.com:443"
    assert CloudRun(Endpoint())._jobs.transport.host == "run.googleapis.com:443"
    asked.close()


def test_credentials_that_are_not_there_are_an_error_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(CloudRunError, match=r"none\.json"):
        CloudRun(Endpoint()).find("j", "r")
