"""Reads rows of a warehouse as one Polars frame, and retries while the warehouse says that a retry may help."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

import polars as pl
import pyarrow as pa
import tenacity

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import SchemaDrift, TransientReadError
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.base.progress import Progress
from bqx_assets.base.retry import RETRIES
from bqx_assets.extract.warehouse import Outage, ReadRequest, Warehouse

_NAMED = 4


def read_frame(warehouse: Warehouse, request: ReadRequest, *, subject: str, progress: Progress) -> pl.DataFrame:
    """Return the requested rows as one frame, with the columns and types of the request, in its order.

    **Cost**: the rows in memory once. A transient error starts the read over, by the policy
    ``table_read`` of ``base.retry``; the rows of a failed attempt are dropped. Attempts are not counted while nothing
    arrives of any table, because the fault is not this table's: then the warehouse's ``outage`` ends the wait.

    Raises:
        TransientReadError: the last attempt failed as well, or a whole table came with fewer rows than the catalogue
            counts.
        WarehouseUnavailable: nothing has arrived of any table for so long that the outage counts as lasting.
        ReadsEnded: the run ends.
        SchemaDrift: the rows' types differ from the table's description.
    """
    outage, policy = warehouse.outage, RETRIES["table_read"]

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        progress.warn("extract", f"{subject}: attempt {state.attempt_number} failed: {error}")

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientReadError),
        stop=lambda state: state.attempt_number >= policy.attempts and not outage.now,
        wait=lambda state: policy.wait_seconds(state.attempt_number),
        before_sleep=tell,
        sleep=outage.wait,
        reraise=True,
    )
    return attempts(_read_once, warehouse, request, subject)


def reading(tables: Collection[str], outage: Outage) -> str:
    """Return the progress line for a wait while tables are read: their names, and the outage if there is one."""
    return with_outage(f"reading {some_of(sorted(tables), _NAMED)}", outage)


def with_outage(said: str, outage: Outage) -> str:
    """Return what a progress line says, with the outage if there is one."""
    return ": ".join(filter(None, (said, outage.words())))


def _read_once(warehouse: Warehouse, request: ReadRequest, subject: str) -> pl.DataFrame:
    batches = list(warehouse.read(request))
    types = request.table.types()
    if not batches:
        _refuse_short(0, request, subject)
        return pl.DataFrame(schema={name: COLUMN_TYPES[types[name]].polars for name in request.columns})
    # If each stream is in key order, ordering the batches by their first key makes the whole table so, without a sort.
    # The frame keeps its chunks: one chunk would be another copy, and aligning or encoding makes its own anyway.
    frame = pl.from_arrow(pa.Table.from_batches(sorted(batches, key=_first_key)), rechunk=False)
    if not isinstance(frame, pl.DataFrame):
        msg = "a table of batches is a frame"
        raise TypeError(msg)
    frame = frame.select(request.columns)
    _refuse_short(frame.height, request, subject)
    described = {name: COLUMN_TYPES[types[name]].polars.base_type() for name in request.columns}
    wrong = [name for name, kind in described.items() if frame.schema[name].base_type() != kind]
    if wrong:
        raise SchemaDrift(
            subject,
            got=some_of([f"{name} {frame.schema[name]}" for name in wrong], _NAMED),
            expected=some_of([f"{name} {types[name]}" for name in wrong], _NAMED),
            cure="The table changed while it was read; extract again.",
        )
    return frame


def _refuse_short(rows: int, request: ReadRequest, subject: str) -> None:
    """Compare the rows with the catalogue's count. More are fine: BigQuery does not count rows that are streamed in.

    For a range of time or one pair's rows the catalogue has no count; there the quality rules check what is missing.
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
    """Return the key of a batch's first row; a batch without rows or with a null key comes first."""
    if not batch.num_rows:
        return 0.0
    # By Polars: Arrow's own conversion of a time imports pandas, which takes a second.
    head = cast("pl.DataFrame", pl.from_arrow(batch.slice(0, 1).select([KEY])))
    first = cast("datetime | None", head.item())
    return first.timestamp() if first else 0.0
