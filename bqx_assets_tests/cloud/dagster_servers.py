"""Dagster's own programs as production runs them: code server, web server, daemon; GraphQL as the browser speaks it.

Belongs here: starting and stopping them, and asking. Does not: what is asserted.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient

from bqx_assets_tests.deploy.recipe import DEPLOY

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


@dataclass(frozen=True)
class Machine:
    """The services of ``deploy/compose.yaml`` on this machine: their very words, with free ports."""

    home: Path
    environment: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=lambda: {"4000": _free_port(), "3000": _free_port()})
    """By the ports that compose.yaml names."""

    def words(self, service: str, *, health: bool = False) -> list[str]:
        """Return the command of a service, or that of its health check, as this machine can run it."""
        definition = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]
        program, *rest = definition["healthcheck"]["test"][1:] if health else definition["command"]
        return [str(BIN / program), *(self._here(word) for word in rest)]

    def healthy(self, service: str) -> bool:
        """Say what the health check of a service says."""
        words = self.words(service, health=True)
        return subprocess.run(words, env=dict(self.environment), capture_output=True, check=False).returncode == 0

    def _here(self, word: str) -> str:
        for theirs, ours in self.ports.items():
            word = re.sub(rf"\b{theirs}\b", str(ours), word)
        return str(self.home / word) if word == "workspace.yaml" else word


@contextmanager
def dagster_servers(home: Path, environment: Mapping[str, str]) -> Generator[tuple[GraphQL, Machine]]:
    """Run code server, web server and daemon on an instance's home; their logs lie beside it."""
    machine = Machine(home, environment)
    code, web = machine.ports["4000"], machine.ports["3000"]
    document = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
    document["load_from"][0]["grpc_server"]["port"] = code
    (home / "workspace.yaml").write_text(yaml.safe_dump(document))
    with ExitStack() as running:

        def start(service: str) -> None:
            running.enter_context(_process(home / f"{service}.log", machine.words(service), environment))

        start("code")
        _await_code(code)
        start("web")
        start("daemon")
        graphql = GraphQL(web)
        graphql.await_location()
        yield graphql, machine


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
