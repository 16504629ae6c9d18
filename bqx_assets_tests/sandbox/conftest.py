"""One warehouse of two pairs for all tests of the sandbox: tests that only read share it, others get a copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.sandbox.create import create_warehouse


@pytest.fixture(scope="session")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 tables each of eurusd and gbpusd with 3,100 rows, a few more than the longest window; not to be changed."""
    folder = tmp_path_factory.mktemp("two-pairs") / "warehouse"
    pairs = [parse_pair("eurusd"), parse_pair("gbpusd")]
    create_warehouse(folder, pairs=pairs, rows=3_100, tables=24, seed=1, rates=None, progress=Silent())
    return folder


def linked(source: Path, target: Path) -> Path:
    """A copy by hard links: the sandbox replaces files and never writes into one."""
    return Path(shutil.copytree(source, target, copy_function=os.link))
