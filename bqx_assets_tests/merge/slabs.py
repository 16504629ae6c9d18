"""Slabs and raw checkpoints for merge tests: any frames written as one pair's checkpoint folder, with its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    Column,
    ExtractionRecord,
    RowAccount,
    SlabProvenance,
    SlabRecord,
    SourceTable,
)
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.spine import describe_spine
from bqx_assets_tests.frames import EURUSD, START, frame_job, frame_warehouse, minutes, type_name

SETTINGS = Settings()


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


def extracted(folder: Path, *, row_group_rows: int = 0) -> Path:
    """Let extraction itself make a checkpoint folder."""
    extract_pair(frame_job(folder, frame_warehouse(), row_group_rows=row_group_rows))
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


def slab_folder(
    folder: Path, tables: Mapping[str, pl.DataFrame], rows: int, row_group_rows: int = 0
) -> ExtractionRecord:
    """Frames that are on the spine already, written as slabs; the spine has the key and one target."""
    keys = minutes(rows)
    spine = describe_spine(keys, row_group_rows)
    target = pl.Series("target_bqx45_h15", np.random.default_rng(3).standard_normal(rows))
    frames = {"targets_eurusd": pl.DataFrame([keys, target]), **tables}
    records = [_slab(folder, name, frame, spine.fingerprint, spine.row_groups) for name, frame in frames.items()]
    record = ExtractionRecord(pair=EURUSD.name, snapshot_time=START, spine=spine, slabs=tuple(records))
    record.save(folder / EXTRACTION_FILE)
    return record


def _slab(folder: Path, table: str, frame: pl.DataFrame, spine: str, row_groups: Sequence[int]) -> SlabRecord:
    role = "spine" if KEY in frame.columns else "feature"
    prefix = table_prefix(table, EURUSD)
    columns = tuple(
        Column(name=name if role == "spine" else output_column(prefix, name), source=name, type=type_name(dtype))
        for name, dtype in frame.schema.items()
    )
    provenance = SlabProvenance(
        pair=EURUSD.name,
        role=role,
        family="pair_specific",
        fingerprint=f"of {table}",
        spine_fingerprint=spine,
        source=SourceTable(
            dataset="features", table=table, last_modified=START, etag="1", rows=frame.height, size_bytes=1
        ),
        snapshot_time=START,
        rows=RowAccount(read=frame.height, matched=frame.height, missing=0, extra=0, duplicates=0),
        duplicate_policy="refuse",
        columns=columns,
    )
    folder.mkdir(parents=True, exist_ok=True)
    renamed = frame.rename({column.source: column.name for column in columns})
    return Slabs.in_folder(folder).write(table, [renamed], row_groups, lambda: provenance)
