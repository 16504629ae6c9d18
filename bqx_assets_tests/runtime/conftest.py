"""One small warehouse for all tests of the graph; each test works in its own copy."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from bqx_assets.base.settings import Settings
from bqx_assets_tests.runtime.homes import copy_home, make_home, run_graph


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("runtime") / "home")


@pytest.fixture
def settings(small_home: Path, tmp_path: Path) -> Settings:
    return copy_home(small_home, tmp_path / "home")


@pytest.fixture(scope="session")
def done(small_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dg.ExecuteInProcessResult]:
    """A home whose pair went through the graph once, and that run; tests must not change it."""
    settings = copy_home(small_home, tmp_path_factory.mktemp("done") / "home")
    return settings, run_graph(settings)


@pytest.fixture
def published(done: tuple[Settings, dg.ExecuteInProcessResult], tmp_path: Path) -> Settings:
    """A home of its own whose pair went through the graph once."""
    return copy_home(done[0].home, tmp_path / "published")
