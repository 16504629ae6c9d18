"""The readers of this environment that a training file must be read equal by, each giving a Polars frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import datafusion
import duckdb
import fastparquet  # pyright: ignore[reportMissingTypeStubs]
import pandas as pd
import polars as pl
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute as pc
import pyarrow.parquet as _parquet  # pyright: ignore[reportMissingTypeStubs]

from bqx_assets.base.names import KEY

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
    in_order = datafusion.SessionConfig().with_target_partitions(1)  # several read row groups in any order
    frame = cast("Any", datafusion.SessionContext(in_order)).read_parquet(str(path))
    quoted = [datafusion.col(f'"{name}"') for name in columns]
    return cast("pl.DataFrame", polars.from_arrow(frame.select(*quoted).to_arrow_table()))


def by_pandas(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """pandas, whose own engine is Arrow's reader."""
    read = cast("Any", pd).read_parquet(path, columns=list(columns), engine="pyarrow", dtype_backend="pyarrow")
    return cast("pl.DataFrame", polars.from_pandas(read))


def by_fastparquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """fastparquet, pandas' other engine: nulls of floats are NaN, times have no zone."""
    with path.open("rb") as file:  # opened by itself, the file is left open
        read = cast("Any", fastparquet).ParquetFile(file).to_pandas(columns=list(columns))
    frame = cast("pl.DataFrame", polars.from_pandas(read, nan_to_null=False))
    return frame.with_columns(pl.col(pl.Datetime).dt.cast_time_unit("us").dt.replace_time_zone("UTC"))


READERS: dict[str, Reader] = {
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "duckdb": by_duckdb,
    "datafusion": by_datafusion,
    "pandas": by_pandas,
}


Filter = Callable[[Path, str], pl.DataFrame]


def _polars_where(path: Path, flag: str, *, engine: Literal["in-memory", "streaming"]) -> pl.DataFrame:
    return pl.scan_parquet(path).filter(pl.col(flag)).collect(engine=engine)


def _pyarrow_where(path: Path, flag: str) -> pl.DataFrame:
    return cast("pl.DataFrame", polars.from_arrow(arrow.read_table(path, filters=pc.field(flag))))


def _duckdb_where(path: Path, flag: str) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        read = cast("Any", connection).sql(f"SELECT * FROM '{path}' WHERE {flag}")  # noqa: S608 -- our own names
        return cast("pl.DataFrame", polars.from_arrow(read.to_arrow_table()))


def _datafusion_where(path: Path, flag: str) -> pl.DataFrame:
    settings = datafusion.SessionConfig().with_target_partitions(1)
    pushed_down = settings.set("datafusion.execution.parquet.pushdown_filters", "true")
    frame = cast("Any", datafusion.SessionContext(pushed_down)).read_parquet(str(path))
    return cast("pl.DataFrame", polars.from_arrow(frame.filter(datafusion.col(f'"{flag}"')).to_arrow_table()))


FILTERS: dict[str, Filter] = {
    "polars": partial(_polars_where, engine="in-memory"),
    "polars, streaming": partial(_polars_where, engine="streaming"),
    "pyarrow": _pyarrow_where,
    "duckdb": _duckdb_where,
    "datafusion": _datafusion_where,
}
"""The readers, asked for the rows where a column is true: some decode only these rows of the other columns."""


Between = Callable[[Path, datetime, datetime], pl.DataFrame]


def _polars_between(
    path: Path, since: datetime, until: datetime, *, engine: Literal["in-memory", "streaming"]
) -> pl.DataFrame:
    return pl.scan_parquet(path).filter(pl.col(KEY).is_between(since, until, closed="left")).collect(engine=engine)


def _pyarrow_between(path: Path, since: datetime, until: datetime) -> pl.DataFrame:
    read = arrow.read_table(path, filters=[(KEY, ">=", since), (KEY, "<", until)])
    return cast("pl.DataFrame", polars.from_arrow(read))


def _duckdb_between(path: Path, since: datetime, until: datetime) -> pl.DataFrame:
    return _duckdb_where(path, f"{KEY} >= '{since}' AND {KEY} < '{until}'")


def _datafusion_between(path: Path, since: datetime, until: datetime) -> pl.DataFrame:
    settings = datafusion.SessionConfig().with_target_partitions(1)
    frame = cast("Any", datafusion.SessionContext(settings)).read_parquet(str(path))
    key = cast("Any", datafusion.col(KEY))
    return cast("pl.DataFrame", polars.from_arrow(frame.filter(key >= since, key < until).to_arrow_table()))


BETWEEN: dict[str, Between] = {
    "polars": partial(_polars_between, engine="in-memory"),
    "polars, streaming": partial(_polars_between, engine="streaming"),
    "pyarrow": _pyarrow_between,
    "duckdb": _duckdb_between,
    "datafusion": _datafusion_between,
}
"""The readers, asked for the rows of a time range."""
