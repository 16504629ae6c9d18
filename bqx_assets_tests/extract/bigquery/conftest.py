"""local-bigquery for the tests of this folder: one server per worker, started for the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bqx_assets_tests.servers.bigquery.local_bigquery import LocalBigQuery, local_bigquery
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store
from bqx_assets_tests.servers.gcs.server import GcsServer

__all__ = ["gcs", "gcs_process", "gcs_store"]


@pytest.fixture(scope="session")
def bigquery_server(gcs_process: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBigQuery]:
    with local_bigquery(tmp_path_factory.mktemp("local-bigquery"), gcs_process.url) as server:
        yield server
