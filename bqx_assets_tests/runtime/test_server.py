"""The real web server and daemon on ``workspace.yaml``: what the browser asks, and a backfill it starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bqx_assets.quality.rules import RULES
from bqx_assets_tests.runtime.homes import make_home

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAIRS = ["eurusd", "gbpusd"]
PATIENCE_SECONDS = 120
_ASSETS = """{
    assetNodes { assetKey { path } groupName kinds isMaterializable partitionKeys
        assetChecksOrError { ... on AssetChecks { checks { name blocking } } } }
}"""
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
_RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"
_BACKFILL = """mutation($params: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $params) { __typename ... on PythonError { message } }
}"""


class Server:
    """GraphQL as the browser speaks it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 -- our own
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def ask_once_up(self, query: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.ask(query)
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


@contextmanager
def _process(log: Path, home: Path, *command: str) -> Generator[None]:
    """A program of Dagster's in the home; ended by its own process id, its children with it."""
    environment = {**os.environ, "DAGSTER_HOME": str(home / "dagster"), "BQX_HOME": str(home)}
    with (
        log.open("w") as output,
        subprocess.Popen(
            [str(BIN / command[0]), *command[1:]], cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("server") / "home", pairs=PAIRS, tables=2)
    (home / "dagster").mkdir()
    shutil.copy(ROOT / "dagster.yaml", home / "dagster")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace = ["-w", str(ROOT / "workspace.yaml")]
    with _process(home / "web.log", home, "dagster-webserver", *workspace, "-h", "127.0.0.1", "-p", str(port)):
        yield Server(port)


def test_the_web_server_shows_the_graph_its_checks_and_its_partitions(server: Server) -> None:
    [location] = server.ask_once_up(_LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location == {"name": "bqx_assets", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    nodes = {node["assetKey"]["path"][-1]: node for node in server.ask(_ASSETS)["assetNodes"]}
    made = ["targets_spine", "feature_slabs", "training_parquet", "published_training_file"]
    assert all(nodes[name]["isMaterializable"] and len(nodes[name]["partitionKeys"]) == 28 for name in made)
    checks = {each["name"]: each["blocking"] for each in nodes["training_parquet"]["assetChecksOrError"]["checks"]}
    assert checks == {rule.name: rule.severity == "error" for rule in RULES}


def test_a_backfill_of_two_pairs_started_from_the_browser_ends_in_two_published_files(
    server: Server, home: Path
) -> None:
    server.ask_once_up(_LOCATIONS)
    keys = [
        {"path": [name]} for name in ("targets_spine", "feature_slabs", "training_parquet", "published_training_file")
    ]
    params = {"assetSelection": keys, "partitionNames": PAIRS}
    assert server.ask(_BACKFILL, params=params)["launchPartitionBackfill"] == {"__typename": "LaunchBackfillSuccess"}
    # The daemon looks for backfills when it starts, and then every 30 s.
    with _process(home / "daemon.log", home, "dagster-daemon", "run", "-w", str(ROOT / "workspace.yaml")):
        until = time.monotonic() + PATIENCE_SECONDS
        while (states := _states(server)) != dict.fromkeys(PAIRS, "SUCCESS") and time.monotonic() < until:
            assert "FAILURE" not in states.values()
            time.sleep(0.3)
    assert states == dict.fromkeys(PAIRS, "SUCCESS")
    assert {path.name for path in (home / "bqx-ml-output").glob("*.parquet")} == {
        f"training_{p}.parquet" for p in PAIRS
    }


def _states(server: Server) -> dict[str, str]:
    """Each pair's run."""
    found: dict[str, str] = {}
    for run in server.ask(_RUNS)["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        found[tags["dagster/partition"]] = run["status"]
    return found
