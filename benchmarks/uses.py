"""Uses of a training file as measured calls: open it, read 50 columns, decode all, check it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from benchmarks.folders import PAIR
from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate

_AT_ONCE = 1_000
"""Columns per call when all are decoded, since Polars parses the whole footer again at each call."""


def open_polars(file: str) -> int:
    """Return the number of columns in Polars' schema."""
    return len(pl.read_parquet_schema(file))


def open_pyarrow(file: str) -> int:
    """Return the number of columns in Arrow's schema."""
    return len(pq.read_schema(file))


def read_50(file: str) -> int:
    """Read 50 columns, spread over the file."""
    names = list(pl.read_parquet_schema(file))
    return pl.read_parquet(file, columns=names[:: max(1, len(names) // 50)][:50]).width


def decode_all(file: str) -> int:
    """Decode every column once with Polars, and keep none."""
    names = list(pl.read_parquet_schema(file))
    groups = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    return sum(pl.read_parquet(file, columns=group).width for group in groups)


def shallow(file: str) -> int:
    """Check footer and statistics; return the number of verdicts."""
    return _validate(file, deep=False)


def deep(file: str) -> int:
    """Check all bytes by their checksum, and all values."""
    return _validate(file, deep=True)


def read_window(file: str, columns: str, days: str) -> int:
    """Read ``columns`` columns of the last ``days`` days, as a walk-forward trainer does; return the rows."""
    table = pl.scan_parquet(file)
    names = [name for name in table.collect_schema().names() if name != KEY]
    chosen = names[:: max(1, len(names) // int(columns))][: int(columns)]
    last = pl.read_parquet(file, columns=[KEY]).get_column(KEY)[-1]
    recent = table.filter(pl.col(KEY) > pl.lit(last).dt.offset_by(f"-{days}d"))
    return recent.select(KEY, *chosen).collect().height


def _validate(file: str, *, deep: bool) -> int:
    path = Path(file)
    manifest = Manifest.load(manifest_path(path))
    report = validate(StoredFile.at(path), PAIR, load_expectations(), manifest=manifest, deep=deep, progress=Silent())
    return len(report.verdicts)
