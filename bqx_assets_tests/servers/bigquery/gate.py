"""A Storage Read server in front of another: counts the tables that are read, and can hold further ones back."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.cloud.bigquery_storage_v1 import types

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
_HOLD_SECONDS = 120.0


class ReadGate:
    """A gate that counts sessions by table. After ``let_through`` sessions, further ones wait for ``open``."""

    def __init__(self) -> None:
        self.tables: list[str] = []
        """The table of each session, in order."""
        self.let_through: int | None = None
        self.refused: dict[tuple[str, str], tuple[grpc.StatusCode, str]] = {}
        """The refusals, by call ("CreateReadSession", "ReadRows") and by words of the request."""
        self._opened = threading.Event()
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forget what was counted, and hold nothing back."""
        self.tables.clear()
        self.refused.clear()
        self.let_through = None
        self._opened.clear()

    def open(self) -> None:
        """Let everything through."""
        self._opened.set()

    def refuse(self, call: str, asked: bytes, context: grpc.ServicerContext) -> None:
        """End a call that is refused, with a code and words: most refusals of this API have no details."""
        for (refused, words), (code, message) in self.refused.items():
            if refused == call and words.encode() in asked:
                context.abort(code, message)

    def pass_session(self, table: str) -> None:
        """Count a session, and hold it back if it is one too many."""
        with self._lock:
            self.tables.append(table)
            held = self.let_through is not None and len(self.tables) > self.let_through
        if held:
            self._opened.wait(_HOLD_SECONDS)


@contextmanager
def gated(gate: ReadGate, server_url: str) -> Generator[str]:
    """Serve the gate on a free port in front of a server without TLS; give its address."""
    channel = grpc.insecure_channel(server_url.removeprefix("http://"))
    create = channel.unary_unary(f"/{_SERVICE}/CreateReadSession")
    read = channel.unary_stream(f"/{_SERVICE}/ReadRows")

    def create_session(request: bytes, context: grpc.ServicerContext) -> bytes:
        gate.refuse("CreateReadSession", request, context)
        table = types.CreateReadSessionRequest.deserialize(request).read_session.table
        gate.pass_session(table.rpartition("/")[2])
        try:
            return create(request, timeout=60)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details() or "")
            raise

    def read_rows(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        gate.refuse("ReadRows", request, context)
        try:
            yield from read(request, timeout=60)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details() or "")

    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(create_session),
        "ReadRows": grpc.unary_stream_rpc_method_handler(read_rows),
    }
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        gate.open()
        server.stop(0).wait(10)
        channel.close()
