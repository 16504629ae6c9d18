"""A history of which a warehouse shows a part, and changes on demand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.merge.result import content_digest
from bqx_assets_tests.frames import START, FrameWarehouse, few_tables_expectations, frame_job, frame_warehouse

TABLES = ("agg_eurusd", "base_bqx_eurusd", "mkt_vol")
TARGETS = (TARGETS_DATASET, "targets_eurusd")
VOL = (FEATURES_DATASET, "mkt_vol")
STEP = timedelta(hours=3)
MOST = 900
"""Rows of the whole history: 248 in a month of 31 days, so that it ends in the fourth month."""
_UNKNOWN = 5
"""Rows at the end whose targets are not known yet."""


@dataclass
class Source:
    """A warehouse that shows the first ``rows`` rows of a history, and changes on demand."""

    whole: FrameWarehouse
    shown: FrameWarehouse
    rows: int
    changes: int = 0
    lost: list[tuple[tuple[str, str], pl.DataFrame]] = field(default_factory=list[tuple[tuple[str, str], pl.DataFrame]])

    @classmethod
    def of(cls, rows: int) -> Source:
        """The first rows of the history."""
        whole = frame_warehouse(MOST, TABLES)
        keys = pl.datetime_range(START, START + (MOST - 1) * STEP, STEP, time_unit="us", time_zone="UTC", eager=True)
        for name, frame in whole.frames.items():
            whole.frames[name] = frame.with_columns(keys.alias(KEY))
        source = cls(whole, frame_warehouse(2, TABLES), rows)
        source.shown.knows_months = True
        source.show()
        return source

    def show(self) -> None:
        """Show the present state. Targets whose future has not come are null."""
        for name, frame in self.whole.frames.items():
            seen = frame.filter(pl.col(KEY) < START + self.rows * STEP)
            if name == TARGETS:
                known = pl.col(KEY) < START + (self.rows - _UNKNOWN) * STEP
                seen = seen.with_columns(pl.when(known).then(pl.col("^target_.*$")))
            if not seen.equals(self.shown.frames[name]):
                self.changes += 1
                self.shown.revised[name[1]] = self.shown.modified + timedelta(seconds=self.changes)
            self.shown.frames[name] = seen

    def append(self, rows: int) -> None:
        """More rows arrive."""
        self.rows = min(MOST, self.rows + rows)
        self.show()

    def change(self, table: tuple[str, str], row: int) -> None:
        """A value of a row changes."""
        frame = self.whole.frames[table]
        column = next(name for name, kind in frame.schema.items() if kind == pl.Float64 and name != KEY)
        at = pl.int_range(pl.len()) == row % frame.height
        self.whole.frames[table] = frame.with_columns(
            pl.when(at).then(pl.lit(row + 0.5)).otherwise(pl.col(column)).alias(column)
        )
        self.show()

    def multiply(self, table: tuple[str, str], factor: float) -> None:
        """Each number of a table is corrected by a factor."""
        self.whole.frames[table] = self.whole.frames[table].with_columns(pl.col(pl.Float64) * factor)
        self.show()

    def lose(self, table: tuple[str, str], row: int) -> None:
        """A row vanishes."""
        frame = self.whole.frames[table]
        self.lost.append((table, frame[row % frame.height]))
        self.whole.frames[table] = frame.filter(pl.int_range(pl.len()) != row % frame.height)
        self.show()

    def restore(self) -> None:
        """The rows that had vanished arrive late, behind all others."""
        for table, row in self.lost:
            self.whole.frames[table] = pl.concat([self.whole.frames[table], row])
        self.lost.clear()
        self.show()

    def repeat(self, table: tuple[str, str], row: int) -> None:
        """A row is there twice, with other values."""
        frame = self.whole.frames[table]
        again = frame[row % frame.height].with_columns(pl.col(pl.Float64) + 1)
        self.whole.frames[table] = pl.concat([frame, again])
        self.show()

    def leak(self, row: int, rows: int) -> None:
        """A column becomes the future in some rows, and something else in all others."""
        future = self.whole.frames[TARGETS].select(KEY, leak=pl.col("target_bqx90_h30")).unique(KEY, keep="last")
        frame = self.whole.frames[VOL].join(future, on=KEY, how="left", maintain_order="left")
        within = pl.col(KEY).is_between(START + row // 2 * STEP, START + (row // 2 + 2 * rows) * STEP)
        self.whole.frames[VOL] = frame.with_columns(
            pl.when(within).then("leak").otherwise(pl.int_range(pl.len()).cast(pl.Float64)).alias("mkt_vol_atr_45")
        ).drop("leak")
        self.show()


def job(folder: Path, warehouse: FrameWarehouse, **asked: Any) -> Extraction:
    """An extraction of the history's tables into a folder."""
    return replace(frame_job(folder, warehouse, **asked), expectations=few_tables_expectations(TABLES))


def facts(record: ExtractionRecord | str) -> list[object]:
    """What two extractions of the same rows have in common, whatever was read before."""
    if isinstance(record, str):
        return [record]
    left_out = [[column.column for column in slab.provenance.quarantined] for slab in record.slabs]
    return [
        content_digest(record.slabs),
        record.spine,
        [(slab.table, slab.provenance.columns, slab.content) for slab in record.slabs],
        left_out,
        [slab.provenance.rows.matched for slab in record.slabs],
    ]


def read(source: Source, folder: Path, unit: PeriodUnit = "month") -> set[tuple[str, str]]:
    """The tables and periods that a run reads."""
    source.shown.requests.clear()
    extract_pair(job(folder, source.shown, period=unit))
    return {(request.table.table, request.period) for request in source.shown.requests}
