"""What is deployed: the jobs, the instance, the image's recipe."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._serdes.config_class import ConfigurableClassData, class_from_code_pointer
from google.cloud import run_v2

from bqx_assets.runtime.launcher.cloud_run import CloudRunLauncher
from bqx_assets_tests.servers.cloud_run.manifest import job_from_yaml
from bqx_assets_tests.servers.cloud_run.server import PARENT, CloudRunServer
from bqx_assets_tests.servers.cloud_run.sizes import refusal

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
JOBS = sorted(DEPLOY.glob("job*.yaml"))
INSTANCE = DEPLOY / "dagster.yaml"


def instance_document() -> dict[str, Any]:
    return yaml.safe_load(INSTANCE.read_text())


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.name)
def test_a_job_has_a_size_cloud_run_knows_one_task_one_retry_and_two_hours(
    file: Path, cloud_run: CloudRunServer
) -> None:
    name, job = job_from_yaml(file.read_text())
    task = job.template.template
    limits = task.containers[0].resources.limits
    assert refusal(limits["cpu"], limits["memory"]) is None
    assert (job.template.task_count, task.max_retries) == (1, 1)
    assert (
        run_v2.TaskTemplate.pb(task).timeout.seconds == instance_document()["run_launcher"]["config"]["timeout_seconds"]
    )
    assert task.service_account.startswith("${BQX_RUN_ACCOUNT}@")
    assert f"{PARENT}/jobs/{name}" == cloud_run.deploy(job, name)


def test_the_default_job_is_two_cpus_and_two_gibibytes() -> None:
    _, job = job_from_yaml((DEPLOY / "job.yaml").read_text())
    assert dict(job.template.template.containers[0].resources.limits) == {"cpu": "2", "memory": "2Gi"}


@pytest.mark.parametrize(
    ("cpu", "memory", "refused"),
    [
        ("2", "12Gi", True),
        ("2", "8Gi", False),
        ("1", "8Gi", True),
        ("4", "1Gi", True),
        ("8", "32Gi", False),
        ("3", "4Gi", True),
    ],
)
def test_sizes_that_cloud_run_refuses_are_refused(cpu: str, memory: str, *, refused: bool) -> None:
    assert (refusal(cpu, memory) is not None) == refused


def test_the_large_job_differs_in_name_and_size_alone() -> None:
    plain, large = (yaml.safe_load((DEPLOY / name).read_text()) for name in ("job.yaml", "job-large.yaml"))
    for document in (plain, large):
        document["metadata"].pop("name")
        document["spec"]["template"]["spec"]["template"]["spec"]["containers"][0].pop("resources")
    assert plain == large


def test_every_memory_class_has_a_job_that_is_deployed() -> None:
    names = {job_from_yaml(file.read_text())[0] for file in JOBS}
    assert set(instance_document()["run_launcher"]["config"]["jobs"].values()) == names


def environment_of(document: object) -> set[str]:
    """Names under ``env:`` anywhere in a document."""
    if isinstance(document, dict):
        own = {document["env"]} if set(document) == {"env"} else set()
        return own.union(*(environment_of(value) for value in document.values()))
    return set().union(*(environment_of(each) for each in document)) if isinstance(document, list) else set()


def test_the_instance_is_what_dagster_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class by its own schema, with the environment set; none is made that would connect."""
    document = instance_document()
    for name in environment_of(document):
        monkeypatch.setenv(name, "postgresql://u@/d" if "POSTGRES" in name else "value")
    shutil.copy(INSTANCE, tmp_path)
    dagster_instance_config(str(tmp_path))
    ref = InstanceRef.from_dir(str(tmp_path))
    parts = [ref.run_storage_data, ref.event_storage_data, ref.schedule_storage_data, ref.compute_logs_data]
    for data in [*parts, ref.run_coordinator_data, ref.run_launcher_data]:
        assert isinstance(data, ConfigurableClassData)
        kind: Any = class_from_code_pointer(data.module_name, data.class_name)
        done = process_config(resolve_to_config_type(kind.config_type()), yaml.safe_load(data.config_yaml))
        assert done.success, done.errors
    assert ref.run_launcher_data is not None
    assert ref.run_coordinator_data is not None
    coordinator = ref.run_coordinator_data.rehydrate(QueuedRunCoordinator)
    assert coordinator.get_run_queue_config().max_concurrent_runs == 8
    assert isinstance(ref.run_launcher_data.rehydrate(CloudRunLauncher), CloudRunLauncher)


def test_jobs_and_instance_agree_on_the_environment() -> None:
    asked = environment_of(instance_document())
    for file in JOBS:
        _, job = job_from_yaml(file.read_text())
        assert asked <= {each.name for each in job.template.template.containers[0].env}


def test_no_secret_stands_in_a_deployed_file() -> None:
    for file in [*JOBS, INSTANCE, ROOT / "Dockerfile"]:
        assert not re.search(r"://\w+:(?!password)[^@\s]+@|PRIVATE KEY|AKIA|ya29\.", file.read_text()), file.name


def test_the_image_installs_what_is_locked_without_development_packages_and_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text()
    syncs = re.findall(r"uv sync .*", text)
    assert syncs
    assert all("--frozen" in each and "--no-dev" in each for each in syncs)
    final = text.split("FROM ${PYTHON_IMAGE}\n")[1]
    assert re.search(r"^USER \d+$", final, re.MULTILINE)
    assert "pip" not in final


def test_the_image_gets_nothing_but_what_it_copies() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    }
    assert copied == {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
