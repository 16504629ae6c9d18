"""A Storage Read server made from the client's own proto classes, with faults on demand."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
_LZ4 = types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that ends a call: a read after ``batches`` good batches, a session at once."""

    kind: Literal["status", "hang", "slow", "expired", "cut", "damaged", "miscounted"]
    """``slow``: the answer comes after ``wait_seconds``. ``expired``: the stream's session is over from then on."""
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    batches: int = 1
    wait_seconds: float = 0.0
    """The time that the client is to wait, sent as RetryInfo of the status."""
    message: str = ""
    """The words of the service; without any, words that name an injected fault."""
    details: tuple[Message, ...] = ()
    """Details of the status, messages of ``google.rpc``."""


@dataclass
class FaultyReads:
    """A server of tables by name, each in ``streams`` streams of batches of ``batch_rows``."""

    tables: dict[str, pa.Table]
    streams: int = 2
    later_streams: int | None = None
    """Rows of a batch in sessions after the first, if another number: a new session is cut differently."""
    batch_rows: int = 10
    session_faults: list[Fault] = field(default_factory=list)
    read_faults: list[Fault] = field(default_factory=list)
    """Faults for the next calls, one per call, of any stream."""
    sessions: list[types.CreateReadSessionRequest] = field(default_factory=list)
    reads: list[types.ReadRowsRequest] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    scanned_bytes: int = 8_000
    released: threading.Event = field(default_factory=threading.Event)
    """The event that ends every hang."""
    expired: set[int] = field(default_factory=set[int])
    """The numbers of sessions that are over."""
    lasting: Fault | None = None
    """The fault of every call that has no other one, until it is removed."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def create_session(
        self, request: types.CreateReadSessionRequest, context: grpc.ServicerContext
    ) -> types.ReadSession:
        """Answer CreateReadSession."""
        with self._lock:
            self.sessions.append(request)
            number = len(self.sessions) - 1
            fault = self.session_faults.pop(0) if self.session_faults else self.lasting
        if fault is not None and fault.kind == "slow":
            self.released.wait(fault.wait_seconds)
        elif fault is not None:
            self._fail(fault, context)
        name = request.read_session.table.rpartition("/")[2]
        if name not in self.tables:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: Table {request.read_session.table}")
        table = self._selected(name, list(request.read_session.read_options.selected_fields))
        return types.ReadSession(
            name=f"sessions/{name}",
            table=request.read_session.table,
            arrow_schema=types.ArrowSchema(serialized_schema=table.schema.serialize().to_pybytes()),
            estimated_total_bytes_scanned=self.scanned_bytes,
            streams=[
                types.ReadStream(name=f"{number}/{name}/{stream}")
                for stream in range(min(self._cut_into(number), request.max_stream_count))
            ],
        )

    def read_rows(
        self, request: types.ReadRowsRequest, context: grpc.ServicerContext
    ) -> Iterator[types.ReadRowsResponse]:
        """Answer ReadRows from the offset on."""
        with self._lock:
            self.reads.append(request)
            fault = self.read_faults.pop(0) if self.read_faults else self.lasting
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            yield from self._batches(request, context, fault)
        finally:
            with self._lock:
                self.open_now -= 1

    def _batches(
        self, request: types.ReadRowsRequest, context: grpc.ServicerContext, fault: Fault | None
    ) -> Iterator[types.ReadRowsResponse]:
        session, name, number = request.read_stream.split("/")
        options = self.sessions[int(session)].read_session.read_options
        whole = self._selected(name, list(options.selected_fields))
        count = min(self._cut_into(int(session)), self.sessions[int(session)].max_stream_count)
        size = -(-whole.num_rows // count)
        stream = whole.slice(int(number) * size, size)
        lz4 = options.arrow_serialization_options.buffer_compression == _LZ4
        position = request.offset
        for sent, batch in enumerate(stream.slice(request.offset).to_batches(self.batch_rows)):
            if fault is not None and fault.kind == "expired" and sent == fault.batches:
                self.expired.add(int(session))
            if int(session) in self.expired:
                self._fail(self._over(request.read_stream), context)
            kind = fault.kind if fault is not None and sent == fault.batches else None
            if kind == "cut":
                return
            if fault is not None and kind in ("status", "hang"):
                self._fail(fault, context)
            data = _encoded(batch, lz4=lz4)
            position += batch.num_rows
            yield types.ReadRowsResponse(
                row_count=batch.num_rows + (kind == "miscounted"),
                arrow_record_batch=types.ArrowRecordBatch(
                    serialized_record_batch=data[: len(data) // 2] if kind == "damaged" else data
                ),
                stats=types.StreamStats(progress={"at_response_end": position / stream.num_rows}),
            )

    def _cut_into(self, session: int) -> int:
        return self.later_streams if session and self.later_streams else self.streams

    def _over(self, stream: str) -> Fault:
        """Return the end of a session in BigQuery's own words, as reports quote them."""
        name = f"projects/bqx-ml/locations/us/sessions/S/streams/{stream}"
        message = f"there was an error operating on '{name}': session expired at 2026-01-06T06:00:00+00:00"
        return Fault("status", grpc.StatusCode.FAILED_PRECONDITION, message=message)

    def _selected(self, name: str, columns: list[str]) -> pa.Table:
        """Return the wanted columns in the order of the table, as BigQuery does."""
        table = self.tables[name]
        return table.select([column for column in table.column_names if column in columns])

    def _fail(self, fault: Fault, context: grpc.ServicerContext) -> None:
        if fault.kind == "hang":
            self.released.wait(30)
        details: list[Message] = list(fault.details)
        if fault.wait_seconds:
            delay = duration_pb2.Duration(nanos=int(fault.wait_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = [any_pb2.Any() for _ in details]
        for each, detail in zip(packed, details, strict=True):
            each.Pack(detail)
        message = fault.message or f"injected {fault.code.name}"
        code = code_pb2.Code.Value(fault.code.name)
        context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=code, message=message, details=packed)))


def _encoded(batch: pa.RecordBatch, *, lz4: bool) -> bytes:
    """Return a batch as one message, which a stream's file holds between its schema and its end."""
    schema_bytes = len(batch.schema.serialize())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4" if lz4 else None)
    ) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()[schema_bytes:]


@contextmanager
def served(reads: FaultyReads) -> Generator[str]:
    """Serve it on a free port; give its address, without TLS."""
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                _SERVICE,
                {
                    "CreateReadSession": grpc.unary_unary_rpc_method_handler(
                        reads.create_session,
                        types.CreateReadSessionRequest.deserialize,
                        types.ReadSession.serialize,
                    ),
                    "ReadRows": grpc.unary_stream_rpc_method_handler(
                        reads.read_rows, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
                    ),
                },
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        reads.released.set()
        server.stop(0).wait(10)
