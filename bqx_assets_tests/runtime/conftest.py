"""One small warehouse for all tests of the graph; each test works in its own copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets_tests.runtime.homes import copy_home, make_home


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("runtime") / "home")


@pytest.fixture
def settings(small_home: Path, tmp_path: Path) -> Settings:
    return copy_home(small_home, tmp_path / "home")
