"""A REST server in front of local-bigquery: passes calls on, and refuses those that a test says, in Google's forms.

Belongs here: passing on, refusing by path or words of the body. Does not: the forms of a refusal (``rest``).
"""

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
    """What is refused, and what is held back."""

    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    """A call whose path or body holds these words gets this answer, as often as it comes."""
    hang: threading.Event | None = None
    """Where it is set to an event, no call is answered before that."""

    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers to queries of the catalogue, by path and SQL: local-bigquery takes seconds for one, its tables stay."""

    def reset(self) -> None:
        """Let everything through as it is."""
        self.refused.clear()
        if self.hang is not None:
            self.hang.set()
        self.hang = None

    def refusal(self, path: str, body: bytes) -> Refusal | None:
        """The answer to a call that is refused."""
        asked = path.encode() + body
        return next((answer for words, answer in self.refused if words.encode() in asked), None)


def _catalogue_query(path: str, body: bytes) -> str:
    """What an answer is kept by; empty for any other call. Ids of jobs and requests, which differ, are left out."""
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
    """Serve the gate on a free port in front of a server; gives its address."""
    with _Server(gate, server_url) as server:
        try:
            yield server.url
        finally:
            gate.reset()
