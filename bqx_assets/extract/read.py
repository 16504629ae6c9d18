"""Reading one table whole: retried while the warehouse says that trying again may help.

Belongs here: the retry policy, and Arrow batches into one Polars frame. Does not: choosing what to read.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

import polars as pl
import pyarrow as pa
import tenacity

from bqx_assets.base.errors import SchemaDrift, TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.base.progress import Progress
from bqx_assets.extract.warehouse import Outage, ReadRequest, Warehouse

ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_NAMED = 4

POLARS_TYPES: dict[str, type[pl.DataType]] = {
    "FLOAT64": pl.Float64,
    "INT64": pl.Int64,
    "STRING": pl.String,
    "BOOL": pl.Boolean,
    "TIMESTAMP": pl.Datetime,
}


def read_frame(warehouse: Warehouse, request: ReadRequest, *, subject: str, progress: Progress) -> pl.DataFrame:
    """Return the requested rows as one frame, columns in the order and types of the request.

    **Cost**: the table in memory once. A transient error starts the table again, at most ``ATTEMPTS`` times, with
    exponential waits and jitter between; rows of a broken attempt are dropped. While nothing arrives of any table the
    attempts are not counted, for it is not this table's fault: the warehouse's ``outage`` ends the wait.

    Raises:
        TransientReadError: when the last attempt failed as well.
            Also when a table that was asked for whole came with fewer rows than its catalogue counts.
        WarehouseUnavailable: when nothing arrives of any table for so long that it is taken as lasting.
        ReadsEnded: when the run ends.
        SchemaDrift: when the rows' types are not those the table was described with.
    """
    outage = warehouse.outage

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        progress.warn("extract", f"{subject}: attempt {state.attempt_number} failed: {error}")

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientReadError),
        stop=lambda state: state.attempt_number >= ATTEMPTS and not outage.now,
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        before_sleep=tell,
        sleep=outage.wait,
        reraise=True,
    )
    return attempts(_read_once, warehouse, request, subject)


def reading(tables: Collection[str], outage: Outage) -> str:
    """Return what is waited for while tables are read: their names, and what stands in the way."""
    return ": ".join(filter(None, (f"reading {some_of(sorted(tables), _NAMED)}", outage.words())))


def _read_once(warehouse: Warehouse, request: ReadRequest, subject: str) -> pl.DataFrame:
    batches = list(warehouse.read(request))
    types = request.table.types()
    if not batches:
        _refuse_short(0, request, subject)
        return pl.DataFrame(schema={name: POLARS_TYPES[types[name]] for name in request.columns})
    # Streams are read side by side, and each may be in the key's order: together they are then, and need no sorting.
    # Left in its pieces: one piece would be a copy of the table, and aligning or encoding makes its own anyhow.
    frame = pl.from_arrow(pa.Table.from_batches(sorted(batches, key=_first_key)), rechunk=False)
    if not isinstance(frame, pl.DataFrame):
        msg = "a table of batches is a frame"
        raise TypeError(msg)
    frame = frame.select(request.columns)
    _refuse_short(frame.height, request, subject)
    wrong = [name for name in request.columns if frame.schema[name].base_type() != POLARS_TYPES[types[name]]]
    if wrong:
        raise SchemaDrift(
            subject,
            got=", ".join(f"{name} {frame.schema[name]}" for name in wrong[:5]),
            expected=", ".join(f"{name} {types[name]}" for name in wrong[:5]),
            cure="The table changed while it was read; extract again.",
        )
    return frame


def _refuse_short(rows: int, request: ReadRequest, subject: str) -> None:
    """Hold the rows against the catalogue's count. More are right: BigQuery does not count what is being streamed in.

    A range of rows, or a pair's, has no count to be held against; there quality asks of each table what it lacks.
    """
    whole = request.start is None and request.end is None and request.pair is None
    if whole and rows < request.table.rows:
        raise TransientReadError(
            subject,
            got=f"{rows:,} rows",
            expected=f"{request.table.rows:,}, which the warehouse's catalogue counts",
            cure="Extract again. If it stays so, rows are hidden from this reader: look for a row access policy.",
        )


def _first_key(batch: pa.RecordBatch) -> float:
    """Of a batch's first row; a batch without one, or without rows, comes first."""
    first = cast("datetime | None", batch.column(KEY)[0].as_py()) if batch.num_rows else None
    return first.timestamp() if first else 0.0
