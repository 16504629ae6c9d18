"""Reading some columns of a training file as measured calls, one for each reader; columns are spread over the file."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import polars as pl
import pyarrow.dataset  # noqa: F401  # pyright: ignore[reportUnusedImport] -- pq.read_table would import it, and pandas
import pyarrow.parquet as pq


def by_polars(file: str, columns: str) -> int:
    """Read ``columns`` columns with Polars; return their number."""
    return pl.read_parquet(file, columns=spread(pl.read_parquet_schema(file), int(columns))).width


def by_pyarrow(file: str, columns: str) -> int:
    """Read the same columns with pyarrow."""
    return pq.read_table(file, columns=spread(pq.read_schema(file).names, int(columns))).num_columns


def by_duckdb(file: str, columns: str) -> int:
    """Read the same columns with DuckDB, as an Arrow table."""
    with duckdb.connect() as connection:
        names = [str(row[0]) for row in connection.sql(f"DESCRIBE SELECT * FROM '{file}'").fetchall()]  # noqa: S608 -- our own file
        chosen = ", ".join(f'"{name}"' for name in spread(names, int(columns)))
        return connection.sql(f"SELECT {chosen} FROM '{file}'").to_arrow_table().num_columns  # noqa: S608 -- our own file


def spread(names: Iterable[str], count: int) -> list[str]:
    """Return ``count`` of the names, spread evenly."""
    every = list(names)
    return every[:: max(1, len(every) // count)][:count]
