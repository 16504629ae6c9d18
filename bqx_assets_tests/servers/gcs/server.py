"""Serves Cloud Storage by HTTP on 127.0.0.1, with planned faults."""

from __future__ import annotations

import json
import time
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from bqx_assets_tests.servers.gcs.bucket import Bucket, Refused
from bqx_assets_tests.servers.gcs.faults import Fault, Faults, Log
from bqx_assets_tests.servers.gcs.operations import Service, as_json
from bqx_assets_tests.servers.gcs.refusals import refusal
from bqx_assets_tests.servers.gcs.requests import Answer, Request
from bqx_assets_tests.servers.local import LocalServer, QuietHandler


class _Lost(Exception):
    """Raised to close the connection without an answer."""


class GcsServer(LocalServer):
    """A running server: ``url`` is for ``STORAGE_EMULATOR_HOST``."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.service = Service()
        self.faults = Faults()
        self.clock_ahead_seconds = 0.0
        """The offset of the time in every answer's ``Date``."""

    @property
    def log(self) -> Log:
        """Return the log of every request since the last ``reset``."""
        return self.service.log

    @property
    def buckets(self) -> dict[str, Bucket]:
        """Return the buckets by name."""
        return self.service.buckets

    def bucket(self, name: str) -> Bucket:
        """Return the bucket, which is made if there is none."""
        return self.service.bucket(name)

    def reset(self) -> None:
        """Forget buckets, sessions, faults and the log."""
        self.service, self.faults = Service(), Faults()
        self.clock_ahead_seconds = 0.0

    def fail(self, operation: str, kind: Any = "status", **facts: Any) -> None:
        """Plan a fault."""
        self.faults.plan(Fault(operation, kind, **facts))


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time of the server's clock as its answers state it."""
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + cast("GcsServer", self.server).clock_ahead_seconds)

    def setup(self) -> None:
        super().setup()
        # Headers and body are two writes: without this each answer waits 40 ms for an ACK.
        self.connection.setsockopt(6, 1, 1)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def serve(self) -> None:
        server = cast("GcsServer", self.server)
        parts = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, self._body(), server.url)
        if "authorization" in headers:
            server.log.heard.append(headers["authorization"])
        try:
            answer = self._answer(server, request)
            server.log.answered.append(server.service.route(request)[0])
        except Refused as error:
            answer = refusal(error, request)
        except _Lost:
            self.close_connection = True
            return
        self._send(answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, server: GcsServer, request: Request) -> Answer:
        operation, name, action = server.service.route(request)
        server.log.calls.append((operation, name))
        fault = server.faults.take(operation, name)
        if fault is None:
            return action()
        if fault.kind == "hook":
            fault.hook()
            return action()
        if fault.kind == "half":
            request.payload = request.payload[: len(request.payload) // 2 // 256 * 256]
        answer = action() if fault.after or fault.kind not in {"status", "reset", "stall"} else Answer()
        if fault.kind == "status":
            raise Refused(fault.status, fault.reason, fault.message)
        if fault.kind == "stall":
            time.sleep(fault.seconds)
        if fault.kind in {"reset", "half", "stall"}:
            raise _Lost
        if fault.kind == "truncate":
            self._send(answer, answer.body[: len(answer.body) // 2])
            raise _Lost
        return _damaged(answer, fault)

    def _send(self, answer: Answer, body: bytes | None = None) -> None:
        self.send_response(answer.status)
        for key, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if body is None else body)


def _damaged(answer: Answer, fault: Fault) -> Answer:
    if fault.kind == "wrong_crc":
        document = json.loads(answer.body)
        return as_json(document | {"crc32c": "AAAAAA==" if document["crc32c"] != "AAAAAA==" else "AAAAAQ=="})
    body = bytearray(answer.body)
    body[len(body) // 2] ^= 1
    return Answer(answer.status, bytes(body), answer.headers)
