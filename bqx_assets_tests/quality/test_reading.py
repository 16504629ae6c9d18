"""One pass in bounded memory: a wide file is never held whole (lesson 10: a validator once took 35 GB)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from bqx_assets_tests.frames import minutes

ROWS, COLUMNS, GROUP_BYTES = 20_000, 2_000, 4 << 20
_VALIDATE = """
import sys
from pathlib import Path
from bqx_assets.base.limits import resident_bytes
from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality import reading
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD
reading.GROUP_BYTES = int(sys.argv[2])
read_footer(Path(sys.argv[1]))  # the first one loads libraries
before = resident_bytes()
report = validate(Path(sys.argv[1]), EURUSD, load_expectations(), manifest=None, progress=Silent())
print(report.rows, report.columns, report.peak_bytes - before)
"""


def test_peak_memory_follows_the_group_and_not_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(ROWS)
    frame = pl.DataFrame([minutes(ROWS), *(pl.Series(f"t__{i}", np.roll(values, i)) for i in range(COLUMNS))])
    frame.write_parquet(tmp_path / "wide.parquet", row_group_size=ROWS, compression="lz4")
    decoded_bytes = int(frame.estimated_size())
    done = subprocess.run(
        [sys.executable, "-c", _VALIDATE, str(tmp_path / "wide.parquet"), str(GROUP_BYTES)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=120,
    )
    rows, columns, grown_bytes = map(int, done.stdout.split())
    assert (rows, columns) == (ROWS, COLUMNS + 1)
    # Three groups at a time read, copied and decoded, another one judged; the footer, and what allocators keep.
    assert grown_bytes < 10 * GROUP_BYTES + (50 << 20) < decoded_bytes / 3
