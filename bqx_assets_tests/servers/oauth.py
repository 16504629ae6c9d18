"""Google's token endpoint as a server on 127.0.0.1: gives a token, or refuses in Google's words.

Belongs here: the endpoint of ``token_uri``. Does not: what a token is good for.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, cast


class TokenServer(ThreadingHTTPServer):
    """A running endpoint: ``url`` is a key file's ``token_uri``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refused: tuple[str, str] | None = None
        """Error and description, as OAuth gives them: ``invalid_grant``, ``Invalid JWT Signature.``"""
        self._thread = threading.Thread(target=lambda: self.serve_forever(poll_interval=0.02), daemon=True)

    @property
    def url(self) -> str:
        """Address of the endpoint."""
        return f"http://127.0.0.1:{self.server_address[1]}/token"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Stay silent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refused = cast("TokenServer", self.server).refused
        answer = {"access_token": "ya29.given", "expires_in": 3600, "token_type": "Bearer"}
        if refused is not None:
            answer = {"error": refused[0], "error_description": refused[1]}
        body = json.dumps(answer).encode()
        self.send_response(200 if refused is None else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
