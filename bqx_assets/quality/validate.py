"""From a training file to its report.

Belongs here: one pass, all rules, time and memory. Does not: reading (``reading``), judging (``rules``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.limits import PeakMemory
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.quality.reading import STAGE, read_source
from bqx_assets.quality.report import Report
from bqx_assets.quality.rules import RULES
from bqx_assets.quality.scan import Scan
from bqx_assets.quality.source import Source, open_file, open_object


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
    **Cost**: see :func:`read_source`; the report says seconds and peak memory.
    """
    scan = Scan(pair, expectations, manifest, deep)
    return _report(partial(open_file, file), scan, str(file), progress)


def validate_object(  # noqa: PLR0913 -- as validate, and an object is named by two
    store: ObjectStore,
    name: str,
    pair: Pair,
    expectations: Expectations,
    *,
    manifest: Manifest | None,
    deep: bool = True,
    progress: Progress,
) -> Report:
    """Return the verdicts on an object, as :func:`validate` does on a file, without a copy of it anywhere.

    The store's own size and CRC32C are judged as well, in a shallow pass too. **Cost**: see :func:`read_source`.

    Raises:
        StoreError: the store could not deliver; that says nothing about the object.
        PreconditionFailed: the object was replaced meanwhile.
    """
    scan = Scan(pair, expectations, manifest, deep)
    return _report(partial(open_object, store, name), scan, store.uri(name), progress)


def _report(opened: Callable[[], Source | None], scan: Scan, name: str, progress: Progress) -> Report:
    started = time.monotonic()
    with PeakMemory() as memory, waiting(progress, STAGE, at_work("reading and judging the file")):
        read_source(opened, scan, progress=progress)
        verdicts = [verdict for rule in RULES if (verdict := rule.verdict(scan)) is not None]
    judged = {verdict.rule for verdict in verdicts}
    return Report(
        pair=scan.pair.name,
        file=name,
        rows=scan.rows,
        columns=len(scan.columns),
        deep=scan.deep,
        created_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        peak_bytes=memory.peak_bytes,
        verdicts=tuple(verdicts),
        expectations=scan.expectations.judged_by(scan.pair),
        not_checked=tuple(rule.name for rule in RULES if rule.name not in judged),
    )
