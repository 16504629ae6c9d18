"""Fixtures: the pair's reduced warehouse, in a folder and in local-bigquery; the bucket; Cloud Run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bqx_assets_tests.cloud.production import LOG_BUCKET, tables_of
from bqx_assets_tests.runtime.homes import make_home
from bqx_assets_tests.servers.bigquery.gate import ReadGate, gated
from bqx_assets_tests.servers.bigquery.local_bigquery import LocalBigQuery, local_bigquery
from bqx_assets_tests.servers.cloud_run.server import CloudRunServer
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store
from bqx_assets_tests.servers.gcs.server import GcsServer

__all__ = ["gcs", "gcs_process", "gcs_store"]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of the pair's tables, 3,600 rows."""
    return make_home(tmp_path_factory.mktemp("cloud"), tables=12) / "warehouse"


@pytest.fixture(scope="session")
def bigquery(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBigQuery]:
    """The same tables in local-bigquery."""
    with local_bigquery(tmp_path_factory.mktemp("local-bigquery")) as server:
        server.load(tables_of(warehouse))
        yield server


@pytest.fixture
def gate() -> ReadGate:
    return ReadGate()


@pytest.fixture
def endpoints(gcs: GcsServer, bigquery: LocalBigQuery, gate: ReadGate, warehouse: Path) -> Iterator[dict[str, str]]:
    """The environment that leads every process to the local servers, reads through the gate."""
    gcs.bucket(LOG_BUCKET)
    with gated(gate, bigquery.grpc_url) as reads:
        yield {
            "STORAGE_EMULATOR_HOST": gcs.url,
            "BIGQUERY_EMULATOR_HOST": bigquery.rest_url,
            "BQX_BIGQUERY_STORAGE_ENDPOINT": reads,
            "BQX_EXPECTATIONS": str(warehouse / "expectations.toml"),
        }


@pytest.fixture
def cloud_run() -> Iterator[CloudRunServer]:
    with CloudRunServer(grace_seconds=2) as server:
        yield server
