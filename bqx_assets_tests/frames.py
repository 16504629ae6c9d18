"""A warehouse of frames in memory: a few tables of one pair, with faults on demand.

Implements the product's own ``Warehouse`` protocol, so extraction cannot tell it from another.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Progress, Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables, targets_table
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import MonthState, Outage, ReadRequest

EURUSD = parse_pair("eurusd")
START = datetime(2024, 1, 2, tzinfo=UTC)
FEW_TABLES = ("agg_eurusd", "base_bqx_eurusd", "corr_ibkr_eurusd_ewa", "cov_lag_eurusd_usdjpy", "tmp_eurusd", "mkt_vol")


def type_name(dtype: pl.DataType) -> str:
    """BigQuery's name of a frame's type."""
    return next(each.name for each in COLUMN_TYPES.values() if each.polars.base_type() == dtype.base_type())


@dataclass
class FrameWarehouse:
    """Frames by (dataset, table); ``faults`` holds errors to raise at a table's next reads, in turn; None is none."""

    frames: dict[tuple[str, str], pl.DataFrame]
    modified: datetime = START + timedelta(days=300)
    faults: dict[str, list[Exception | None]] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    requests: list[ReadRequest] = field(default_factory=list)
    revised: dict[str, datetime] = field(default_factory=dict)
    read_bytes: int = 0
    outage: Outage = field(default_factory=Outage)
    knows_months: bool = False
    months_refused: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """What manifests call it."""
        return "frames"

    def describe(self) -> Sequence[TableDescription]:
        """All tables, by name."""
        return [
            TableDescription(
                dataset,
                table,
                tuple((name, type_name(dtype)) for name, dtype in frame.schema.items()),
                frame.height,
                int(frame.estimated_size()),
                self.revised.get(table, self.modified),
                f"{frame.height}-{self.revised.get(table, self.modified).isoformat()}",
            )
            for (dataset, table), frame in sorted(self.frames.items())
        ]

    def states(self, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The etags of those that are there."""
        etags = {(each.dataset, each.table): each.etag for each in self.describe()}
        return {each: etags[each] for each in tables if each in etags}

    def months(self, tables: Collection[TableDescription]) -> dict[tuple[str, str], Mapping[str, MonthState]]:
        """The states of the months by the values in them, if ``knows_months``; nothing otherwise."""
        names = [(each.dataset, each.table) for each in tables] if self.knows_months else []
        return {name: _month_states(self.frames[name]) for name in names}

    def snapshot(self) -> datetime:
        """A day after the tables were made, or after the last revision."""
        return max([self.modified, *self.revised.values()]) + timedelta(days=1)

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """The rows in two batches, or the table's next fault after the first of them."""
        with self._lock:
            self.reads[request.table.table] += 1
            self.requests.append(request)
            faults = self.faults.get(request.table.table)
            fault = faults.pop(0) if faults else None
        frame = self.frames[request.table.dataset, request.table.table]
        if request.pair is not None:
            frame = frame.filter(pl.col("pair") == request.pair)
        if request.start is not None:
            frame = frame.filter((pl.col(KEY) >= request.start) | pl.col(KEY).is_null())
        if request.end is not None:
            frame = frame.filter((pl.col(KEY) <= request.end) | pl.col(KEY).is_null())
        table = frame.select(request.columns).to_arrow()
        half = table.num_rows // 2
        yield from table.slice(0, half).to_batches()
        if fault is not None:
            raise fault
        yield from table.slice(half).to_batches()


def _month_states(frame: pl.DataFrame) -> dict[str, MonthState]:
    """The digest of a month's rows in their order."""
    months = frame.group_by(pl.col(KEY).dt.strftime("%Y-%m"), maintain_order=True)
    return {
        str(month): MonthState(sha256(rows.serialize()).hexdigest(), rows.height, int(rows.estimated_size()), None)
        for (month,), rows in months
        if month is not None
    }


def slab_frame(folder: Path, table: str) -> pl.DataFrame:
    """All pieces of a table's slab in a folder, one below another."""
    return pl.concat([pl.read_parquet(path) for path in sorted((folder / table).glob("*.parquet"))])


def piece_path(folder: Path, table: str) -> Path:
    """The only piece of a table's slab in a folder."""
    (path,) = (folder / table).glob("*.parquet")
    return path


def across_months(warehouse: FrameWarehouse) -> FrameWarehouse:
    """The same tables with the keys moved: 120 minutes lie before the end of January, the others after it."""
    for name, frame in warehouse.frames.items():
        warehouse.frames[name] = frame.with_columns(pl.col(KEY) + timedelta(days=29, hours=22))
    return warehouse


def minutes(rows: int, start: datetime = START) -> pl.Series:
    """``rows`` consecutive minutes."""
    return pl.datetime_range(
        start, start + timedelta(minutes=rows - 1), "1m", time_unit="us", time_zone="UTC", eager=True
    ).alias(KEY)


def values(kind: str, rows: int, rng: np.random.Generator) -> pl.Series:
    """A column of one BigQuery type, one in ten values null."""
    made = {
        "FLOAT64": lambda: pl.Series(rng.standard_normal(rows).round(6)),
        "INT64": lambda: pl.Series(rng.integers(-5, 90, rows)),
        "STRING": lambda: pl.Series(rng.choice(["low", "mid", "high"], rows)),
        "BOOL": lambda: pl.Series(rng.random(rows) < 0.5),
    }[kind]()
    return pl.select(pl.when(pl.Series(rng.random(rows) < 0.9)).then(made)).to_series()


def frame_warehouse(rows: int = 200, tables: Sequence[str] = FEW_TABLES, pair: Pair = EURUSD) -> FrameWarehouse:
    """A warehouse with the pair's targets and some of its tables, seeded."""
    rng = np.random.default_rng(7)
    keys = minutes(rows)
    frames: dict[tuple[str, str], pl.DataFrame] = {}
    for table in expected_tables(pair):
        if table.table in tables:
            columns = [values(kind, rows, rng).alias(name) for name, kind in table.columns]
            extra = [pl.Series("pair", [pair.name] * rows)] if "pair" in table.keys else []
            frames[FEATURES_DATASET, table.table] = pl.DataFrame([keys, *extra, *columns])
    bqx = {w: pl.Series(rng.standard_normal(rows + 105).round(9)) for w in load_expectations().windows}
    targets = [
        bqx[w].slice(h, rows).alias(f"target_bqx{w}_h{h}")
        for w in load_expectations().windows
        for h in load_expectations().horizons
    ]
    pairs = pl.Series("pair", [pair.name] * rows)
    frames[TARGETS_DATASET, targets_table(pair)] = pl.DataFrame([keys, pairs, *targets])
    return FrameWarehouse(frames)


class Told(Silent):
    """A progress that keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, stage: str, message: str) -> None:
        """Keep it."""
        self.warnings.append(f"{stage}: {message}")


def few_tables_expectations(tables: Sequence[str] = FEW_TABLES, pair: Pair = EURUSD, rows: int = 200) -> Expectations:
    """The packaged expectations, all tables but ``tables`` known to be absent."""
    absent = {each.table: "not in this test" for each in expected_tables(pair) if each.table not in tables}
    return load_expectations().model_copy(update={"known_absent": absent, "min_rows": rows, "min_columns": 50})


def frame_job(
    place: Path | Slabs,
    warehouse: FrameWarehouse,
    *,
    progress: Progress | None = None,
    **settings: object,
) -> Extraction:
    """An extraction of the pair's few tables into slabs, or into the slabs of a folder."""
    return Extraction(
        pair=EURUSD,
        warehouse=warehouse,
        slabs=place if isinstance(place, Slabs) else Slabs.in_folder(place),
        settings=Settings.model_validate({"workers": 2} | settings),
        expectations=few_tables_expectations(),
        progress=progress or Silent(),
    )
