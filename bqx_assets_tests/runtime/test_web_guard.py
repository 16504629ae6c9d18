"""The guard by itself: which requests reach the server behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.runtime.web_guard import Guard, Message, Receive, Send, hosts_of

OWN = "127.0.0.1:3000"
MUTATION = "mutation { launchRun { __typename } }"
QUERY = "{ version }"
Headers = Sequence[tuple[str, str]]


def _ask(
    headers: Headers, method: str = "GET", query: str = "", hosts: Sequence[str] = (), kind: str = "http"
) -> tuple[int, dict[str, str], bool]:
    """Status, headers of the answer, and whether the server behind the guard was reached."""
    reached: list[str] = []
    sent: list[Message] = []

    async def server(scope: Message, _: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope: Message = {
        "type": kind,
        "method": method,
        "path": "/graphql",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(Guard(server, hosts)(scope, receive, send))
    first = sent[0]
    answered = {name.decode(): value.decode() for name, value in first.get("headers", ())}
    return first.get("status", first.get("code", 0)), answered, bool(reached)


def _host(name: str) -> Headers:
    return [("Host", name)]


@pytest.mark.parametrize("host", [OWN, "localhost:3000", "LOCALHOST:3000", "[::1]:3000", "127.0.0.1", "localhost:8080"])
def test_this_machines_own_names_are_served_by_any_port_of_a_tunnel(host: str) -> None:
    assert _ask(_host(host))[2]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        _host(""),
        _host("evil.example"),
        _host("evil.example:3000"),
        _host("127.0.0.1.evil.example:3000"),
        _host("localhost.evil.example"),
        _host("localhost:3000@evil.example"),
        _host("localhost."),
        _host("169.254.169.254"),
        _host("0.0.0.0:3000"),
        _host("127.0.0.1:3000 evil.example"),
        [("Host", OWN), ("Host", "evil.example")],
    ],
)
def test_a_foreign_missing_or_double_host_is_refused(headers: Headers) -> None:
    assert _ask(headers)[::2] == (403, False)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://127.0.0.1:3001",
        "http://localhost:3000",
        "http://127.0.0.1",
        "http://127.0.0.1:3000@evil.example",
        "http://evil.example#127.0.0.1:3000",
        "file://127.0.0.1:3000",
        "127.0.0.1:3000",
        "http://127.0.0.1:3000, https://evil.example",
    ],
)
@pytest.mark.parametrize(("kind", "status"), [("http", 403), ("websocket", 1008)])
def test_a_page_of_another_origin_is_refused_also_by_websocket(origin: str, kind: str, status: int) -> None:
    assert _ask([("Host", OWN), ("Origin", origin)], kind=kind)[::2] == (status, False)


def test_two_origins_are_refused_though_one_is_right() -> None:
    own = ("Origin", f"http://{OWN}")
    assert _ask([("Host", OWN), own])[2]
    assert not _ask([("Host", OWN), own, ("Origin", "https://evil.example")])[2]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query",
    [
        urlencode({"query": MUTATION}),
        urlencode({"query": f"query A {QUERY} mutation B {{ launchRun {{ __typename }} }}", "operationName": "A"}),
        urlencode({"query": f"# {QUERY}\n{MUTATION}"}),
        urlencode([("query", QUERY), ("query", MUTATION)]),
        urlencode([("query", MUTATION), ("query", QUERY)]),
        urlencode({"query": "subscription { x }"}),
        urlencode({"query": "mutation {a" + "{a" * 20_000}),
        "query=" + "%6D" + "utation%20%7B%20x%20%7D",
        "%71uery=" + "mutation+%7B+x+%7D",
    ],
)
def test_a_change_by_get_is_refused_however_it_is_written(query: str, method: str) -> None:
    assert _ask(_host(OWN), method, query)[::2] == (405, False)


@pytest.mark.parametrize("query", ["", urlencode({"query": QUERY}), "query=everything", "q%5B0%5D=mutation{x}"])
def test_pages_and_queries_by_get_are_served(query: str) -> None:
    assert _ask(_host(OWN), query=query)[2]


@given(st.text(max_size=60))
def test_any_text_in_a_get_is_judged_without_a_fault(text: str) -> None:
    status, _, reached = _ask(_host(OWN), query=urlencode({"query": text}, errors="surrogatepass"))
    assert (status, reached) in {(200, True), (405, False)}


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        ["text/plain"],
        ["text/plain; application/json"],
        ["text/plain;charset=application/json"],
        ["application/x-www-form-urlencoded"],
        ["multipart/form-data; boundary=application/json"],
        ["application/graphql"],
        ["application/jsonp"],
        ["text/plain", "application/json"],
    ],
)
def test_a_post_that_any_form_or_script_can_send_unasked_is_refused(kinds: Sequence[str]) -> None:
    headers = [("Host", OWN), *(("Content-Type", kind) for kind in kinds)]
    assert _ask(headers, "POST", urlencode({"query": MUTATION}))[::2] == (415, False)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_post_of_json_from_the_servers_own_page_or_a_program_is_served(kind: str) -> None:
    headers = [("Host", OWN), ("Content-Type", kind)]
    assert _ask(headers, "POST")[2]
    assert _ask([*headers, ("Origin", f"http://{OWN}")], "POST")[2]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_are_refused(method: str) -> None:
    assert _ask(_host(OWN), method)[::2] == (405, False)


def test_a_proxys_name_is_served_where_the_environment_names_it_and_only_it() -> None:
    hosts = hosts_of({"BQX_UI_HOSTS": "ui.example.com, internal:8443"})
    assert hosts == ["ui.example.com", "internal:8443"]
    own = ("Origin", "https://ui.example.com")
    assert _ask([("Host", "UI.example.com"), own], hosts=hosts)[2]
    assert _ask([("Host", "ui.example.com:443"), own], hosts=hosts)[2]
    assert _ask([("Host", OWN), own], hosts=hosts)[2], "a proxy that changes Host and leaves Origin"
    assert not _ask(_host("ui.example.com:9000"), hosts=hosts)[2]
    assert not _ask(_host("internal"), hosts=hosts)[2]
    assert not _ask(_host("ui.example.com"))[2]
    assert hosts_of({}) == []


def test_no_answer_may_be_shown_in_a_frame_or_be_another_pages_script() -> None:
    for headers in (_host(OWN), _host("evil.example")):
        answered = _ask(headers)[1]
        assert answered["x-frame-options"] == "DENY"
        assert answered["cross-origin-resource-policy"] == "same-origin"
