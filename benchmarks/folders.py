"""Checkpoint folders of any size for benchmarks: aligned slabs by extraction's own writer, and raw checkpoints.

Belongs here: seeded data with the shape of the users' tables. Does not: timing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.provenance import provenance_of
from bqx_assets.base.artifacts import EXTRACTION_FILE, Column, ExtractionRecord, SlabRecord, Spine
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.extract.align import align
from bqx_assets.extract.slabs import SlabFolder
from bqx_assets.extract.spine import describe_spine

PAIR = parse_pair("eurusd")
_START = datetime(2024, 1, 1, tzinfo=UTC)
_SHUFFLED_EVERY = 2
"""Every second raw table has its rows in another order, and lacks or exceeds some."""


def chosen_tables(count: int) -> list[ExpectedTable]:
    """Return ``count`` of the pair's tables, spread over all families."""
    tables = expected_tables(PAIR)
    return [tables[number * len(tables) // count] for number in range(count)]


def columns_of(tables: list[ExpectedTable]) -> int:
    """Return the training file's columns: key and targets included."""
    return 50 + sum(len(table.columns) for table in tables)


def make_raw(folder: Path, tables: list[ExpectedTable], rows: int) -> None:
    """Write targets and tables as raw checkpoints: half of them in order, half shuffled with missing and extra rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    keys = _keys(rows)
    _write(_targets(keys, rng), folder / "targets.parquet")
    for number, table in enumerate(tables):
        frame = pl.DataFrame([keys, *(_column(name, kind, rows, rng) for name, kind in table.columns)])
        if number % _SHUFFLED_EVERY:
            extra = frame.head(rows // 100).with_columns(pl.col(KEY) - timedelta(days=3650))
            frame = pl.concat([frame.slice(rows // 100), extra]).sample(fraction=1, shuffle=True, seed=number)
        _write(frame, folder / f"{table.table}.parquet")


def make_slabs(raw: Path, folder: Path, tables: list[ExpectedTable]) -> None:
    """Align the raw checkpoints and write them as extraction does, with their record."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = SlabFolder(folder)
    targets = pl.read_parquet(raw / "targets.parquet")
    keys = targets.get_column(KEY)
    spine = describe_spine(keys, 0)
    columns = tuple(Column(name=n, source=n, type="TIMESTAMP" if n == KEY else "FLOAT64") for n in targets.columns)
    slabs = [writer.write(targets, provenance_of(f"targets_{PAIR}", "spine", columns, spine), spine.row_groups)]
    slabs += [_slab(raw, writer, table, keys, spine) for table in tables]
    record = ExtractionRecord(pair=PAIR.name, snapshot_time=_START, spine=spine, slabs=tuple(slabs))
    record.save(folder / EXTRACTION_FILE)


def _slab(raw: Path, writer: SlabFolder, table: ExpectedTable, keys: pl.Series, spine: Spine) -> SlabRecord:
    aligned, _ = align(pl.read_parquet(raw / f"{table.table}.parquet"), keys, subject=table.table, policy="refuse")
    prefix = table_prefix(table.table, PAIR)
    columns = tuple(Column(name=output_column(prefix, name), source=name, type=kind) for name, kind in table.columns)
    renamed = aligned.select(pl.col(column.source).alias(column.name) for column in columns)
    return writer.write(renamed, provenance_of(table.table, "feature", columns, spine), spine.row_groups)


def _keys(rows: int) -> pl.Series:
    end = _START + timedelta(minutes=rows - 1)
    return pl.datetime_range(_START, end, "1m", time_unit="us", time_zone="UTC", eager=True).alias(KEY)


def _targets(keys: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    """Each horizon a later stretch of the same walk, as real targets are."""
    expected = load_expectations()
    walks = {window: rng.standard_normal(keys.len() + max(expected.horizons)) for window in expected.windows}
    targets = [
        pl.Series(f"target_bqx{window}_h{horizon}", walks[window][horizon : horizon + keys.len()])
        for window in expected.windows
        for horizon in expected.horizons
    ]
    return pl.DataFrame([keys, *targets])


def _column(name: str, kind: str, rows: int, rng: np.random.Generator) -> pl.Series:
    if kind == "STRING":
        return pl.Series(name, ["eurusd"]).new_from_index(0, rows)  # a constant identifier, as most are
    if kind == "BOOL":
        return pl.Series(name, rng.integers(0, 2, rows) == 1)
    if kind == "INT64":
        return pl.Series(name, rng.integers(0, 1440, rows))
    return pl.Series(name, rng.standard_normal(rows))  # noise: the worst case for compression


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=1, row_group_size=frame.height)
