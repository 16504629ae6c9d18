"""A warehouse of the widest table, and a pair extracted from it in a container whose files are memory.

Belongs here: what the test of a container's memory and ``benchmarks.memory`` share. Does not: what must come out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables, targets_table
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.sandbox.batches import write_table
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.servers.cloud_run.memory import memory_cap
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

_CHILD = """
from bqx_assets.base.pairs import parse_pair
from bqx_assets.extract.pair import extract_pair
from bqx_assets.pipeline import Pipeline
print(extract_pair(Pipeline().extraction(parse_pair("eurusd"))).spine.rows)
"""


def _noise(name: str, kind: str, rows: int, rng: np.random.Generator, digits: int = 17) -> pl.Series:
    if kind == "STRING":
        return pl.Series(name, ["constant"]).new_from_index(0, rows)
    if kind == "INT64":
        return pl.Series(name, rng.integers(min(1 << 62, 10**digits), size=rows))
    return pl.Series(name, rng.standard_normal(rows).round(digits))


def wide_warehouse(root: Path, rows: int, others: int = 0) -> None:
    """The targets, a table of 232 columns, in which no value repeats, and ``others`` of three digits."""
    tables = expected_tables(EURUSD)
    widest = max(tables, key=lambda table: len(table.columns))
    usual = [table for table in tables if table != widest]
    chosen = [widest, *(usual[number * len(usual) // others] for number in range(others))]
    rng = np.random.default_rng(7)
    keys = pl.Series(KEY, range(rows)).cast(pl.Int64) * 60_000_000
    key = keys.cast(pl.Datetime("us", "UTC"))
    names = [f"target_bqx{w}_h{h}" for w in (45, 90, 180, 360, 720, 1440, 2880) for h in range(15, 120, 15)]
    for dataset in (TARGETS_DATASET, FEATURES_DATASET):
        (root / dataset).mkdir(parents=True)
    targets = [pl.Series(name, rng.standard_normal(rows)) for name in names]
    write_table(table_path(root, TARGETS_DATASET, targets_table(EURUSD)), pl.DataFrame([key, *targets]))
    del targets
    for table in chosen:
        digits = 17 if table == widest else 3
        columns = [_noise(*column, rows, rng, digits) for column in table.columns]
        write_table(table_path(root, FEATURES_DATASET, table.table), pl.DataFrame([key, *columns]))
    absent = [each.table for each in tables if each not in chosen]
    text = "[known_absent]\n" + "".join(f'{name} = "not part of this test"\n' for name in absent)
    (root / EXPECTATIONS_FILE).write_text(text)


def extract_capped(
    warehouse: Path, files: Path, gcs: GcsServer, limit_bytes: int, **variables: str
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Extract the pair under a limit that counts ``files``; return how it ended, and the most that was in use."""
    cap = memory_cap(limit_bytes, files)
    environment = {"HOME": str(files), "TMPDIR": str(files), "BQX_HOME": str(files), "CLOUD_RUN_JOB": "bqx-pair"}
    environment |= {"BQX_WAREHOUSE": str(warehouse), "STORAGE_EMULATOR_HOST": gcs.url}
    environment |= {"BQX_OUTPUT": f"gs://{BUCKET}", "PATH": os.environ["PATH"], **variables}
    command = cap.wrapped([sys.executable, "-c", _CHILD])
    try:
        done = subprocess.run(
            command, env=environment, cwd=Path.cwd(), capture_output=True, text=True, check=False, timeout=900
        )
        return done, cap.peak_bytes()
    finally:
        cap.close()


def emptied(files: Path) -> None:
    """Remove a folder in memory with all that is in it."""
    for left in sorted(files.rglob("*"), reverse=True):
        left.unlink() if left.is_file() else left.rmdir()
    files.rmdir()
