"""Makes checkpoint folders of any size: raw ones as users have them, and the aligned slabs of the same rows.

Every second raw table, or every one, is shuffled, lacks its first 1% of rows and holds as many that are not on the
spine; its slab has nulls there. Tables of a mix all lie in another order, of several kinds, and lack other rows. Slabs
are not made by the product's own alignment, so that every merge can be compared with them.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from benchmarks import mixes
from benchmarks.columns import START, column, keys, targets
from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    Column,
    ExtractionRecord,
    RowAccount,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
)
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.process import worker_count
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE
from bqx_assets.catalogue.families import (
    FEATURES_DATASET,
    TARGETS_DATASET,
    ExpectedTable,
    expected_tables,
    targets_table,
)
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.extract.periods import periods_in
from bqx_assets.extract.pieces import slab_of, write_piece
from bqx_assets.extract.slab_records import KeptPiece
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.spine import describe_spine, keys_fingerprint
from bqx_assets.sandbox.table_files import write_table

PAIR = parse_pair("eurusd")
BYTES_PER_VALUE = 4.3
"""Bytes per value on disk, by which the needed disk space is estimated."""
TARGETS = "targets"


def chosen_tables(count: int, wider: int = 1) -> list[ExpectedTable]:
    """Return ``count`` of the pair's tables, spread over all families, each with ``wider`` times its columns."""
    tables = expected_tables(PAIR)
    chosen = [tables[number * len(tables) // count] for number in range(count)]
    return [
        replace(
            table, columns=tuple((f"{name}_{n}" if n else name, k) for n in range(wider) for name, k in table.columns)
        )
        for table in chosen
    ]


def column_count(tables: Sequence[ExpectedTable]) -> int:
    """Return the number of all columns: features, those few that look forward among them, key and targets."""
    return 50 + sum(len(table.columns) for table in tables)


def make_folders(
    home: Path,
    tables: Sequence[ExpectedTable],
    rows: int,
    period: PeriodUnit = "none",
    *,
    raw: Literal["half shuffled", "all shuffled", "none"] = "half shuffled",
    mixed: int | None = None,
) -> None:
    """Write the raw checkpoints into ``home/raw`` and the slabs into ``home/slabs``.

    ``raw``: which raw tables are shuffled; if there are none, no slab lacks rows. ``mixed``: the seed of tables that
    are a mix.
    """
    for name in ("slabs",) if raw == "none" else ("raw", "slabs"):
        (home / name).mkdir(parents=True)
    spine_frame = targets(rows)
    if raw != "none":
        write_raw(spine_frame, home / "raw" / f"{TARGETS}.parquet")
    periods = periods_in(keys(rows), period)
    spine = describe_spine(keys(rows), [each.rows for each in periods], tuple(each.name for each in periods))
    columns = tuple(Column(name=n, source=n, type="TIMESTAMP" if n == KEY else "FLOAT64") for n in spine_frame.columns)
    account = RowAccount(read=rows, matched=rows, missing=0, extra=0, duplicates=0)
    told = _provenance(f"{TARGETS}_{PAIR}", "spine", columns, spine, account)
    spine_slab = _write_slab(home, spine_frame, told, spine)
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # one process per processor
    try:
        with ProcessPoolExecutor(worker_count(), multiprocessing.get_context("spawn")) as pool:
            count = len(tables)
            shuffled = [None if raw == "none" else raw == "all shuffled" or n % 2 == 1 for n in range(count)]
            repeated = ([home] * count, tables, range(count), [spine] * count, shuffled, [mixed] * count)
            slabs = list(pool.map(_make_table, *repeated))
    finally:
        os.environ.pop("POLARS_MAX_THREADS")
        os.environ.update({} if before is None else {"POLARS_MAX_THREADS": before})
    _save_record(home / "slabs", spine, [spine_slab, *slabs])


def make_warehouse(root: Path, tables: Sequence[ExpectedTable], rows: int) -> None:
    """Write an embedded warehouse of the pair that lacks all other tables, as its expectations say."""
    for dataset in (FEATURES_DATASET, TARGETS_DATASET):
        (root / dataset).mkdir(parents=True)
    write_table(table_path(root, TARGETS_DATASET, targets_table(PAIR)), targets(rows))
    for number, each in enumerate(tables):
        rng = np.random.default_rng([13, number])
        columns = [column(name, kind, rows, rng) for name, kind in each.columns]
        pair = [pl.Series("pair", [PAIR.name]).new_from_index(0, rows)] if "pair" in each.keys else []
        write_table(table_path(root, FEATURES_DATASET, each.table), pl.DataFrame([keys(rows), *pair, *columns]))
    made = {table.table for table in tables}
    absent = [table.table for table in expected_tables(PAIR) if table.table not in made]
    text = "[known_absent]\n" + "".join(f'{name} = "not part of this benchmark"\n' for name in absent)
    (root / EXPECTATIONS_FILE).write_text(text)


def part_of(home: Path, whole: Path, count: int) -> None:
    """Fill ``home`` with hard links to ``count`` tables of the folders in ``whole``, spread evenly."""
    record = ExtractionRecord.load(whole / "slabs" / EXTRACTION_FILE)
    spine, *slabs = record.slabs
    chosen = [slabs[number * len(slabs) // count] for number in range(count)]
    for name in ("raw", "slabs"):
        (home / name).mkdir(parents=True)
    for slab in [spine, *chosen]:
        for piece in slab.pieces:
            (home / "slabs" / piece.object_name).parent.mkdir(exist_ok=True)
            (home / "slabs" / piece.object_name).hardlink_to(whole / "slabs" / piece.object_name)
        raw = f"{TARGETS if slab is spine else slab.table}.parquet"
        (home / "raw" / raw).hardlink_to(whole / "raw" / raw)
    _save_record(home / "slabs", record.spine, [spine, *chosen])


def write_raw(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as one row group, as the users' checkpoints are."""
    frame.write_parquet(path, compression="zstd", compression_level=1, row_group_size=frame.height)


def _make_table(
    home: Path,
    table: ExpectedTable,
    number: int,
    spine: Spine,
    shuffled: bool | None,  # noqa: FBT001
    mixed: int | None,
) -> SlabRecord:
    """Write a slab, and its raw table unless ``shuffled`` is None; return the slab's record."""
    rows = spine.rows
    if mixed is None:
        rng = np.random.default_rng([11, number])
        frame = pl.DataFrame([keys(rows), *(column(name, kind, rows, rng) for name, kind in table.columns)])
        raw, there = _shuffled(frame, number) if shuffled else (frame, pl.repeat(True, rows, eager=True))  # noqa: FBT003
    else:
        rng = np.random.default_rng([mixed, 2, number])
        frame = pl.DataFrame([keys(rows), *(mixes.column(name, rows, rng) for name, _ in table.columns)])
        raw, there = mixes.disordered(frame, rng)
    if shuffled is not None:
        write_raw(raw, home / "raw" / f"{table.table}.parquet")
    prefix = table_prefix(table.table, PAIR)
    columns = tuple(
        Column(name=output_column(prefix, name), source=name, type=kind)
        for name, kind in table.columns
        if not name.startswith(FORWARD_PREFIX)
    )
    slab = frame.select(pl.when(there).then(pl.col(each.source)).alias(each.name) for each in columns)
    matched = int(there.sum())
    account = RowAccount(
        read=raw.height, matched=matched, missing=rows - matched, extra=raw.height - matched, duplicates=0
    )
    return _write_slab(home, slab, _provenance(table.table, "feature", columns, spine, account), spine)


def _write_slab(home: Path, frame: pl.DataFrame, provenance: SlabProvenance, spine: Spine) -> SlabRecord:
    """Write the pieces of a frame on the spine's rows; their accounts are those of the whole slab."""
    slabs, pieces, first = Slabs.in_folder(home / "slabs"), list[KeptPiece](), 0
    for name, count in zip(spine.periods, spine.row_groups, strict=True):
        own = keys(spine.rows).slice(first, count)
        told = provenance.model_copy(update={"spine_fingerprint": keys_fingerprint(own)})
        rows = frame.slice(first, count)
        made = write_piece(slabs, told.source.table, name, own, [rows], lambda told=told: told, encoding="balanced")
        pieces.append(made)
        first += count
    return slab_of(slabs, pieces, provenance, "balanced")


def _shuffled(frame: pl.DataFrame, number: int) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows shuffled, those that are lost replaced by others, and which are still there."""
    lost = frame.height // 100
    extra = frame.head(lost).with_columns(pl.col(KEY) - timedelta(days=3650))
    raw = pl.concat([frame.slice(lost), extra]).sample(fraction=1, shuffle=True, seed=number)
    return raw, pl.int_range(frame.height, eager=True) >= lost


def _provenance(
    table: str, role: Literal["spine", "feature"], columns: tuple[Column, ...], spine: Spine, rows: RowAccount
) -> SlabProvenance:
    """Return a slab's provenance as extraction writes it, with an invented source."""
    source = SourceTable(dataset="benchmark", table=table, last_modified=START, etag="", rows=rows.read, size_bytes=0)
    return SlabProvenance(
        pair=PAIR.name,
        role=role,
        family="targets" if role == "spine" else "pair_specific",
        fingerprint=f"benchmark of {table}",
        spine_fingerprint=spine.fingerprint,
        source=source,
        snapshot_time=START,
        rows=rows,
        duplicate_policy="refuse",
        columns=columns,
    )


def _save_record(folder: Path, spine: Spine, slabs: Sequence[SlabRecord]) -> None:
    record = ExtractionRecord(pair=PAIR.name, snapshot_time=START, spine=spine, slabs=tuple(slabs))
    record.save(folder / EXTRACTION_FILE)
