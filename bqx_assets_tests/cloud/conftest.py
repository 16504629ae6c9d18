"""Fixtures: the pair's reduced warehouse in a folder and in local-bigquery, the bucket, and all of production.

Servers live for the whole session, Dagster's for those tests that need them; what they hold is fresh for each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets_tests.cloud.production import EXPECTATIONS, LOG_BUCKET, Production, production, tables_of
from bqx_assets_tests.runtime.homes import make_home
from bqx_assets_tests.servers.bigquery.gate import ReadGate, gated
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery, local_bigquery
from bqx_assets_tests.servers.cloud_run.server import CloudRunServer
from bqx_assets_tests.servers.gcs.fixtures import BUCKET, gcs, gcs_process, gcs_store
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.postgres.fixtures import postgres
from bqx_assets_tests.servers.postgres.server import PostgresServer

__all__ = ["gcs", "gcs_process", "gcs_store", "postgres"]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven of the pair's tables, at least one of each family, with 3,600 rows, in a folder."""
    return make_home(tmp_path_factory.mktemp("cloud"), tables=7) / "warehouse"


@pytest.fixture(scope="session")
def bigquery(
    warehouse: Path, gcs_process: GcsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBigQuery]:
    """The same tables in local-bigquery, which exports to the bucket's server."""
    with local_bigquery(tmp_path_factory.mktemp("local-bigquery"), gcs_process.url) as server:
        server.load(tables_of(warehouse))
        yield server


@pytest.fixture(scope="session")
def session_gate(bigquery: LocalBigQuery) -> Iterator[tuple[ReadGate, str]]:
    """The gate through which all reads of BigQuery go, and its address."""
    gate = ReadGate()
    with gated(gate, bigquery.grpc_url) as url:
        yield gate, url


@pytest.fixture(scope="session")
def endpoints(gcs_process: GcsServer, bigquery: LocalBigQuery, session_gate: tuple[ReadGate, str]) -> dict[str, str]:
    """The environment that leads every process to the local servers; it holds addresses alone."""
    return {
        "STORAGE_EMULATOR_HOST": gcs_process.url,
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_url,
        "BQX_BIGQUERY_STORAGE_ENDPOINT": session_gate[1],
    }


@pytest.fixture(scope="module")
def running(
    endpoints: dict[str, str],
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Production]:
    """Dagster's servers and Cloud Run, as they are deployed. They poll for work, so no other tests run meanwhile."""
    with (
        CloudRunServer(grace_seconds=2) as cloud_run,
        production(tmp_path_factory.mktemp("production"), cloud_run, postgres, endpoints) as made,
    ):
        yield made


@pytest.fixture
def gate(session_gate: tuple[ReadGate, str]) -> ReadGate:
    """The gate, reset: it lets everything through and has counted nothing."""
    session_gate[0].reset()
    return session_gate[0]


@pytest.fixture
def bucket(gcs: GcsServer) -> GcsServer:
    """The server with an empty output bucket and an empty log bucket."""
    gcs.bucket(LOG_BUCKET)
    return gcs


@pytest.fixture
def approved(bucket: GcsServer, warehouse: Path, gcs_store: GcsObjectStore) -> GcsServer:
    """The buckets with the approved expectations that the recipe puts there before the first run.

    They are laid over the packaged ones: what a small warehouse lacks, and its sizes.
    """
    gcs_store.put_bytes(EXPECTATIONS, (warehouse / "expectations.toml").read_bytes())
    return bucket


@pytest.fixture
def cloud(
    bucket: GcsServer,
    gate: ReadGate,
    endpoints: dict[str, str],
    warehouse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> GcsServer:
    """The environment of a container's shell for this process: it leads to the servers, and the home is empty."""
    assert not gate.tables
    monkeypatch.chdir(tmp_path)
    for name, value in endpoints.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BQX_EXPECTATIONS", str(warehouse / "expectations.toml"))
    monkeypatch.setenv("BQX_BIGQUERY_PROJECT", PROJECT)
    monkeypatch.setenv("BQX_OUTPUT", f"gs://{BUCKET}")
    return bucket
