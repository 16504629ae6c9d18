"""From a training file to its report.

Belongs here: one pass, all rules, time and memory. Does not: reading (``reading``), judging (``rules``).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.quality.reading import read_file
from bqx_assets.quality.report import Report
from bqx_assets.quality.rules import RULES


def validate(
    file: Path,
    pair: Pair,
    expectations: Expectations,
    *,
    manifest: Manifest | None,
    deep: bool = True,
    progress: Progress,
) -> Report:
    """Return the verdicts of all rules that what was read gives something to judge by; a bad file raises nothing.

    ``deep``: decode every value and check every byte; otherwise the footer and its statistics only.
    **Cost**: see :func:`read_file`; the report says seconds and peak memory.
    """
    started = time.monotonic()
    with PeakMemory() as memory:
        scan = read_file(file, pair, expectations, manifest, deep=deep, progress=progress)
        verdicts = [verdict for rule in RULES if (verdict := rule.verdict(scan)) is not None]
    judged = {verdict.rule for verdict in verdicts}
    return Report(
        pair=pair.name,
        file=str(file),
        rows=scan.rows,
        columns=len(scan.columns),
        deep=deep,
        created_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        peak_bytes=memory.peak_bytes,
        verdicts=tuple(verdicts),
        not_checked=tuple(rule.name for rule in RULES if rule.name not in judged),
    )
