"""Measures how long ``bqx`` takes to give up, and what it asks and says meanwhile, for ``docs/faults.md``.

``python -m benchmarks.outages`` lets servers on this machine fail in one way each, runs a real command or a real
extraction against them, and writes the table into the page. It takes about six minutes, because it waits for the end
of lasting outages.
"""

from __future__ import annotations

import io
import json
import socket
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.console import Console
from typer.testing import CliRunner

from bqx_assets.base.errors import BqxError
from bqx_assets.cli.main import app
from bqx_assets.cli.progress import ConsoleProgress
from bqx_assets.extract.pair import extract_pair
from bqx_assets_tests.frames import frame_job, frame_warehouse
from bqx_assets_tests.servers.bigquery.faults import Fault, FaultyReads
from bqx_assets_tests.servers.bigquery.rest import Refusal, RestServer, rest_served
from bqx_assets_tests.servers.bigquery.wire import wired

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN, END = "<!-- outages: begin -->\n", "<!-- outages: end -->\n"
_PLUGIN = "Getting metadata from plugin failed with error: ('invalid_grant: Bad Request', {'error': 'invalid_grant'})"
_JOBS = "Access Denied: Project bqx-ml: User does not have bigquery.jobs.create permission in project bqx-ml."
_ROWS = (
    "Access Denied: Table bqx-ml:d.t: Permission bigquery.tables.getData denied on table bqx-ml:d.t "
    "(or it may not exist)."
)
_SESSIONS = "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/bqx-ml'"


@dataclass(frozen=True, slots=True)
class Seen:
    """The figures of one way of failing."""

    what: str
    command: str
    seconds: float
    calls: str
    lines: int
    ends: str


@contextmanager
def _silent() -> Generator[tuple[str, list[int]]]:
    """Give a port that accepts connections and never answers, and the list that counts them."""
    count: list[int] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return
                count.append(1)

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", count


def _plan(what: str, rest_url: str | None, calls: Sequence[object] | None, **more: str) -> Seen:
    """Run ``bqx plan eurusd`` against a REST address; return its figures."""
    with tempfile.TemporaryDirectory() as home:
        environment: dict[str, str | None] = {"BQX_BIGQUERY_PROJECT": "bqx-ml", "BIGQUERY_EMULATOR_HOST": rest_url}
        environment["BQX_BIGQUERY_STORAGE_ENDPOINT"] = "http://127.0.0.1:9" if rest_url else None
        environment |= more
        began = time.perf_counter()
        done = CliRunner().invoke(app, ["--home", home, "plan", "eurusd", "--json"], env=environment)
        seconds = time.perf_counter() - began
    told = [line for line in done.stderr.splitlines() if line.startswith("  catalogue: ")]
    facts = json.loads(done.stdout)
    number = "-" if calls is None else str(len(calls))
    return Seen(what, "`bqx plan`", seconds, number, len(told), _ending(facts["error"], facts["cure"]))


class _FailingOnceUnderWay(ConsoleProgress):
    """A progress that sets the fault for all calls after the spine has been read."""

    def __init__(self, console: Console, reads: FaultyReads, fault: Fault) -> None:
        super().__init__(console)
        self._reads, self._fault = reads, fault

    def start(self, stage: str, total: int) -> None:
        super().start(stage, total)
        self._reads.lasting = self._fault
        self._reads.sessions.clear()
        self._reads.reads.clear()


def _extract(what: str, fault: Fault) -> Seen:
    """Extract a pair of six tables; the fault begins once its spine is there."""
    frames = frame_warehouse(200)
    text = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, wired(frames) as (warehouse, reads):
        progress = _FailingOnceUnderWay(Console(file=text, width=2_000), reads, fault)
        job = replace(frame_job(Path(folder), frames, progress=progress), warehouse=warehouse)
        began = time.perf_counter()
        try:
            extract_pair(job)
        except BqxError as error:
            ends = _ending(type(error).__name__, error.cure)
        else:
            raise RuntimeError(what)
        seconds = time.perf_counter() - began
        calls = len(reads.sessions) + len(reads.reads)
    return Seen(what, "`bqx extract`, under way", seconds, str(calls), len(text.getvalue().splitlines()), ends)


def _ending(error: str, cure: str) -> str:
    return f"`{error}`: {cure.partition('. ')[0]}"


@contextmanager
def _revoked_key() -> Generator[tuple[str, RestServer]]:
    """Give a service account's key file, and its token endpoint, which says that the grant was revoked."""
    refusal = Refusal(400, "", page=json.dumps({"error": "invalid_grant", "error_description": "Bad Request"}))
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with rest_served(RestServer(lasting=refusal)) as tokens, tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        facts = {"type": "service_account", "client_email": "a@bqx-ml.iam.gserviceaccount.com", "private_key": pem}
        json.dump(facts | {"token_uri": f"{tokens.url}/token", "private_key_id": "1"}, file)
        file.flush()
        yield file.name, tokens


def measure() -> Generator[Seen]:
    """Yield the figures of each way of failing."""
    yield _plan("network gone: connections refused", "http://127.0.0.1:9", None)
    yield _plan("network gone: names unknown", "http://nowhere.invalid", None)
    with _silent() as (url, taken):
        yield _plan("network gone: connections taken, never answered", url, taken)
    page = Refusal(502, "", page="<html><title>502 Bad Gateway</title></html>")
    with rest_served(RestServer(lasting=page)) as proxy:
        yield _plan("a proxy that says 502 for ever", proxy.url, proxy.calls)
    with _revoked_key() as (file, tokens):
        yield _plan("token revoked", None, tokens.calls, GOOGLE_APPLICATION_CREDENTIALS=file)
    for what, words in (("no right to run queries", _JOBS), ("no right to the rows", _ROWS)):
        with rest_served(RestServer(lasting=Refusal(403, "accessDenied", words))) as rest:
            yield _plan(what, rest.url, rest.calls)
    denied = grpc.StatusCode.PERMISSION_DENIED
    yield _extract("token revoked", Fault("status", message=_PLUGIN))
    yield _extract("no right to read sessions", Fault("status", denied, message=_SESSIONS))
    yield _extract("no right to the rows", Fault("status", denied, message=_ROWS))
    yield _extract("network gone", Fault("status", batches=0, message="failed to connect to all addresses"))


def write(rows: Sequence[Seen]) -> None:
    """Write the table into the page."""
    head = "| what fails | command | ends after, s | calls | lines told meanwhile | ends with |\n"
    head += "|---|---|---|---|---|---|\n"
    lines = [
        f"| {row.what} | {row.command} | {row.seconds:.0f} | {row.calls} | {row.lines} | {row.ends} |\n" for row in rows
    ]
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{head}{''.join(lines)}{END}{after}")


def main() -> None:
    found: list[Seen] = []
    for row in measure():
        found.append(row)
        print(row)
    write(found)


if __name__ == "__main__":
    main()
