"""Uses of a file of many columns and row groups as measured calls, by each reader, from a path or by HTTP ranges."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset  # pyright: ignore[reportUnusedImport] -- pq.read_table would import it, and pandas
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from benchmarks.child import peak_bytes
from benchmarks.range_server import RangeFiles
from benchmarks.selections import spread
from bqx_assets.base.names import KEY
from bqx_assets.merge.footer import read_footer


class Asked(NamedTuple):
    """What is read: a file, some of its columns (none: only the schema) and a time range (none: all rows)."""

    place: str
    columns: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


def _by_polars(asked: Asked) -> int:
    frame = pl.scan_parquet(asked.place)
    if not asked.columns:
        return len(frame.collect_schema())
    if asked.since is not None:
        frame = frame.filter(pl.col(KEY).is_between(asked.since, asked.until, closed="left"))
    return frame.select(asked.columns).collect().height


def _by_pyarrow(asked: Asked) -> int:
    place, filesystem = asked.place, None
    if place.startswith("http:"):
        address = urlsplit(place)
        filesystem = pafs.S3FileSystem(anonymous=True, endpoint_override=address.netloc, scheme="http", region="none")
        place = f"bucket{address.path}"
    if not asked.columns:
        return len(pq.read_schema(place, filesystem=filesystem))
    rows: Any = None
    if asked.since is not None and asked.until is not None:
        since, until = pa.array([asked.since, asked.until])
        rows = (pc.field(KEY) >= since) & (pc.field(KEY) < until)
    return pq.read_table(place, columns=list(asked.columns), filters=rows, filesystem=filesystem).num_rows


def _by_duckdb(asked: Asked) -> int:
    place = asked.place.replace("http:", "range:")
    with duckdb.connect() as connection:
        if place != asked.place:
            connection.register_filesystem(cast("Any", RangeFiles()))
        if not asked.columns:
            return len(connection.sql(f"DESCRIBE SELECT * FROM '{place}'").fetchall())  # noqa: S608 -- our own file
        names = ", ".join(f'"{name}"' for name in asked.columns)
        where = "" if asked.since is None else f"WHERE {KEY} >= '{asked.since}' AND {KEY} < '{asked.until}'"
        return connection.sql(f"SELECT {names} FROM '{place}' {where}").to_arrow_table().num_rows  # noqa: S608


def _by_the_product(asked: Asked) -> int:
    return len(read_footer(Path(asked.place)).leaves)


READERS: dict[str, Callable[[Asked], int]] = {
    "Polars": _by_polars,
    "pyarrow": _by_pyarrow,
    "DuckDB": _by_duckdb,
    "the product": _by_the_product,
}


def read(reader: str, place: str, columns: str, since: str, until: str, rounds: str) -> dict[str, Any]:
    """Read ``rounds`` times with one of ``READERS``; return medians, the memory that it took, and the rows.

    ``columns``: a file with their names as JSON, or nothing: then the result is the number of columns in the schema.
    ``since`` and ``until``: in ISO's form, or nothing.
    """
    names = tuple(json.loads(Path(columns).read_text())) if columns else ()
    times = [datetime.fromisoformat(each) if each else None for each in (since, until)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here on
    before_bytes = peak_bytes()
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    found = 0
    for _ in range(int(rounds)):
        cpu, began = time.process_time(), time.perf_counter()
        found = READERS[reader](Asked(place, names, *times))
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu)
    return {
        "result": found,
        "seconds": statistics.median(seconds),
        "cpu_seconds": statistics.median(cpu_seconds),
        "peak_bytes": peak_bytes() - before_bytes,
    }


def write_names(names: Iterable[str], count: int, path: Path) -> Path:
    """Write the key's name and ``count`` of the others, spread evenly, as ``read`` takes them."""
    path.write_text(json.dumps([KEY, *spread((name for name in names if name != KEY), count)]))
    return path
