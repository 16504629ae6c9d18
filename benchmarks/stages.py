"""The stages of a pair without Dagster, as measured calls: one after another, or each by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.folders import PAIR
from bqx_assets.base.settings import PeriodUnit, Settings
from bqx_assets.pipeline import Pipeline


def settings_of(home: str, period: PeriodUnit = "none", workers: str = "0") -> Settings:
    """Return the settings of a home whose warehouse lies in it."""
    return Settings(home=Path(home), period=period, workers=int(workers))


def extract(home: str, period: PeriodUnit = "none", workers: str = "0") -> int:
    """Extract all tables; return their number."""
    return len(Pipeline(settings_of(home, period, workers)).extract(PAIR).slabs)


def extract_anew(home: str, period: PeriodUnit = "none") -> int:
    """Extract all tables after the slabs of an earlier run are removed; return their number."""
    settings = settings_of(home, period)
    shutil.rmtree(settings.checkpoint_dir, ignore_errors=True)
    return extract(home, period)


def splice(home: str, period: PeriodUnit = "none") -> int:
    """Merge the slabs; return the size of the file."""
    return Pipeline(settings_of(home, period)).merge(PAIR).manifest.file.size_bytes


def check(home: str) -> list[str]:
    """Check the file deeply; return the rules that failed."""
    report = Pipeline(settings_of(home)).validate(PAIR)
    return [verdict.rule for verdict in report.verdicts if not verdict.passed]


def whole(home: str) -> str:
    """Extract, merge, check, publish; return where it was published."""
    pipeline = Pipeline(settings_of(home))
    pipeline.extract(PAIR)
    pipeline.merge(PAIR)
    return pipeline.publish(PAIR).published.uri
