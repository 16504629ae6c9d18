"""Uses of a file of many columns and row groups as measured calls, by each reader, from a path or by HTTP ranges.

A reader may be told options: ``READERS`` names each reader with what it does by default, ``VARIANTS`` the same readers
with one option changed.
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from benchmarks.child import peak_bytes
from benchmarks.range_server import RangeFiles
from benchmarks.selections import spread
from bqx_assets.base.frame_files import scan_open_parquet
from bqx_assets.base.names import KEY
from bqx_assets.merge.footer import read_end, read_footer
from bqx_assets.quality.stored_file import Source
from bqx_assets.training import bucket_scan

_MB = 1 << 20
BATCH_ROWS = 1_024
"""Rows of a batch where a file is streamed: 140 MB of 17,038 columns."""


class Asked(NamedTuple):
    """What is read: a file, some of its columns (none: only the schema) and a time range (none: all rows).

    ``batches``: not as one table, but in batches of about ``BATCH_ROWS`` rows, of which none is kept.
    """

    place: str
    columns: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    batches: bool = False


Reader = Callable[[Asked], int]
"""Returns the number of rows that were read, or of columns in the schema."""


def _by_polars(asked: Asked, scan: Callable[[str], pl.LazyFrame] = pl.scan_parquet, *, streaming: bool = False) -> int:
    frame = scan(asked.place)
    if not asked.columns:
        return len(frame.collect_schema())
    if asked.since is not None:
        frame = frame.filter(pl.col(KEY).is_between(asked.since, asked.until, closed="left"))
    frame = frame.select(asked.columns)
    if asked.batches:
        return sum(batch.height for batch in frame.collect_batches(chunk_size=BATCH_ROWS, lazy=True))
    return frame.collect(engine="streaming" if streaming else "auto").height


class _Served:
    """A served file as ``load_training`` reads an object: by ranges of one version."""

    def __init__(self, place: str) -> None:
        self.name = place.replace("http:", "range:")
        self._files = RangeFiles()
        self.size_bytes = int(self._files.info(self.name)["size"])

    def read_same(self, start: int, length: int) -> bytes:
        """Return a range."""
        return self._files.fetched(self.name, start, start + length)


def _by_load_training(asked: Asked, requests: int = 16) -> int:
    """Read as ``load_training`` does once it has found file, manifest and dictionary."""
    bucket_scan._REQUESTS = requests  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- an option to be tried

    def scan(place: str) -> pl.LazyFrame:
        if not place.startswith("http:"):
            with Path(place).open("rb") as file:
                return scan_open_parquet(file)
        served = _Served(place)
        end = read_end(served.read_same, served.size_bytes, served.name)
        return bucket_scan.scan_object(cast("Source", served), end)

    return _by_polars(asked, scan)


def _narrowed(place: str) -> pl.LazyFrame:
    """Return a lazy frame that casts while it reads, as ``load_training(dtype=pl.Float32)``."""
    return pl.scan_parquet(place).cast({pl.Float64: pl.Float32})


def _of_arrow(place: str) -> tuple[str, pafs.FileSystem | None]:
    """Return a path and Arrow's file system; a URL is read by its client for S3, which sends the same requests."""
    if not place.startswith("http:"):
        return place, None
    address = urlsplit(place)
    filesystem = pafs.S3FileSystem(anonymous=True, endpoint_override=address.netloc, scheme="http", region="none")
    return f"bucket{address.path}", filesystem


def _arrow_rows(asked: Asked) -> pc.Expression | None:
    if asked.since is None or asked.until is None:
        return None
    since, until = pa.array([asked.since, asked.until])
    return (pc.field(KEY) >= since) & (pc.field(KEY) < until)


def _by_pyarrow(asked: Asked, table: Callable[..., pa.Table] = pq.read_table, *, io_threads: int = 0) -> int:
    if io_threads:
        pa.set_io_thread_count(io_threads)
    place, filesystem = _of_arrow(asked.place)
    if not asked.columns:
        return len(pq.read_schema(place, filesystem=filesystem))
    names = list(asked.columns)
    if asked.batches:
        with pq.ParquetFile(place, filesystem=filesystem) as file:
            return sum(batch.num_rows for batch in file.iter_batches(BATCH_ROWS, columns=names))
    return table(place, columns=names, filters=_arrow_rows(asked), filesystem=filesystem).num_rows


def _coalesced(
    place: str, *, columns: list[str], filters: pc.Expression | None, filesystem: pafs.FileSystem
) -> pa.Table:
    """Read with pyarrow's dataset, which then joins ranges that lie up to 1 MB apart."""
    cache = pa.CacheOptions(hole_size_limit=_MB, range_size_limit=32 * _MB)
    options = pads.ParquetFragmentScanOptions(pre_buffer=True, cache_options=cache)
    kind = pads.ParquetFileFormat(default_fragment_scan_options=options)
    return pads.dataset(place, filesystem=filesystem, format=kind).to_table(columns=columns, filter=filters)


def _by_row_groups(asked: Asked, *, pre_buffer: bool = True) -> int:
    """Read with pyarrow's ``ParquetFile`` those row groups that the key's statistics let through."""
    place, filesystem = _of_arrow(asked.place)
    with pq.ParquetFile(place, filesystem=filesystem, pre_buffer=pre_buffer) as file:
        key = file.schema_arrow.get_field_index(KEY)
        wanted = [
            group
            for group in range(file.num_row_groups)
            if _overlaps(file.metadata.row_group(group).column(key).statistics, asked)
        ]
        return file.read_row_groups(wanted, columns=list(asked.columns)).num_rows


