"""Homes with a real embedded warehouse, and runs of the real graph in this process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.runtime.automation import pair_job
from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.in_process import terminal_logging
from bqx_assets.runtime.keys import PUBLISHED, SLABS, SPINE, TRAINING
from bqx_assets.runtime.workspace import Workspace
from bqx_assets.sandbox.create import create_warehouse

ROWS = 3_600
"""The longest window and horizon together are 2,985 rows: fewer would leave targets without a value."""
STAGES = (SPINE, SLABS, TRAINING, PUBLISHED)


def make_home(root: Path, *, pairs: Sequence[str] = ("eurusd",), tables: int = 6) -> Path:
    """A home whose warehouse holds a few tables of ``pairs``."""
    create_warehouse(
        root / "warehouse",
        pairs=[parse_pair(pair) for pair in pairs],
        rows=ROWS,
        tables=tables,
        seed=1,
        rates=None,
        progress=Silent(),
    )
    return root


def copy_home(home: Path, to: Path) -> Settings:
    """Settings of a home of its own with the same warehouse: its tables keep their times, so they stay unchanged."""
    shutil.copytree(home, to)
    return Settings(home=to)


def run_graph(
    settings: Settings,
    pair: str = "eurusd",
    *,
    job: str = pair_job.name,
    selection: Sequence[dg.AssetKey] = (),
    instance: dg.DagsterInstance | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """The job's run of a pair in memory; a failure is in the result."""
    definitions = build_definitions(Workspace.of(settings))
    with dg.DagsterInstance.ephemeral() as own:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance or own,
            tags=tags,
            partition_key=pair,
            raise_on_error=False,
            asset_selection=list(selection) or None,
            run_config=terminal_logging("CRITICAL"),
        )


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """Names of the checks that did not pass."""
    return {each.check_name for each in result.get_asset_check_evaluations() if not each.passed}


def materialised(result: dg.ExecuteInProcessResult) -> list[dg.AssetKey]:
    """Assets in the order they were made."""
    return [event.materialization.asset_key for event in result.get_asset_materialization_events()]


def step_metadata(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dict[str, object]:
    """What an asset's materialisation says of itself, plain."""
    for event in result.get_asset_materialization_events():
        if event.materialization.asset_key == asset:
            return {name: value.value for name, value in event.materialization.metadata.items()}
    raise AssertionError(f"{asset} was not made")
