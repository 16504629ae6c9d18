"""A Dagster instance in a folder, launching on a Cloud Run: what production has, small.

Belongs here: instance, jobs and runs for the launcher's tests. Does not: assertions.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dagster as dg
import yaml
from dagster._core.workspace.context import BaseWorkspaceRequestContext
from google.cloud import run_v2

from bqx_assets.runtime.launcher.client import Endpoint
from bqx_assets.runtime.launcher.cloud_run import CloudRunLauncher
from bqx_assets_tests.runtime.launcher.trivial import trivial_job
from bqx_assets_tests.servers.cloud_run.server import PROJECT, REGION, CloudRunServer

ROOT = Path(__file__).resolve().parents[3]
NO_WORKSPACE: BaseWorkspaceRequestContext = None  # type: ignore[assignment]  # the launcher needs none


def job(*command: str, memory: str = "512Mi", retries: int = 0, env: Mapping[str, str] | None = None) -> run_v2.Job:
    """Return a job of one container that runs ``command`` and is then given the launcher's words."""
    container = run_v2.Container(
        image="bqx",
        command=list(command),
        resources=run_v2.ResourceRequirements(limits={"cpu": "2", "memory": memory}),
        env=[run_v2.EnvVar(name=name, value=value) for name, value in (env or {}).items()],
    )
    task = run_v2.TaskTemplate(containers=[container], max_retries=retries)
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=task, task_count=1))


def shell(script: str, **kwargs: Any) -> run_v2.Job:
    """Return a job whose container is a shell script."""
    return job("/bin/sh", "-c", script, **kwargs)


def python(script: str, **kwargs: Any) -> run_v2.Job:
    """Return a job whose container is a Python script, without site packages: it starts in 20 ms."""
    return job("python", "-S", "-c", script, **kwargs)


def storage(home: Path) -> dict[str, Any]:
    """Return the storage part of a ``dagster.yaml``: one file for all runs' events, as each of its own takes 1 s."""
    events = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    config = {"base_dir": str(home / "history")}
    return {"event_log_storage": {**events, "config": config}, "telemetry": {"enabled": False}}


class Deployment:
    """Context manager: the instance, its launcher, and runs of the trivial job."""

    def __init__(self, cloud_run: CloudRunServer, home: Path, folder: Path, **launcher: Any) -> None:
        self.cloud_run = cloud_run
        self.home = home
        self.folder = folder
        cloud_run.image_env |= {
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "TRIVIAL_FOLDER": str(folder),
        }
        config = {
            "project": PROJECT,
            "region": REGION,
            "jobs": {"pair": "bqx-pair", "large": "bqx-pair-large"},
            "default_memory_class": "pair",
            "emulator_host": cloud_run.endpoint,
            "call_timeout_seconds": 5.0,
            "retry_timeout_seconds": 5.0,
            "retry_wait_seconds": 0.05,
            **launcher,
        }
        document = {
            **storage(home),
            "run_launcher": {
                "module": "bqx_assets.runtime.launcher.cloud_run",
                "class": "CloudRunLauncher",
                "config": config,
            },
            "run_monitoring": {"enabled": True, "max_resume_run_attempts": 0},
            "run_retries": {"enabled": True, "max_retries": 1},
        }
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(document))
        self.instance = dg.DagsterInstance.from_config(str(self.home))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.instance.dispose()

    @property
    def launcher(self) -> CloudRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, CloudRunLauncher)
        return launcher

    def create(self, **tags: str) -> dg.DagsterRun:
        """Return a new run of the trivial job; tags with ``__`` for ``/``, a partition unless told otherwise."""
        named = {key.replace("__", "/"): value for key, value in tags.items()} or {"dagster/partition": "eurusd"}
        origin = dg.reconstructable(trivial_job).get_python_origin()
        return self.instance.create_run_for_job(trivial_job(), tags=named, job_code_origin=origin)

    def launch(self, deployed: run_v2.Job, **tags: str) -> dg.DagsterRun:
        """Deploy the job of the default class, launch a run on it, and return the run as it is then."""
        self.cloud_run.deploy(deployed, "bqx-pair")
        run = self.create(**tags)
        self.instance.launch_run(run.run_id, NO_WORKSPACE)
        return self.run(run.run_id)

    def short_patience(self) -> Endpoint:
        """Return the endpoint, asked for a fifth of a second."""
        return Endpoint(emulator_host=self.cloud_run.endpoint, call_timeout_seconds=0.2, retry_wait_seconds=0.02)

    def run(self, run_id: str) -> dg.DagsterRun:
        """Return the run as the instance knows it now."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def told(self, run: dg.DagsterRun) -> list[str]:
        """Return the messages of the run's event log."""
        return [entry.message or entry.user_message for entry in self.instance.all_logs(run.run_id)]

    def facts(self, run: dg.DagsterRun, text: str) -> dict[str, str]:
        """Return the metadata of the one event whose message has ``text`` in it."""
        (event,) = [each for each in self.instance.all_logs(run.run_id) if text in each.message]
        return {key: str(value.value) for key, value in event.get_dagster_event().engine_event_data.metadata.items()}

    def ended(self) -> None:
        """Wait for the latest execution."""
        execution = self.cloud_run.latest()
        assert execution.join(60), shlex.join(execution.image.command)
