"""A Storage Read server whose answers are made beforehand, so that serving them costs no encoding.

Tables with the same columns are served the same rows: 50 kinds stand for 667 tables. Each table is in two streams, half
of its days in each. Every fourth kind lacks 1% of the spine's rows and has no order within a week. An answer that a
range cuts, or of which only some columns are asked for, is made when it is sent.
"""

from __future__ import annotations

import mmap
import re
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from google.cloud.bigquery_storage_v1 import types

from benchmarks.beside import Counts, Running
from benchmarks.columns import column, keys, targets
from benchmarks.served import BQX_KIND, TARGETS_KIND, Kind, served_tables
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.names import KEY, target_name

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
_STREAMS = 2
_WEEK_ROWS = 7_200
_BOUND = re.compile(r"(>=|<=) TIMESTAMP '([^']+)'")
_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Batch:
    """One answer of ReadRows: the place of its message, and its rows."""

    offset: int
    size_bytes: int
    rows: int
    decoded_bytes: int
    first: datetime
    last: datetime
    """The least and the greatest key."""


@dataclass(frozen=True, slots=True)
class _Session:
    """A read of a table: its streams, the columns, and the range of keys, both ends inclusive."""

    rows: _Rows
    columns: list[str]
    start: datetime
    end: datetime

    @property
    def schema(self) -> pa.Schema:
        """The columns in the order in which they are sent, the table's own."""
        schema: Any = self.rows.schema
        return pa.schema([schema.field(name) for name in schema.names if name in set(self.columns)])

    def answers(self, stream: int) -> Iterator[tuple[_Batch, bool]]:
        """Yield a stream's answers that have rows in the range, and whether each is sent as it was made."""
        whole = len(self.columns) == len(self.rows.schema)
        for batch in self.rows.streams[stream]:
            if batch.first <= self.end and batch.last >= self.start:
                yield batch, whole and self.start <= batch.first and batch.last <= self.end


@dataclass(slots=True)
class _Rows:
    """The encoded rows of a kind of table."""

    schema: pa.Schema
    streams: list[list[_Batch]] = field(default_factory=list[list[_Batch]])


