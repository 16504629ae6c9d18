"""Spark and hyparquet, which need Java and Node.js: ``python -m bqx_assets_tests.merge.outside_readers`` installs them.

They go into ``.tools/readers`` and take 750 MB, so ``make test`` installs neither; where they are missing, their
tests are skipped and say so. ``make test-readers`` installs both and runs the tests of all readers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from bqx_assets_tests.merge.readers import Reader

ROOT = Path(__file__).parents[2] / ".tools" / "readers"
_SPARK = ("pyspark==4.3.0", "pyarrow==26.0.1", "pandas==2.3.3")
_HYPARQUET = ("hyparquet@1.33.0", "hyparquet-compressors@1.1.2")
SPARK_PYTHON = ROOT / "spark" / "bin" / "python"
_NODE_MODULES = ROOT / "node_modules"
_BOUND_SECONDS = 600


def by_spark(path: Path, columns: Sequence[str], *, vectorized: bool) -> pl.DataFrame:
    """Spark, with its vectorized reader or with that of rows, which is the one of parquet-java."""
    with TemporaryDirectory() as folder:
        read = Path(folder, "read.arrow")
        _run(SPARK_PYTHON, Path(__file__).with_name("spark_reader.py"), path, read, str(vectorized).lower())
        return pl.read_ipc(read).select(columns)


def by_hyparquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """hyparquet, JavaScript's own reader, with its compressors."""
    program = Path(__file__).with_name("hyparquet_reader.mjs").read_text()
    with TemporaryDirectory() as folder:
        read = Path(folder, "read.jsonl")
        # Read from standard input, a module finds packages in the working directory.
        _run("node", "--input-type=module", "-", path, read, program=program)
        with read.open() as lines:
            found = [_series(*json.loads(line)) for line in lines]
    return pl.DataFrame(found).select(columns)


def _series(name: str, kind: str, values: list[str | bool | None]) -> pl.Series:
    """Return a column from whole numbers as texts: those of floats are their bits, those of times microseconds."""
    if kind in ("BYTE_ARRAY", "BOOLEAN"):
        return pl.Series(name, values, dtype=pl.String if kind == "BYTE_ARRAY" else pl.Boolean)
    numbers = pl.Series(name, values, dtype=pl.String).cast(pl.Int64)
    if kind == "TIMESTAMP_MICROS":
        return numbers.cast(pl.Datetime("us", "UTC"))
    if kind == "INT64":
        return numbers
    floats = pl.Series(name, numbers.fill_null(0).to_numpy().view(np.float64))
    return floats.zip_with(numbers.is_not_null(), pl.Series([None], dtype=pl.Float64))


OUTSIDE_READERS: dict[str, Reader] = {
    "spark, vectorized": partial(by_spark, vectorized=True),
    "spark, by rows": partial(by_spark, vectorized=False),
    "hyparquet": by_hyparquet,
}


def why_not(reader: str) -> str:
    """Return why one of ``OUTSIDE_READERS`` is not there, and what would change that; empty if it is there."""
    if reader == "hyparquet":
        program, package, installed = "node", "nodejs", all((_NODE_MODULES / name).is_dir() for name in _names())
    else:
        program, package, installed = "java", "default-jre-headless", SPARK_PYTHON.is_file()
    if shutil.which(program) is None:
        return f"no {program} on PATH (apt-get install {package})"
    return "" if installed else f"{reader} is not in .tools/readers (make test-readers)"


def install() -> None:
    """Install those readers that the machine has the program for; say what it lacks."""
    ROOT.mkdir(parents=True, exist_ok=True)
    if shutil.which("java"):
        uv = shutil.which("uv") or str(ROOT.parent / "uv" / "bin" / "uv")
        if not SPARK_PYTHON.is_file():
            _run(uv, "venv", "--quiet", "--python", sys.executable, SPARK_PYTHON.parents[1])
        _run(uv, "pip", "install", "--quiet", "--python", SPARK_PYTHON, *_SPARK)
    if shutil.which("node"):
        _run("npm", "install", "--silent", "--no-save", "--prefix", ROOT, *_HYPARQUET)
    for reader in OUTSIDE_READERS:
        sys.stdout.write(f"{reader}: {why_not(reader) or 'installed'}\n")


def _names() -> list[str]:
    return [package.partition("@")[0] for package in _HYPARQUET]


def _run(*words: str | Path, program: str | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        input=program,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}:\n{done.stderr[-4_000:]}"


if __name__ == "__main__":
    install()
