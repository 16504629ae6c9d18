from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from bqx_assets.base.errors import BadSetting, CloudRunError, CloudRunUnavailable
from bqx_assets.runtime.launcher.client import CloudRun, Endpoint
from bqx_assets.runtime.launcher.execution import ExecutionStatus
from bqx_assets_tests.runtime.launcher.deployment import shell
from bqx_assets_tests.servers.cloud_run.faults import Fault
from bqx_assets_tests.servers.cloud_run.server import PARENT, CloudRunServer

QUOTA, AWAY = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
DENIED = grpc.StatusCode.PERMISSION_DENIED


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
    assert client(cloud_run).outcome(name).status is ExecutionStatus.RUNNING


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


REFUSALS = [
    (
        DENIED,
        "Permission 'run.jobs.runWithOverrides' denied on resource 'projects/p-12345/locations/us-east1/jobs/bqx-pair' "
        "(or it may not exist).",
        r"lacks the permission run\.jobs\.runWithOverrides on projects/p-12345/locations/us-east1/jobs/bqx-pair, or it "
        r"does not exist.*jobs add-iam-policy-binding bqx-pair --region us-east1.*roles/run\.jobsExecutorWithOverrides",
    ),
    (
        DENIED,
        "Permission 'iam.serviceaccounts.actAs' denied on service account bqx@p.iam.gserviceaccount.com (or it may "
        "not exist).",
        r"iam\.serviceAccounts\.actAs.*service-accounts add-iam-policy-binding bqx@p\.iam\.gserviceaccount\.com"
        r".*roles/iam\.serviceAccountUser",
    ),
    (
        DENIED,
        "Cloud Run Admin API has not been used in project 1234 before or it is disabled. Enable it by visiting https://"
        "console.developers.google.com/apis/api/run.googleapis.com/overview?project=1234 then retry.",
        r"services enable run\.googleapis\.com --project 1234",
    ),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "Max instances must be set to 5 or fewer to set the requested total CPU.",
        "region's quota",
    ),
    (AWAY, "Getting metadata from plugin failed with error: ('invalid_grant: Bad Request', {})", "Log in again"),
    (AWAY, "Getting metadata from plugin failed with error: Reauthentication is needed.", "a new login"),
]


@pytest.mark.parametrize(("code", "words", "told"), REFUSALS)
@pytest.mark.parametrize("call", ["start", "outcome", "cancel", "find"])
def test_what_stays_is_refused_at_once_whatever_its_code_with_what_helps(
    cloud_run: CloudRunServer, call: str, code: grpc.StatusCode, words: str, told: str
) -> None:
    execution = f"{PARENT}/jobs/bqx-pair/executions/x"
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: start(cloud_run),
        "outcome": lambda: client(cloud_run).outcome(execution),
        "cancel": lambda: client(cloud_run).cancel(execution),
        "find": lambda: client(cloud_run).find(f"{PARENT}/jobs/bqx-pair", "run-1"),
    }
    for method in ("RunJob", "GetExecution", "CancelExecution", "ListExecutions"):
        cloud_run.inject(method, *[Fault(code, words)] * 50)
    with pytest.raises(CloudRunError, match=told) as raised:
        calls[call]()
    assert type(raised.value) is CloudRunError
    assert len(cloud_run.calls) == 1


def test_a_job_that_is_not_in_the_region_says_which_region_and_project_were_asked(cloud_run: CloudRunServer) -> None:
    with pytest.raises(CloudRunError) as raised:
        client(cloud_run).start(f"{PARENT}/jobs/nowhere", env={}, args=["a"], timeout_seconds=60)
    _, project, _, region = PARENT.split("/")
    assert f"region '{region}' in project '{project}'" in raised.value.got
    assert raised.value.cure == f"Correct its name and region: gcloud run jobs list --project {project}"


def test_an_execution_that_is_not_there_is_an_outcome_and_no_error(cloud_run: CloudRunServer) -> None:
    gone = f"{PARENT}/jobs/bqx-pair/executions/gone"
    assert client(cloud_run).outcome(gone).status is ExecutionStatus.NOT_FOUND
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


@pytest.mark.parametrize("make", ["missing", "folder", "list", "text", "other"])
def test_a_bad_file_of_credentials_is_named_with_the_variable_to_correct_or_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: str
) -> None:
    path = tmp_path / "none.json"
    if make == "folder":
        path.mkdir()
    elif make != "missing":
        path.write_text({"list": "[]", "text": "no json", "other": '{"type": "aws"}'}[make])
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(CloudRunError, match=r"none\.json.*correct it, or unset it"):
        CloudRun(Endpoint()).find("j", "r")
