"""Whole runs: the launcher, a Cloud Run, and Dagster's own command in the container."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import dagster as dg
from dagster._core.launcher.base import WorkerStatus

from bqx_assets_tests.runtime.launcher.deployment import NO_WORKSPACE, Deployment
from bqx_assets_tests.servers.cloud_run.manifest import job_from_yaml

DEPLOYED = Path(__file__).resolve().parents[3] / "deploy" / "job.yaml"


def launched_as_deployed(deployment: Deployment) -> dg.DagsterRun:
    """Launch a run on the very job that ``gcloud run jobs replace`` would put in place."""
    name, deployed = job_from_yaml(DEPLOYED.read_text())
    deployment.cloud_run.deploy(deployed, name)
    # As the file is not rendered, neither is the secret's name. The instance of these tests does not ask for its value.
    deployment.cloud_run.secrets["${BQX_SECRET}"] = "postgresql://bqx@127.0.0.1/dagster"
    run = deployment.create()
    deployment.instance.launch_run(run.run_id, NO_WORKSPACE)
    return deployment.run(run.run_id)


def await_file(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_a_run_goes_through_the_deployed_job_to_success(deployment: Deployment) -> None:
    run = launched_as_deployed(deployment)
    deployment.ended()
    execution = deployment.cloud_run.latest()
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.SUCCESS, deployment.cloud_run.output(execution)
    assert (deployment.folder / "attempt-0").read_text() == "eurusd eurusd"
    assert f"pair eurusd, run {run.run_id}, container 1, 2.00 GiB" in deployment.cloud_run.output(execution)
    assert deployment.launcher.check_run_worker_health(run).status == WorkerStatus.SUCCESS


def test_a_container_killed_half_way_is_followed_by_one_that_finishes_the_same_run(deployment: Deployment) -> None:
    (deployment.folder / "hold-attempt-0").touch()
    run = launched_as_deployed(deployment)
    await_file(deployment.folder / "attempt-0")
    execution = deployment.cloud_run.latest()
    os.kill(execution.pids[0], signal.SIGKILL)
    deployment.ended()
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.SUCCESS, deployment.cloud_run.output(execution)
    assert (len(execution.pids), len(deployment.cloud_run.executions)) == (2, 1)
    assert (deployment.folder / "attempt-1").read_text() == "eurusd eurusd"


def test_a_step_that_fails_leaves_a_failed_execution_and_no_second_try(deployment: Deployment) -> None:
    (deployment.folder / "fail").touch()
    run = launched_as_deployed(deployment)
    deployment.ended()
    execution = deployment.cloud_run.latest()
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert [each.exit_code for each in execution.attempts] == [1, 1]
    assert "the run is over: FAILURE" in deployment.cloud_run.output(execution)
    assert not (deployment.folder / "attempt-1").exists()


def test_terminate_lets_the_run_say_that_it_was_cancelled(deployment: Deployment) -> None:
    deployment.cloud_run.grace_seconds = 20
    (deployment.folder / "hold-attempt-0").touch()
    run = launched_as_deployed(deployment)
    await_file(deployment.folder / "attempt-0")
    assert deployment.launcher.terminate(run.run_id)
    deployment.ended()
    assert deployment.run(run.run_id).status == dg.DagsterRunStatus.CANCELED
    assert deployment.cloud_run.latest().attempts[-1].cancelled
