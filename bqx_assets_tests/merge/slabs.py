"""Slabs and raw checkpoints for merge tests: any frames written as one pair's checkpoint folder, with its record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    SLAB_METADATA_KEY,
    Column,
    ExtractionRecord,
    RowAccount,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
)
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.extract.encoding import as_arrow
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.periods import Period, periods_in
from bqx_assets.extract.pieces import slab_of, write_piece
from bqx_assets.extract.slab_records import KeptPiece
from bqx_assets.extract.slabs import SPINE_FILE, Slabs
from bqx_assets.extract.spine import describe_spine, keys_fingerprint
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD, START, across_months, frame_job, frame_warehouse, minutes, type_name

SETTINGS = Settings()
PERIODS = ("2024-01", "2024-02")
"""The pieces of each slab that ``extracted`` makes."""


@dataclass
class Told(Silent):
    """Progress that remembers."""

    total: int = 0
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def start(self, stage: str, total: int) -> None:
        """Keep the total."""
        assert stage == "merge"
        self.total = total

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Keep the step."""
        assert stage == "merge"
        self.steps.append((item, note))


def extracted(folder: Path, *, period: str = "month") -> Path:
    """Let extraction itself make a checkpoint folder; by the month its slabs have the pieces ``PERIODS``."""
    extract_pair(frame_job(folder, across_months(frame_warehouse()), period=period))
    return folder


def raw_folder(folder: Path, *, rows: int = 200) -> dict[str, pl.DataFrame]:
    """Write the same tables as raw checkpoints; return them by file stem, the targets as ``targets``."""
    folder.mkdir(parents=True, exist_ok=True)
    frames: dict[str, pl.DataFrame] = {}
    for (_, table), frame in frame_warehouse(rows).frames.items():
        stem = "targets" if table.startswith("targets_") else table
        frames[stem] = frame
        write_raw(folder, stem, frame)
    return frames


def write_raw(folder: Path, stem: str, frame: pl.DataFrame) -> None:
    """One raw checkpoint, a single row group."""
    frame.write_parquet(folder / f"{stem}.parquet", row_group_size=max(1, frame.height))


