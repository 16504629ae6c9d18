"""Dagster's own programs as production runs them: code server, web server, daemon; GraphQL as the browser speaks it.

Belongs here: starting and stopping them, and asking. Does not: what is asserted.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "workspace.yaml"
BIN = Path(sys.executable).parent
PATIENCE_SECONDS = 150
_LOCATION = "bqx_assets"
_ONCE_UP = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_OVER = {"SUCCESS", "FAILURE", "CANCELED"}


class GraphQL:
    """The web server."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the answer's data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310 -- our own
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def await_location(self) -> None:
        """Wait until the code location is loaded."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                if self.ask(_ONCE_UP)["repositoriesOrError"]["nodes"]:
                    return
            except (urllib.error.URLError, ConnectionError, KeyError):
                pass
            time.sleep(0.2)
        raise TimeoutError("no code location")

    def launch(self, job: str, pair: str) -> str:
        """Launch a job's partition as the launchpad does, and return the run's id."""
        selector = {
            "repositoryLocationName": _LOCATION,
            "repositoryName": "__repository__",
            "jobName": job,
        }
        tags = [{"key": "dagster/partition", "value": pair}]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        answer = self.ask(_LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def await_end(self, run_id: str) -> str:
        """Wait for the run's end and return its status."""
        until = time.monotonic() + PATIENCE_SECONDS
        status = ""
        while status not in _OVER and time.monotonic() < until:
            status = self.ask(_STATUS, id=run_id)["runOrError"]["status"]
            time.sleep(0.2)
        return status


@contextmanager
def dagster_servers(home: Path, environment: Mapping[str, str]) -> Generator[GraphQL]:
    """Run code server, web server and daemon on an instance's home; their logs lie beside it."""
    code, web = _free_port(), _free_port()
    workspace = home / "workspace.yaml"
    document = yaml.safe_load(DEPLOYED.read_text())
    document["load_from"][0]["grpc_server"]["port"] = code
    workspace.write_text(yaml.safe_dump(document))
    host = ["-h", "127.0.0.1", "-p"]
    with ExitStack() as running:

        def start(name: str, *words: str) -> None:
            running.enter_context(_process(home / f"{name}.log", [str(BIN / name), *words], environment))

        start("dagster", "code-server", "start", "-m", "bqx_assets.definitions", *host, str(code))
        _await_code(code)
        start(
            "python",
            "-c",
            "from bqx_assets.runtime.web_server import main; main()",
            "-w",
            str(workspace),
            *host,
            str(web),
        )
        start("dagster-daemon", "run", "-w", str(workspace))
        graphql = GraphQL(web)
        graphql.await_location()
        yield graphql


def _await_code(port: int) -> None:
    """Wait until the code is loaded: a web server that came before it shows an error until it is told to reload."""
    until = time.monotonic() + PATIENCE_SECONDS
    client = DagsterGrpcClient(host="127.0.0.1", port=port)
    while time.monotonic() < until:
        try:
            client.list_repositories()
        except DagsterUserCodeUnreachableError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("no code server")


@contextmanager
def _process(log: Path, command: list[str], environment: Mapping[str, str]) -> Generator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
