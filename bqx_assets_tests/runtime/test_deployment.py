"""``workspace.yaml``, ``dagster.yaml`` and ``dagster_cloud.yaml`` load what they name, by Dagster's own loaders."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

ROOT = Path(__file__).parents[2]


def _yaml(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_workspace_names_the_package_as_its_one_location() -> None:
    """``test_server.py`` serves it."""
    [origin] = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    assert isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin)
    assert origin.location_name == "bqx_assets"
    assert origin.loadable_target_origin.module_name == "bqx_assets.definitions"


def test_the_cloud_file_names_the_same_definitions_as_the_workspace() -> None:
    [location] = _yaml("dagster_cloud.yaml")["locations"]
    module = location["code_source"]["module_name"]
    [loaded] = _yaml("workspace.yaml")["load_from"]
    assert (module, location["location_name"]) == tuple(loaded["python_module"].values())
    definitions = importlib.import_module(module).defs()
    assert isinstance(definitions, dg.Definitions)
    assert (ROOT / location["build"]["directory"]).is_dir()


def test_the_cloud_file_is_of_dagsters_own_schema_and_gives_a_run_what_a_cloud_run_job_gives_it() -> None:
    load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text())
    [location] = _yaml("dagster_cloud.yaml")["locations"]
    docker = location["container_context"]["docker"]
    task = _yaml("deploy/job.yaml")["spec"]["template"]["spec"]["template"]["spec"]
    (container,) = task["containers"]
    # Cloud Run and the bucket of Dagster's logs have no part there; the shared tables' default is on.
    elsewhere = {"BQX_PROJECT", "BQX_REGION", "BQX_LOG_BUCKET", "BQX_STAGE_SHARED", "DAGSTER_POSTGRES_URL"}
    assert set(docker["env_vars"]) == {each["name"] for each in container["env"]} - elsewhere
    assert docker["container_kwargs"] == {"mem_limit": "2g", "memswap_limit": "2g"}
    assert container["resources"]["limits"]["memory"] == "2Gi"


@pytest.fixture
def instance_home(tmp_path: Path) -> Path:
    """A Dagster home with the repository's own dagster.yaml, as ``make ui`` has it."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    return tmp_path


def test_the_instance_queues_two_pairs_at_a_time_and_never_one_pair_twice(instance_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(instance_home)) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
        limits = {limit["key"]: limit for limit in queue.tag_concurrency_limits or ()}
        assert limits["dagster/partition"]["value"] == {"applyLimitPerUniqueValue": True}
        assert {limit["limit"] for limit in limits.values()} == {1}
        assert limits.keys() == {"dagster/partition", "bqx/memory_class"}


def test_the_instance_keeps_everything_in_its_home_and_tells_nobody(instance_home: Path) -> None:
    with dg.DagsterInstance.from_config(str(instance_home)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 3 * 60 * 60
        logs = instance.compute_log_manager
        assert type(logs).__name__ == "LocalComputeLogManager"
        assert Path(instance.root_directory) == instance_home
        assert type(instance.run_storage).__name__ == "SqliteRunStorage"
        assert (instance_home / "history").is_dir()


def test_the_file_at_the_root_is_the_one_the_package_carries() -> None:
    assert (ROOT / "dagster.yaml").read_bytes() == (ROOT / "bqx_assets" / "runtime" / "dagster.yaml").read_bytes()
