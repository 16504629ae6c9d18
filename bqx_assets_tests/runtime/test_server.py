"""The real ``bqx ui``: what its own page and a foreign one ask, a backfill, and an end that leaves no process."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.quality.rules import RULES
from bqx_assets.runtime.daemon import COMMAND
from bqx_assets.runtime.web_server import serve_home
from bqx_assets_tests.runtime.homes import make_home

BIN = Path(sys.executable).parent
PAIRS = ["eurusd", "gbpusd"]
PATIENCE_SECONDS = 120
_ASSETS = """{
    assetNodes { assetKey { path } groupName kinds isMaterializable partitionKeys
        assetChecksOrError { ... on AssetChecks { checks { name blocking } } } }
}"""
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
_RUNS = "{ runsOrError { ... on Runs { results { status } } } }"
_BACKFILL = """mutation($params: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $params) { __typename ... on PythonError { message } }
}"""


class Server:
    """GraphQL as the browser speaks it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 -- our own
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """A request as it is put: status and text."""
        link = closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30))
        own = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json"}
        with link as connection:
            stated = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, own | stated)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def ask_once_up(self, query: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.ask(query)
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def daemon(self) -> psutil.Process:
        """The daemon beside the web server, once it is there."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for process in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess):  # a child may end before it is looked at
                    if COMMAND[-1] in process.cmdline():
                        return process
            time.sleep(0.02)
        raise TimeoutError("no daemon")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("server") / "home", pairs=PAIRS, tables=2)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    command = [str(BIN / "bqx"), "--home", str(home), "ui", "--port", str(port)]
    with (
        (home / "ui.log").open("w") as log,
        subprocess.Popen(command, cwd=home, env=clean, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        made = Server(port, process)
        try:
            # It looks for backfills every 30 s: it starts when there is one to be found at its first look.
            made.daemon().suspend()
            yield made
        finally:
            if process.poll() is None:
                made.daemon().resume()
            process.terminate()
            process.wait(timeout=60)


def test_the_web_server_shows_the_graph_its_checks_and_its_partitions(server: Server) -> None:
    [location] = server.ask_once_up(_LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location == {"name": "bqx_assets", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    nodes = {node["assetKey"]["path"][-1]: node for node in server.ask(_ASSETS)["assetNodes"]}
    made = ["targets_spine", "feature_slabs", "training_parquet", "published_training_file"]
    assert all(nodes[name]["isMaterializable"] and len(nodes[name]["partitionKeys"]) == 28 for name in made)
    checks = {each["name"]: each["blocking"] for each in nodes["training_parquet"]["assetChecksOrError"]["checks"]}
    assert checks == {rule.name: rule.severity == "error" for rule in RULES}


def _launch(**overrides: object) -> str:
    """The mutation that launches a pair, as the launchpad puts it."""
    config = {"resources": {"workspace": {"config": {"overrides": overrides}}}} if overrides else {}
    selector = '{repositoryLocationName:"bqx_assets",repositoryName:"__repository__",pipelineName:"pair_job"}'
    tags = '{tags:[{key:"dagster/partition",value:"eurusd"}]}'
    return (
        f'mutation{{launchPipelineExecution(executionParams:{{selector:{selector},mode:"default",'
        f"runConfigData:{json.dumps(json.dumps(config))},executionMetadata:{tags}}}){{__typename}}}}"
    )


def test_a_foreign_page_a_rebound_name_and_a_get_launch_nothing(server: Server) -> None:
    server.ask_once_up(_LOCATIONS)
    body, link = json.dumps({"query": _launch()}), f"/graphql?{urlencode({'query': _launch()})}"
    own = f"http://127.0.0.1:{server.port}"
    asked = [
        server.request("GET", link),
        server.request("GET", link, Origin="https://evil.example"),
        server.request("POST", link, "", Content_Type="text/plain", Origin=own),
        server.request("POST", "/graphql", body, Content_Type="text/plain; application/json", Origin=own),
        server.request("POST", "/graphql", body, Origin="https://evil.example"),
        server.request("POST", "/graphql", body, Origin="null"),
        server.request("POST", "/graphql", body, Host="evil.example"),
        server.request("POST", "/graphql", body, Host=f"evil.example:{server.port}"),
    ]
    assert [status for status, _ in asked] == [405, 403, 415, 415, 403, 403, 403, 403]
    assert all(text.startswith("Refused: ") for _, text in asked)
    assert server.ask(_RUNS)["runsOrError"]["results"] == []


def test_a_websocket_opens_for_the_servers_own_page_alone_and_changes_nothing(server: Server) -> None:
    server.ask_once_up(_LOCATIONS)
    address, own = f"ws://127.0.0.1:{server.port}/graphql", f"http://127.0.0.1:{server.port}"
    for foreign in ("https://evil.example", "null"):
        with pytest.raises(InvalidStatus, match="403"), connect(address, origin=Origin(foreign)):
            pass
    with connect(address, origin=Origin(own), subprotocols=[Subprotocol("graphql-ws")]) as socket_:
        socket_.send(json.dumps({"type": "start", "id": "1", "payload": {"query": _launch()}}))
        assert json.loads(socket_.recv(timeout=30))["type"] == "error"
    assert server.ask(_RUNS)["runsOrError"]["results"] == []


def test_a_backfill_of_two_pairs_ends_in_two_published_files_and_a_run_that_moves_its_settings_fails_before_any_work(
    server: Server, home: Path
) -> None:
    server.ask_once_up(_LOCATIONS)
    place = home.parent / "elsewhere"
    moved = {"home": str(place), "output": str(place), "bigquery_storage_endpoint": "127.0.0.1:9"}
    names = ("targets_spine", "feature_slabs", "training_parquet", "published_training_file")
    params = {"assetSelection": [{"path": [name]} for name in names], "partitionNames": PAIRS}
    assert server.ask(_BACKFILL, params=params)["launchPartitionBackfill"] == {"__typename": "LaunchBackfillSuccess"}
    assert "LaunchRunSuccess" in server.request("POST", "/graphql", json.dumps({"query": _launch(**moved)}))[1]
    server.daemon().resume()
    expected = ["FAILURE"] + ["SUCCESS"] * len(PAIRS)
    until = time.monotonic() + PATIENCE_SECONDS
    while (ends := sorted(_states(server))) != expected and time.monotonic() < until:
        assert ends.count("FAILURE") <= 1
        time.sleep(0.3)
    assert ends == expected
    assert not place.exists()
    assert {path.name for path in (home / "bqx-ml-output").glob("*.parquet")} == {
        f"training_{p}{end}" for p in PAIRS for end in (".parquet", ".columns.parquet")
    }


def _states(server: Server) -> list[str]:
    return [run["status"] for run in server.ask(_RUNS)["runsOrError"]["results"]]


def test_a_port_that_is_taken_is_refused_before_an_address_is_told_or_a_server_starts(tmp_path: Path) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BadSetting, match=rf"port {port}: .*PORT= for make ui"):
            serve_home(Settings(home=tmp_path / "home"), host="127.0.0.1", port=port, tell=told.append)
    assert told == []
    assert not (tmp_path / "home").exists()


def test_sigterm_ends_web_server_daemon_and_code_servers(server: Server) -> None:
    server.ask_once_up(_LOCATIONS)
    server.daemon().resume()
    until = time.monotonic() + PATIENCE_SECONDS
    while len(below := psutil.Process(server.process.pid).children(recursive=True)) < 4:
        assert time.monotonic() < until
        time.sleep(0.2)
    server.process.terminate()
    assert server.process.wait(timeout=60) == 0
    assert [process for process in below if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []


def test_servers_end_with_a_bqx_ui_that_was_killed(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    command = [str(BIN / "bqx"), "--home", str(tmp_path), "ui", "--port", str(port)]
    with subprocess.Popen(command, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        Server(port, process).daemon()
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(below, timeout=PATIENCE_SECONDS)
    assert alive == []


def test_a_full_disk_below_the_instance_is_one_error_of_bqx_ui_and_no_traceback(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BQX_", "DAGSTER_"))}
    full = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)); "
    started = (
        f"{full}from bqx_assets.cli.entry import main; sys.argv = ['bqx', '--home', {str(tmp_path)!r}, 'ui']; main()"
    )
    done = subprocess.run([sys.executable, "-c", started], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SystemRefused" in done.stderr
    assert "Dagster's storage: " in done.stderr
    assert "Traceback" not in done.stderr
