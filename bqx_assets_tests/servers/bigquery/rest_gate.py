"""A REST server in front of local-bigquery, which passes calls on and refuses those that a test names."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from bqx_assets_tests.servers.bigquery.rest import Refusal
from bqx_assets_tests.servers.local import LocalServer, QuietHandler


@dataclass
class RestGate:
    """The calls to refuse, and those to hold back."""

    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    """The answers to calls whose path or body holds these words."""
    hang: threading.Event | None = None
    """An event before which no call is answered, if there is one."""

    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers to catalogue queries by path and SQL; local-bigquery needs seconds for one, and its tables stay."""

    def reset(self) -> None:
        """Let every call through."""
        self.refused.clear()
        if self.hang is not None:
            self.hang.set()
        self.hang = None

    def refusal(self, path: str, body: bytes) -> Refusal | None:
        """Return the answer to a call that is refused, None for other calls."""
        asked = path.encode() + body
        return next((answer for words, answer in self.refused if words.encode() in asked), None)


def _catalogue_query(path: str, body: bytes) -> str:
    """Return the key of a catalogue query's answer, without the ids of jobs and requests; empty for any other call."""
    if b"INFORMATION_SCHEMA" not in body:
        return ""
    asked = json.loads(body)
    job = asked.get("configuration", {})
    return json.dumps([path, job.get("query", {}).get("query") or asked.get("query"), job.get("dryRun")])


class _Server(LocalServer):
    def __init__(self, gate: RestGate, behind: str) -> None:
        super().__init__(_Handler)
        self.gate, self.behind = gate, urlsplit(behind)


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"

    def serve(self) -> None:
        gate = cast("_Server", self.server).gate
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if gate.hang is not None:
            gate.hang.wait(60)
        refusal = gate.refusal(self.path, body)
        if refusal is not None:
            self.send_json(refusal.code, refusal.body())
            return
        key = _catalogue_query(self.path, body)
        code, answer = gate.kept.get(key) or self._ask(body)
        if key:
            gate.kept[key] = code, answer
        self.send_json(code, answer)

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        behind = cast("_Server", self.server).behind
        headers = {key: value for key, value in self.headers.items() if key.lower() in {"content-type", "accept"}}
        with closing(http.client.HTTPConnection(behind.hostname or "", behind.port or 80, timeout=60)) as connection:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@contextmanager
def rest_gated(gate: RestGate, server_url: str) -> Generator[str]:
    """Serve the gate on a free port in front of a server; give its address."""
    with _Server(gate, server_url) as server:
        try:
            yield server.url
        finally:
            gate.reset()
