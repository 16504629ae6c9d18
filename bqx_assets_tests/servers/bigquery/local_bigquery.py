"""Runs local-bigquery as a process on free ports of 127.0.0.1 and loads tables into it by Google's own client."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqx_assets.base.names import KEY
from bqx_assets_tests.servers.bigquery.install import SERVER_HOME, install

PROJECT = "bqx-ml"
_START_SECONDS = 60.0
_CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LocalBigQuery:
    """A running server."""

    rest_url: str
    grpc_url: str
    log: Path
    """The file with one line per answered REST call."""

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point ``bqx`` at it."""
        return {
            "BIGQUERY_EMULATOR_HOST": self.rest_url,
            "BQX_BIGQUERY_PROJECT": PROJECT,
            "BQX_BIGQUERY_STORAGE_ENDPOINT": self.grpc_url,
        }

    def client(self) -> bigquery.Client:
        """Return a client that may write, which no client of the product does."""
        return bigquery.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.rest_url}
        )

    def load(self, frames: Mapping[tuple[str, str], pl.DataFrame]) -> None:
        """Load frames by (dataset, table), partitioned by day and clustered by pair as the users' tables are."""
        with closing(self.client()) as client:
            for dataset in sorted({dataset for dataset, _ in frames}):
                client.create_dataset(dataset, exists_ok=True, timeout=_CALL_SECONDS)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(partial(_load, client), frames.keys(), frames.values()))


@contextmanager
def local_bigquery(folder: Path, storage_url: str = "") -> Generator[LocalBigQuery]:
    """Run a server that keeps its data and log in ``folder``; it is always stopped, by its process id.

    It exports to the Cloud Storage server at ``storage_url``.
    """
    program = install()
    rest_port, grpc_port = _free_port(), _free_port()
    address = ["--host", "127.0.0.1", "--port", rest_port, "--grpc-port", grpc_port]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BIGQUERY_", "STORAGE_"))}
    environment |= {"HOME": str(SERVER_HOME)} | ({"STORAGE_EMULATOR_HOST": storage_url} if storage_url else {})
    with (folder / "local-bigquery.log").open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in (program, *address, "--data-dir", folder / "data", "--project", PROJECT)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_port(process, rest_port)
        log_file = folder / "local-bigquery.log"
        yield LocalBigQuery(f"http://127.0.0.1:{rest_port}", f"http://127.0.0.1:{grpc_port}", log_file)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _load(client: bigquery.Client, name: tuple[str, str], frame: pl.DataFrame) -> None:
    data = io.BytesIO()
    frame.write_parquet(data)
    data.seek(0)
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        time_partitioning=bigquery.TimePartitioning(field=KEY) if KEY in frame.columns else None,
        clustering_fields=["pair"] if "pair" in frame.columns else None,
    )
    job = client.load_table_from_file(data, ".".join(name), job_config=config, timeout=_CALL_SECONDS)
    job.result(timeout=_CALL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    msg = f"local-bigquery did not start: exit code {process.poll()}"
    raise RuntimeError(msg)
