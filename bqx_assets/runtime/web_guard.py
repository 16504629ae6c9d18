"""Protects Dagster's web server as an ASGI application around it: refuses foreign hosts, origins and kinds of requests.

Dagster's server answers every request. Any page that was open in a browser on this machine could launch a run by a
plain ``GET /graphql?query=mutation...``, and a page under a host name that points at 127.0.0.1 could also read the
answers. There is no login.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from graphql import GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import QueryParams

HOSTS_ENV = "BQX_UI_HOSTS"
"""Names under which a reverse proxy serves the web server: ``ui.example.com,ui.example.com:8443``."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger(__name__)
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
"""Any port is allowed, as ``ssh -L 8080:127.0.0.1:3000`` changes it. No page of another origin can send this Host."""
_ORIGIN = re.compile(r"https?://([^/?#@\s]+)")
_METHODS = ("GET", "HEAD", "POST")
_JSON = "application/json"
_NOT_IN_FRAMES = [(b"x-frame-options", b"DENY"), (b"cross-origin-resource-policy", b"same-origin")]
"""Headers that keep other pages from showing this one in a frame, and from loading an answer as a script or image."""


class Guard:
    """An ASGI application that refuses foreign hosts and origins, changes by GET, and bodies that any form can send."""

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(_plain(host) for host in hosts)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a refused request, and pass on any other."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._foreign(scope) or (_unsafe(scope) if scope["type"] == "http" else None)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
            return
        status, reason = refusal
        _LOG.warning("refused %s %s: %s", scope.get("method", "websocket"), scope["path"], reason)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:100]})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *_NOT_IN_FRAMES]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"Refused: {reason}\n".encode()})

    def _foreign(self, scope: Message) -> tuple[int, str] | None:
        """Return status and reason if the request names another server, or comes from a page of one; else None."""
        hosts, origins = _header(scope, b"host"), _header(scope, b"origin")
        if len(hosts) != 1 or not self._ours(host := _plain(hosts[0])):
            cure = f"Open http://127.0.0.1 and the port, or name the host in {HOSTS_ENV} where the server is started."
            return 403, f"Host {_shown(hosts)}, expected this server's own name. {cure}"
        if len(origins) > 1 or (origins and not self._same(origins[0], host)):
            cure = f"Only the server's own pages may; behind a proxy that changes Host, name its host in {HOSTS_ENV}."
            return 403, f"a page of Origin {_shown(origins)}, expected {host}. {cure}"
        return None

    def _ours(self, host: str) -> bool:
        return _THIS_MACHINE.fullmatch(host) is not None or host in self._hosts

    def _same(self, origin: str, host: str) -> bool:
        found = _ORIGIN.fullmatch(origin.strip().lower())  # sandboxed frames and files send ``null``: no match
        return found is not None and (_plain(found[1]) == host or _plain(found[1]) in self._hosts)


def hosts_of(environment: MutableMapping[str, str] = os.environ) -> Sequence[str]:
    """Return the names that ``BQX_UI_HOSTS`` adds to this machine's own."""
    return [host for host in re.split(r"[,\s]+", environment.get(HOSTS_ENV, "")) if host]


def _unsafe(scope: Message) -> tuple[int, str] | None:
    """Return status and reason if any page could make a browser send this request, and it may change something."""
    method = scope["method"]
    if method not in _METHODS:
        return 405, f"method {method}, expected {', '.join(_METHODS)}."
    if method == "POST":
        kinds = _header(scope, b"content-type")
        # A form or script of any page may send text/plain without permission, also ``text/plain; application/json``,
        # which Dagster reads as JSON. For other content types Dagster takes the query from the URL.
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != _JSON:
            return 415, f"a POST of Content-Type {_shown(kinds)}, expected {_JSON}."
        return None
    queries = QueryParams(scope.get("query_string", b"")).getlist("query")
    if any(map(_changes, queries)):
        return 405, f"a mutation by {method}, expected POST of {_JSON}."
    return None


def _changes(query: str) -> bool:
    """Return whether a GraphQL document contains anything but queries."""
    try:
        document = parse(query, no_location=True)
    except (GraphQLSyntaxError, RecursionError):
        # The possible depth of a document depends on the caller's stack: one that fails here may pass in Dagster.
        return any(each.value in query for each in OperationType if each is not OperationType.QUERY)
    found = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    return any(each.operation is not OperationType.QUERY for each in found)


def _with_headers(send: Send) -> Send:
    async def framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_NOT_IN_FRAMES]}
        await send(message)

    return framed


def _header(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _plain(host: str) -> str:
    """Return a host in the form that is compared: lower case, without the ports that browsers leave out."""
    return host.strip().lower().removesuffix(":80").removesuffix(":443")


def _shown(values: Sequence[str]) -> str:
    return ascii(", ".join(values)[:100]) if values else "missing"
