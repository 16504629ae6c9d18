"""The good file that all tests of this folder start from, made once, and the strict Cloud Storage server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets_tests.quality.training import Training, good
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store

__all__ = ["gcs", "gcs_process", "gcs_store", "training"]


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The good file; tests must not change it."""
    folder: Path = tmp_path_factory.mktemp("good")
    return good(folder)


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The same rows in three periods, each a row group; tests must not change the file."""
    return good(tmp_path_factory.mktemp("grouped"), period="month")
