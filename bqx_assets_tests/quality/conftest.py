"""The good file that all tests of this folder start from, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets_tests.quality.training import Training, good


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Do not change its file."""
    folder: Path = tmp_path_factory.mktemp("good")
    return good(folder)
