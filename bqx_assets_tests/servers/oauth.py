"""Google's token endpoint as a server on 127.0.0.1, which gives a token or refuses in Google's words."""

from __future__ import annotations

import json
from typing import cast

from bqx_assets_tests.servers.local import LocalServer, QuietHandler


class TokenServer(LocalServer):
    """A running endpoint: ``url`` is a key file's ``token_uri``."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.token = "ya29.given"  # noqa: S105 -- of no account
        self.refused: tuple[str, str] | None = None
        """The error and description of a refusal: ``invalid_grant``, ``Invalid JWT Signature.``"""

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return f"{super().url}/token"


class _Handler(QuietHandler):
    def serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = cast("TokenServer", self.server)
        answer = {"access_token": server.token, "expires_in": 3600, "token_type": "Bearer"}
        if server.refused is not None:
            answer = {"error": server.refused[0], "error_description": server.refused[1]}
        self.send_json(200 if server.refused is None else 400, json.dumps(answer).encode())