def months_of(rows: int, period_rows: int) -> pl.Series:
    """Keys of which ``period_rows`` lie in each month, at its beginning; 0: all in one."""
    size = period_rows or rows
    number = pl.int_range(rows, eager=True)
    frame = pl.DataFrame({KEY: minutes(rows, START.replace(day=1)), "month": number // size})
    month = pl.format("{}mo", "month")
    return frame.select((pl.col(KEY) - pl.duration(minutes=pl.col("month") * size)).dt.offset_by(month)).to_series()


def slab_folder(folder: Path, tables: Mapping[str, pl.DataFrame], rows: int, period_rows: int = 0) -> ExtractionRecord:
    """Frames that are on the spine ``months_of`` already, written as slabs; the spine has the key and one target."""
    keys = months_of(rows, period_rows)
    periods = periods_in(keys, "month")
    spine = describe_spine(keys, [each.rows for each in periods], tuple(each.name for each in periods))
    target = pl.Series("target_bqx45_h15", np.random.default_rng(3).standard_normal(rows))
    frames = {"targets_eurusd": pl.DataFrame([keys, target]), **tables}
    slabs = Slabs.in_folder(folder)
    records = [_slab(slabs, name, frame, keys, periods, spine) for name, frame in frames.items()]
    record = ExtractionRecord(pair=EURUSD.name, snapshot_time=START, spine=spine, slabs=tuple(records))
    record.save(folder / EXTRACTION_FILE)
    return record


def _slab(
    slabs: Slabs, table: str, frame: pl.DataFrame, keys: pl.Series, periods: Sequence[Period], spine: Spine
) -> SlabRecord:
    role = "spine" if KEY in frame.columns else "feature"
    prefix = table_prefix(table, EURUSD)
    columns = tuple(
        Column(name=name if role == "spine" else output_column(prefix, name), source=name, type=type_name(dtype))
        for name, dtype in frame.schema.items()
    )
    renamed = frame.rename({column.source: column.name for column in columns})

    def provenance(mark: str, spine_mark: str, rows: int) -> SlabProvenance:
        return SlabProvenance(
            pair=EURUSD.name,
            role=role,
            family="pair_specific",
            fingerprint=mark,
            spine_fingerprint=spine_mark,
            source=SourceTable(
                dataset="features", table=table, last_modified=START, etag="1", rows=frame.height, size_bytes=1
            ),
            snapshot_time=START,
            rows=RowAccount(read=rows, matched=rows, missing=0, extra=0, duplicates=0),
            duplicate_policy="refuse",
            columns=columns,
        )

    pieces: list[KeptPiece] = []
    for each in periods:
        own = keys.slice(each.first_row, each.rows)
        told = provenance(f"of {table} in {each.name}", keys_fingerprint(own), each.rows)
        rows = renamed.slice(each.first_row, each.rows)
        pieces.append(write_piece(slabs, table, each.name, own, [rows], partial(_same, told), encoding="balanced"))
    return slab_of(slabs, pieces, provenance(f"of {table}", spine.fingerprint, frame.height), "balanced")


def _same(provenance: SlabProvenance) -> SlabProvenance:
    return provenance


def as_earlier_version(folder: Path) -> Path:
    """Turn the slabs of a folder into those of format version 1: one file a table, its record beside it."""
    extraction = json.loads((folder / EXTRACTION_FILE).read_bytes())
    extraction["slabs"] = [_as_earlier_slab(folder, slab) for slab in extraction["slabs"]]
    extraction["format_version"] = 1
    del extraction["spine"]["periods"]
    (folder / EXTRACTION_FILE).write_text(json.dumps(extraction))
    spine = {"spine": extraction["spine"], "slab": extraction["slabs"][0], "span": extraction["span"]}
    (folder / SPINE_FILE).write_text(json.dumps(spine | {"snapshot_time": extraction["snapshot_time"]}))
    return folder


def as_earlier_manifest(path: Path) -> None:
    """Turn the manifest of a file that was made of slabs of an earlier version into one of format version 1."""
    manifest = json.loads(path.read_bytes())
    for slab in manifest["extraction"]["slabs"]:
        (piece,) = slab.pop("pieces")
        slab |= {name: piece[name] for name in ("object_name", "size_bytes", "crc32c", "sha256")}
        slab["provenance"]["format_version"] = 1
    manifest["format_version"] = manifest["extraction"]["format_version"] = 1
    del manifest["extraction"]["spine"]["periods"]
    path.write_text(json.dumps(manifest))


def _as_earlier_slab(folder: Path, slab: dict[str, Any]) -> dict[str, Any]:
    table, pieces = slab["provenance"]["source"]["table"], slab.pop("pieces")
    slab["provenance"]["format_version"] = 1
    name = f"{table}.parquet"
    frames = [pl.read_parquet(folder / piece["object_name"]) for piece in pieces]
    schema = as_arrow(frames[0]).schema
    with pq.ParquetWriter(folder / name, schema, compression="zstd", store_schema=False) as writer:
        for frame in frames:
            writer.write_table(as_arrow(frame), row_group_size=frame.height)
        writer.add_key_value_metadata({SLAB_METADATA_KEY: json.dumps(slab["provenance"])})
    shutil.rmtree(folder / table)
    slab |= {"object_name": name, **sums_of_files([(folder / name, 0)])._asdict()}
    (folder / f"{table}.slab.json").write_text(json.dumps(slab))
    return slab


def merged(folder: Path, output: Path, engine: str = "splice") -> Path:
    """The training file that an engine makes of a folder of slabs."""
    merge(
        plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), engine=engine, progress=Silent()
    )
    return output


def not_synced(path: Path) -> None:
    """Stands for ``sync_file`` where hundreds of files are written."""
    assert path