def _overlaps(bounds: pq.Statistics | None, asked: Asked) -> bool:
    if bounds is None or asked.since is None or asked.until is None:
        return True
    low, high = cast("tuple[datetime, datetime]", (bounds.min, bounds.max))
    return high >= asked.since and low < asked.until


def _by_duckdb(asked: Asked, **settings: object) -> int:
    place = asked.place.replace("http:", "range:")
    with duckdb.connect(config={name: str(value) for name, value in settings.items()}) as connection:
        if place != asked.place:
            connection.register_filesystem(cast("Any", RangeFiles()))
        if not asked.columns:
            return len(connection.sql(f"DESCRIBE SELECT * FROM '{place}'").fetchall())  # noqa: S608 -- our own file
        names = ", ".join(f'"{name}"' for name in asked.columns)
        where = "" if asked.since is None else f"WHERE {KEY} >= '{asked.since}' AND {KEY} < '{asked.until}'"
        found = connection.sql(f"SELECT {names} FROM '{place}' {where}")  # noqa: S608
        if asked.batches:
            return sum(batch.num_rows for batch in found.to_arrow_reader(BATCH_ROWS))
        return found.to_arrow_table().num_rows


def _by_pandas(asked: Asked, backend: Literal["numpy_nullable", "pyarrow"] | None = None) -> int:
    import pandas as pd  # noqa: PLC0415 -- takes as long to import as all other readers; ``read`` does it before

    place, filesystem = _of_arrow(asked.place)
    words: dict[str, Any] = {"dtype_backend": backend} if backend else {}
    names = list(asked.columns)
    rows: Any = _arrow_rows(asked)
    return len(pd.read_parquet(place, columns=names, filters=rows, filesystem=filesystem, **words))


def _by_the_product(asked: Asked) -> int:
    return len(read_footer(Path(asked.place)).leaves)


READERS: dict[str, Reader] = {
    "Polars": _by_polars,
    "pyarrow": _by_pyarrow,
    "DuckDB": _by_duckdb,
    "pandas": _by_pandas,
    "load_training": _by_load_training,
    "the product": _by_the_product,
}
_SCANS = {
    "parallel=columns": partial(pl.scan_parquet, parallel="columns"),
    "parallel=row_groups": partial(pl.scan_parquet, parallel="row_groups"),
    "parallel=prefiltered": partial(pl.scan_parquet, parallel="prefiltered"),
    "parallel=none": partial(pl.scan_parquet, parallel="none"),
    "low_memory": partial(pl.scan_parquet, low_memory=True),
    "no statistics": partial(pl.scan_parquet, use_statistics=False),
    "no hive, no glob": partial(pl.scan_parquet, hive_partitioning=False, glob=False),
    "cast to Float32": _narrowed,
}
_TABLES = {
    "pre_buffer=False": partial(pq.read_table, pre_buffer=False),
    "use_threads=False": partial(pq.read_table, use_threads=False),
    "memory_map": partial(pq.read_table, memory_map=True),
    "holes of 1 MB": _coalesced,
}
_SETTINGS = {
    "threads=1": partial(_by_duckdb, threads=1),
    "threads=8": partial(_by_duckdb, threads=8),
    "threads=32": partial(_by_duckdb, threads=32),
    "order not kept": partial(_by_duckdb, preserve_insertion_order="false"),
}
VARIANTS: dict[str, dict[str, Reader]] = {
    "Polars": {
        **{name: partial(_by_polars, scan=scan) for name, scan in _SCANS.items()},
        "engine=streaming": partial(_by_polars, streaming=True),
    },
    "pyarrow": {
        **{name: partial(_by_pyarrow, table=table) for name, table in _TABLES.items()},
        "32 I/O threads": partial(_by_pyarrow, io_threads=32),
        "128 I/O threads": partial(_by_pyarrow, io_threads=128),
        "holes of 1 MB, 32 I/O threads": partial(_by_pyarrow, table=_coalesced, io_threads=32),
        "ParquetFile": _by_row_groups,
        "ParquetFile, pre_buffer=False": partial(_by_row_groups, pre_buffer=False),
    },
    "DuckDB": {**_SETTINGS},
    "load_training": {f"{n} requests": partial(_by_load_training, requests=n) for n in (4, 32, 64)},
    "pandas": {"dtype_backend=pyarrow": partial(_by_pandas, backend="pyarrow")},
}
"""The readers with one option changed, by reader."""


def read(reader: str, place: str, columns: str, span: str, rounds: str, batches: str = "") -> dict[str, Any]:
    """Read ``rounds`` times; return medians, the memory that it took, and the rows.

    ``reader``: one of ``READERS``, or one with its variant after a colon. ``columns``: a file with their names as JSON,
    or nothing: then the result is the number of columns in the schema. ``span``: its first moment and the one behind
    it in ISO's form, with a slash between them, or nothing. ``batches``: anything, to stream.
    """
    name, _, variant = reader.partition(": ")
    function = VARIANTS[name][variant] if variant else READERS[name]
    names = tuple(json.loads(Path(columns).read_text())) if columns else ()
    times = [datetime.fromisoformat(each) for each in span.split("/")] if span else [None, None]
    asked = Asked(place, names, *times, batches=bool(batches))
    if name == "pandas":
        importlib.import_module(name)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here on
    before_bytes = peak_bytes()
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    found = 0
    for _ in range(int(rounds)):
        cpu, began = time.process_time(), time.perf_counter()
        found = function(asked)
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
