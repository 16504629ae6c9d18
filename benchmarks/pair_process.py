"""Runs the whole pair in this one process for ``benchmarks.pair``, and announces each stage as it begins.

``python -m benchmarks.pair_process ADDRESS TABLES ROWS HOME OUTPUT``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

import pyarrow.parquet as pq

from benchmarks.child import peak_bytes
from benchmarks.folders import PAIR
from benchmarks.served import ServedWarehouse, home_of, job
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.open_store import open_store
from bqx_assets.extract import table
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.pair import extract_features, extract_spine
from bqx_assets.pipeline import Pipeline
from bqx_assets.release.publish import publish


class Steps:
    """The seconds of all worker threads in each step of extraction."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self._lock = threading.Lock()

    def watch(self, owner: object, name: str, step: str) -> None:
        """Measure every call of ``owner.name`` from now on."""
        inner: Callable[..., Any] = getattr(owner, name)

        @wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- whatever the step takes and gives
            began = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                with self._lock:
                    self.seconds[step] += time.perf_counter() - began

        setattr(owner, name, timed)


def tell(stage: str, **facts: object) -> None:
    """Announce a stage, and wait until the counts before it are taken."""
    print(json.dumps({"stage": stage, "cpu_seconds": sum(os.times()[:4]), "facts": facts}), flush=True)
    sys.stdin.readline()


def main() -> None:
    """Run the stages of the pair one after another."""
    address, tables, rows, home, output = sys.argv[1:]
    steps = Steps()
    steps.watch(table, "read_frame", "read, decode")
    steps.watch(table, "align", "align")
    steps.watch(LookaheadDetector, "find_all", "look for columns that are the future")
    steps.watch(pq.ParquetWriter, "write_table", "encode")
    steps.watch(GcsObjectStore, "put_file", "upload slabs")
    steps.watch(GcsObjectStore, "put_bytes", "upload records")
    tell("spine")
    settings = home_of(home, output)
    warehouse = ServedWarehouse(address, int(tables), int(rows))
    work = job(warehouse, settings, int(tables), int(rows), Pipeline(settings).slabs(PAIR))
    extract_spine(work)
    steps.seconds.clear()
    tell("features: read, align, encode, upload")
    extract_features(work)
    tell("plan: all slabs' footers", steps=dict(steps.seconds))
    store = open_store(settings)
    pipeline = Pipeline(settings)
    plan = pipeline.plan_merge(PAIR)
    tell("compose")
    manifest = pipeline.merge_planned(plan).manifest
    del plan
    tell("validate, deep, by range reads")
    made = pipeline.merged(PAIR)
    report = made.validate(manifest, work.expectations, Silent())
    verdicts = {verdict.rule: verdict.passed for verdict in report.verdicts}
    failed = {verdict.rule: verdict.got for verdict in report.verdicts if not verdict.passed}
    tell("publish", verdicts=len(verdicts), failed=failed)
    published = publish(made.file, manifest, report, store, progress=Silent(), expectations=work.expectations)
    facts = {"rows": manifest.file.rows, "columns": manifest.file.columns, "size_bytes": published.size_bytes}
    tell("", peak_bytes=peak_bytes(), uri=published.uri, **facts)


if __name__ == "__main__":
    main()
