"""The merges that ``benchmarks.merge`` compares: ours, a copy as the lower limit, and what a user would write instead.

Each is a function of (folder, output) as texts. All write zstd at level 1 in one row group, but for those whose names
end in ``by_default``: these write as Polars does if it is told nothing, which is zstd at level 3.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.folders import PAIR, TARGETS
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile


def splice(folder: str, output: str) -> None:
    """Do all that ``bqx merge`` does, with slabs or raw checkpoints: plan, pre-flight, splice, fsync, manifest."""
    merge(
        plan_merge(PAIR, working_folder(Path(folder)), Settings()),
        *StoredFile.at(Path(output)),
        engine="splice",
        progress=Silent(),
    )


def raw_merge(folder: str, output: str) -> None:
    """Do the same with raw checkpoints, under a name of its own."""
    splice(folder, output)


def cat(folder: str, output: str) -> None:
    """Run ``cat`` of all pieces into ``output``."""
    files = sorted(str(path) for path in Path(folder).rglob("*.parquet"))
    with Path(output).open("wb") as out:
        subprocess.run(["/bin/cat", *files], stdout=out, check=True)


def cat_synced(folder: str, output: str) -> None:
    """Run ``cat`` and fsync, which makes the file as durable as the splice's output."""
    cat(folder, output)
    handle = os.open(output, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def decode_encode(folder: str, output: str, level: int | None = 1) -> dict[str, float]:
    """Decode every raw table and encode its aligned columns with Polars, which no merge of raw files can avoid.

    The alignment is not measured: the aligned columns come from the slabs beside the folder. Returns bytes written.
    """
    cost = {"result": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}
    for path in _tables(folder, TARGETS):
        with _added_to(cost):
            pl.read_parquet(path)
        stem = f"{TARGETS}_{PAIR}" if path.stem == TARGETS else path.stem
        aligned = pl.read_parquet(sorted((Path(folder).parent / "slabs" / stem).glob("*.parquet"))).rechunk()
        with _added_to(cost):
            aligned.write_parquet(output, compression="zstd", compression_level=level, row_group_size=aligned.height)
        cost["result"] += Path(output).stat().st_size
        Path(output).unlink()
    return cost


def decode_encode_by_default(folder: str, output: str) -> dict[str, float]:
    """Do the same with Polars' default compression."""
    return decode_encode(folder, output, level=None)


def eager_joins(folder: str, output: str, level: int | None = 1) -> None:
    """Chain eager left joins, as the users do today."""
    merged = pl.read_parquet(Path(folder, f"{TARGETS}.parquet"))
    for path in _tables(folder):
        merged = merged.join(pl.read_parquet(path).rename(_names(path)), on=KEY, how="left")
    merged.write_parquet(output, compression="zstd", compression_level=level, row_group_size=merged.height)


def eager_joins_by_default(folder: str, output: str) -> None:
    """Do the same with Polars' default compression."""
    eager_joins(folder, output, level=None)


def lazy_joins(folder: str, output: str) -> None:
    """Chain left joins in a lazy plan that is streamed into the file."""
    merged = pl.scan_parquet(Path(folder, f"{TARGETS}.parquet"))
    for path in _tables(folder):
        table = pl.scan_parquet(path).rename(_names(path))
        merged = merged.join(table, on=KEY, how="left", maintain_order="left")
    _sink(merged, folder, output)


def horizontal_concat(folder: str, output: str) -> None:
    """Join each table to the spine lazily, and put all of them side by side."""
    spine = pl.scan_parquet(Path(folder, f"{TARGETS}.parquet"))
    parts = [spine]
    for path in _tables(folder):
        table = pl.scan_parquet(path).rename(_names(path))
        parts.append(spine.select(KEY).join(table, on=KEY, how="left", maintain_order="left").drop(KEY))
    _sink(pl.concat(parts, how="horizontal"), folder, output)


def duckdb_joins(folder: str, output: str) -> None:
    """Join all tables by one SQL statement of DuckDB, with two threads and 10 GB before it spills to disk."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit='10GB'; SET temp_directory='{output}.spill'; SET threads=2")
    columns, joins = ["spine.*"], [f"FROM '{Path(folder, TARGETS)}.parquet' AS spine"]
    for number, path in enumerate(_tables(folder)):
        columns += [f't{number}."{old}" AS "{new}"' for old, new in _names(path).items()]
        joins.append(f"LEFT JOIN '{path}' AS t{number} ON t{number}.{KEY} = spine.{KEY}")
    query = f"SELECT {', '.join(columns)} {' '.join(joins)} ORDER BY spine.{KEY}"
    rows = _rows(folder)
    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {rows}"
    connection.execute(f"COPY ({query}) TO '{output}' ({options})")


def pyarrow_joins(folder: str, output: str) -> None:
    """Chain left joins of Arrow tables, and sort at the end, because these joins keep no order."""
    merged: pa.Table = pq.read_table(Path(folder, f"{TARGETS}.parquet"))
    for path in _tables(folder):
        names = _names(path)
        table = pq.read_table(path)
        table = table.rename_columns([names.get(name, name) for name in table.column_names])
        merged = merged.join(table, keys=KEY, join_type="left outer")
    merged = merged.sort_by(KEY)
    pq.write_table(merged, output, compression="zstd", compression_level=1, row_group_size=merged.num_rows)


@contextmanager
def _added_to(cost: dict[str, float]) -> Generator[None]:
    cpu, began = time.process_time(), time.perf_counter()
    yield
    cost["seconds"] += time.perf_counter() - began
    cost["cpu_seconds"] += time.process_time() - cpu


def _tables(folder: str, *also: str) -> list[Path]:
    paths = sorted(Path(folder).glob("*.parquet"))
    return [path for path in paths if path.stem != TARGETS or TARGETS in also]


def _names(path: Path) -> dict[str, str]:
    prefix = table_prefix(path.stem, PAIR)
    return {name: output_column(prefix, name) for name in pq.read_schema(path).names if name != KEY}


def _rows(folder: str) -> int:
    return int(pq.read_metadata(Path(folder, f"{TARGETS}.parquet")).num_rows)


def _sink(frame: pl.LazyFrame, folder: str, output: str) -> None:
    frame.sink_parquet(output, compression="zstd", compression_level=1, row_group_size=_rows(folder))
