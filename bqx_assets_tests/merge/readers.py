"""The four readers that a training file must be read equal by, each giving a Polars frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import datafusion
import duckdb
import polars as pl
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as _parquet  # pyright: ignore[reportMissingTypeStubs]

arrow: Any = _parquet
arrow_table: Any = cast("Any", pa).table
polars: Any = pl
"""pyarrow.parquet has no types."""

Reader = Callable[[Path, Sequence[str]], pl.DataFrame]


def by_polars(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Polars."""
    return pl.read_parquet(path, columns=list(columns))


def by_pyarrow(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Arrow's C++ reader."""
    read = arrow.read_table(path, columns=list(columns))
    return cast("pl.DataFrame", polars.from_arrow(read))


def by_duckdb(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """DuckDB."""
    names = ", ".join(f'"{name}"' for name in columns)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        read = cast("Any", connection).sql(f"SELECT {names} FROM '{path}'")  # noqa: S608 -- our own names
        return cast("pl.DataFrame", polars.from_arrow(read.to_arrow_table()))


def by_datafusion(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """DataFusion: Rust's parquet crate, page indexes included."""
    frame = cast("Any", datafusion.SessionContext()).read_parquet(str(path))
    quoted = [datafusion.col(f'"{name}"') for name in columns]
    return cast("pl.DataFrame", polars.from_arrow(frame.select(*quoted).to_arrow_table()))


READERS: dict[str, Reader] = {
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "duckdb": by_duckdb,
    "datafusion": by_datafusion,
}
