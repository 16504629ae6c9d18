"""A team's script examines its project, makes its pairs from BigQuery into a bucket, reports and verifies them.

The servers are local: nothing here shows what Google itself answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets_tests.cloud.production import tables_of
from bqx_assets_tests.examples.conftest import EXAMPLES, run
from bqx_assets_tests.runtime.homes import make_home
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery, local_bigquery
from bqx_assets_tests.servers.gcs.fixtures import BUCKET, gcs, gcs_process, gcs_store
from bqx_assets_tests.servers.gcs.server import GcsServer

__all__ = ["gcs", "gcs_process", "gcs_store"]
pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some tables of two pairs."""
    return make_home(tmp_path_factory.mktemp("fleet"), pairs=["eurusd", "gbpusd"], tables=5) / "warehouse"


@pytest.fixture(scope="module")
def bigquery(
    warehouse: Path, gcs_process: GcsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBigQuery]:
    """The same tables in a server of their own."""
    with local_bigquery(tmp_path_factory.mktemp("bigquery"), gcs_process.url) as server:
        server.load(tables_of(warehouse))
        yield server


def test_a_fleet_is_made_reported_and_verified(
    bigquery: LocalBigQuery, gcs: GcsServer, gcs_store: GcsObjectStore, warehouse: Path, tmp_path: Path
) -> None:
    own = {"my-project": PROJECT, "my-bucket": BUCKET}
    text = (EXAMPLES / "fleet_on_google" / "team.env").read_text()
    for name, value in own.items():
        assert name in text
        text = text.replace(name, value)
    (tmp_path / "team.env").write_text(f"{text}BQX_EXPECTATIONS={warehouse / 'expectations.toml'}\n")
    servers = {
        "STORAGE_EMULATOR_HOST": gcs.url,
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_url,
        "BQX_BIGQUERY_STORAGE_ENDPOINT": bigquery.grpc_url,
    }
    found = run(tmp_path, str(EXAMPLES / "fleet_on_google" / "fleet.sh"), "team.env", variables=servers)
    names = {info.name for info in gcs_store.list_objects("")}
    assert {"training_eurusd.parquet", "training_gbpusd.parquet"} <= names
    assert any(name.startswith("fleet/") for name in names)
    said = (
        "nothing is missing for eurusd in settings, bigquery, tables, output",
        "2 of 2 pairs published, 0 failed, 0 cancelled",
        "2 of 2 pairs published, verified and fresh",
        "of a budget of 200.00 USD",
        "fleet/report.html",
        "by store checksum",
    )
    assert [words for words in said if words not in found] == []