@contextmanager
def reads_server(folder: str, tables: int, rows: int, batch_bytes: int) -> Generator[Running]:
    """Make the answers in ``folder`` and serve them on a free port."""
    served = served_tables(tables)
    path = Path(folder) / "answers"
    kinds = list(dict.fromkeys(served.values()))
    with path.open("wb") as file:
        made = {kind: _make(kind, number, rows, batch_bytes, file) for number, kind in enumerate(kinds)}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as answers:
        reads = _Reads({name: made[kind] for name, kind in served.items()}, answers)
        server = grpc.server(ThreadPoolExecutor(32))
        server.add_generic_rpc_handlers([reads.handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}", reads.counts
        finally:
            server.stop(0).wait(10)


class _Reads:
    """The service, with its tables by name."""

    def __init__(self, tables: dict[str, _Rows], answers: mmap.mmap) -> None:
        self._tables, self._answers = tables, answers
        self._lock = threading.Lock()
        self._sessions: list[_Session] = []
        self._counts: Counts = dict.fromkeys(("sessions", "batches", "wire_bytes", "decoded_bytes"), 0)

    def counts(self) -> Counts:
        """Return the numbers of sessions and batches, and the batches' bytes on the wire and decoded."""
        with self._lock:
            return dict(self._counts)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers of both calls; messages of rows are bytes already."""
        grpc_untyped: Any = grpc  # its stubs know messages of one kind only
        session = grpc_untyped.unary_unary_rpc_method_handler(
            self._session, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        )
        rows = grpc_untyped.unary_stream_rpc_method_handler(self._rows, types.ReadRowsRequest.deserialize, None)
        return grpc.method_handlers_generic_handler(_SERVICE, {"CreateReadSession": session, "ReadRows": rows})

    def _session(self, request: types.CreateReadSessionRequest, context: grpc.ServicerContext) -> types.ReadSession:
        name = request.read_session.table.rpartition("/")[2]
        table, options = self._tables.get(name), request.read_session.read_options
        if table is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {name}")
        bounds = {sign: datetime.fromisoformat(text) for sign, text in _BOUND.findall(options.row_restriction)}
        session = _Session(table, list(options.selected_fields), bounds.get(">=", _EVER[0]), bounds.get("<=", _EVER[1]))
        if request.max_stream_count and request.max_stream_count < len(table.streams):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"answers were made for {len(table.streams)} streams")
        with self._lock:
            number = len(self._sessions)
            self._sessions.append(session)
        self._count(sessions=1)
        streams = range(len(table.streams))
        return types.ReadSession(
            name=f"sessions/{number}",
            table=request.read_session.table,
            data_format=types.DataFormat.ARROW,
            arrow_schema=types.ArrowSchema(serialized_schema=session.schema.serialize().to_pybytes()),
            estimated_total_bytes_scanned=sum(
                batch.decoded_bytes for each in streams for batch, _ in session.answers(each)
            ),
            streams=[types.ReadStream(name=f"{number}/{each}") for each in streams],
        )

    def _rows(self, request: types.ReadRowsRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        del context
        number, _, stream = request.read_stream.partition("/")
        session, sent = self._sessions[int(number)], 0
        for batch, as_made in session.answers(int(stream)):
            message, size_bytes, rows = self._answers[batch.offset : batch.offset + batch.size_bytes], 0, batch.rows
            if as_made:
                size_bytes = batch.decoded_bytes
            else:
                cut = _cut(message, session)
                message, size_bytes, rows = _message(cut, 1.0), cut.nbytes, cut.num_rows
            if rows and sent >= request.offset:  # a client resumes behind a batch, never inside one
                self._count(batches=1, wire_bytes=len(message), decoded_bytes=size_bytes)
                yield message
            sent += rows

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                self._counts[name] += value


def _make(kind: Kind, number: int, rows: int, batch_bytes: int, file: IO[bytes]) -> _Rows:
    """Append the answers of a kind of table to the file."""
    fields = [pa.field(name, COLUMN_TYPES[each].arrow) for name, each in ((KEY, "TIMESTAMP"), *kind)]
    frame, schema = _frame(kind, number, rows), pa.schema(fields)
    columns = [frame.get_column(each.name).to_arrow().cast(each.type) for each in fields]
    table = pa.Table.from_arrays(columns, schema=schema)
    made = _Rows(schema)
    batch_rows = max(1, batch_bytes * table.num_rows // table.nbytes)
    half = -(-table.num_rows // _STREAMS)
    for start in range(0, table.num_rows, half):
        made.streams.append(list(_appended(table.slice(start, half).combine_chunks(), batch_rows, file)))
    return made


def _frame(kind: Kind, number: int, rows: int) -> pl.DataFrame:
    """Return the rows of a kind of table; BQX is the past of the targets."""
    if kind == TARGETS_KIND:
        return targets(rows)
    rng = np.random.default_rng([17, number])
    frame = pl.DataFrame([keys(rows), *(column(name, type_name, rows, rng) for name, type_name in kind)])
    if kind == BQX_KIND:
        known = targets(rows)
        of_window = ((name, name.removeprefix("bqx_")) for name, _ in kind)
        frame = frame.with_columns(
            known[target_name(int(window), 15)].shift(15).alias(name) for name, window in of_window
        )
    if number % 4 != 1:
        return frame
    frame = frame.slice(rows // 100)
    weeks = range(0, frame.height, _WEEK_ROWS)
    return pl.concat(frame.slice(at, _WEEK_ROWS).sample(fraction=1, shuffle=True, seed=number) for at in weeks)


def _appended(stream: pa.Table, batch_rows: int, file: IO[bytes]) -> Iterator[_Batch]:
    """Append the messages of a stream to the file; yield the place of each."""
    sent = 0
    for batch in stream.to_batches(batch_rows):
        sent += batch.num_rows
        offset, size_bytes = file.tell(), file.write(_message(batch, sent / stream.num_rows))
        ordered = pl.DataFrame(pl.from_arrow(batch.select([KEY]))).to_series().sort()
        yield _Batch(offset, size_bytes, batch.num_rows, batch.nbytes, ordered[0], ordered[-1])


def _message(batch: pa.RecordBatch, progress: float) -> bytes:
    """Return a batch as an answer of ReadRows."""
    message = types.ReadRowsResponse(
        row_count=batch.num_rows,
        arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=_serialized(batch)),
        stats=types.StreamStats(progress={"at_response_end": progress}),
    )
    return types.ReadRowsResponse.serialize(message)


def _cut(message: bytes, session: _Session) -> pa.RecordBatch:
    """Return the rows and columns of an answer that are asked for."""
    answer: Any = types.ReadRowsResponse.deserialize(message)
    sent: bytes = answer.arrow_record_batch.serialized_record_batch
    batch = pa.ipc.read_record_batch(pa.py_buffer(sent), session.rows.schema)
    within = (pc.field(KEY) >= session.start) & (pc.field(KEY) <= session.end)
    return batch.filter(within).select(session.schema.names)


def _serialized(batch: pa.RecordBatch) -> bytes:
    """Return a batch as a message of Arrow's stream format, compressed as the product requests it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()[len(batch.schema.serialize()) :]
