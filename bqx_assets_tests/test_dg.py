"""Dagster's own command line works in a checkout, by ``[tool.dg]``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DG = Path(sys.executable).with_name("dg")


def _dg(*words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    done = subprocess.run([str(DG), *words], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_definitions_are_checked_by_dg() -> None:
    assert "All definitions loaded successfully." in _dg("check", "defs")


def test_dg_lists_assets_checks_and_jobs() -> None:
    found = json.loads(_dg("list", "defs", "--json"))
    assert {"targets_spine", "published_training_file"} <= {each["asset_key"] for each in found["assets"]}
    assert {"assets", "asset_checks", "jobs", "schedules", "sensors"} <= found.keys()
