"""A pair's stages without Dagster, as measured calls: one after another, or each by itself.

Belongs here: one function a stage, arguments as texts. Does not: timing.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.folders import PAIR
from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.choose import open_store
from bqx_assets.extract.connect import connect, load_own_expectations
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.report import Report
from bqx_assets.quality.validate import validate
from bqx_assets.release.publish import publish


def settings_of(home: str, row_groups: str = "0", workers: str = "0") -> Settings:
    """Return the settings of a home whose warehouse lies in it."""
    return Settings(home=Path(home), row_group_rows=int(row_groups), workers=int(workers))


def extract(home: str, row_groups: str = "0", workers: str = "0") -> int:
    """Extract all tables; return how many."""
    settings = settings_of(home, row_groups, workers)
    warehouse, expectations = connect(settings)
    folder = settings.checkpoint_dir / PAIR.name
    return len(extract_pair(Extraction(PAIR, warehouse, folder, settings, expectations, Silent())).slabs)


def splice(home: str, row_groups: str = "0") -> int:
    """Merge the slabs; return the file's bytes."""
    settings = settings_of(home, row_groups)
    plan = plan_merge(PAIR, settings.checkpoint_dir / PAIR.name, settings)
    return merge(plan, settings.training_file(PAIR), progress=Silent()).file.size_bytes


def check(home: str) -> list[str]:
    """Check the file deeply; return the rules that failed."""
    return [verdict.rule for verdict in _report(settings_of(home)).verdicts if not verdict.passed]


def whole(home: str) -> str:
    """Extract, merge, check, publish; return where it was published."""
    settings = settings_of(home)
    extract(home)
    splice(home)
    file = settings.training_file(PAIR)
    manifest = Manifest.load(manifest_path(file))
    return publish(file, manifest, _report(settings), open_store(settings), progress=Silent()).uri


def _report(settings: Settings) -> Report:
    file = settings.training_file(PAIR)
    manifest = Manifest.load(manifest_path(file))
    return validate(file, PAIR, load_own_expectations(settings), manifest=manifest, progress=Silent())
