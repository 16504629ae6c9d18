"""Fixtures: a Cloud Run, and Dagster instances that launch on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from bqx_assets_tests.runtime.launcher.deployment import Deployment, storage
from bqx_assets_tests.servers.cloud_run.server import CloudRunServer


@pytest.fixture
def cloud_run() -> Iterator[CloudRunServer]:
    """A Cloud Run without jobs, whose containers are killed half a second after SIGTERM."""
    with CloudRunServer(grace_seconds=0.5) as server:
        yield server


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an instance without runs: making them takes more than 2 s, copying them 10 ms."""
    home = tmp_path_factory.mktemp("storage")
    (home / "dagster.yaml").write_text(yaml.safe_dump(storage(home)))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs()
    return home


@pytest.fixture
def deployment(cloud_run: CloudRunServer, empty_storage: Path, tmp_path: Path) -> Iterator[Deployment]:
    """An instance with run monitoring, whose launcher uses the Cloud Run above."""
    with Deployment(cloud_run, shutil.copytree(empty_storage, tmp_path / "dagster"), tmp_path) as made:
        yield made
