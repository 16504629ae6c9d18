"""A team's script makes its pairs from BigQuery into a bucket: one fails and recovers, one is restored.

The servers are local: nothing here shows what Google itself answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.protocol import ObjectInfo
from bqx_assets.runtime.alerts import AlertState, run_alerts
from bqx_assets.runtime.instance import open_instance
from bqx_assets_tests.cloud.production import tables_of
from bqx_assets_tests.docs.page_commands import run_bqx, run_script
from bqx_assets_tests.examples.conftest import EXAMPLES, run
from bqx_assets_tests.runtime.homes import make_home
from bqx_assets_tests.servers.bigquery.local_bigquery import PROJECT, LocalBigQuery, local_bigquery
from bqx_assets_tests.servers.gcs.fixtures import BUCKET, gcs, gcs_process, gcs_store
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.receivers import WebhookServer

__all__ = ["gcs", "gcs_process", "gcs_store"]
pytestmark = pytest.mark.cloud
FLEET = EXAMPLES / "fleet_on_google"
RESTORE = FLEET / "restore.py"
SPOILED = ("bqx_ml_v3_features_v2", "base_bqx_gbpusd")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some tables of two pairs."""
    return make_home(tmp_path_factory.mktemp("fleet"), pairs=["eurusd", "gbpusd"], tables=5) / "warehouse"


@pytest.fixture(scope="module")
def bigquery(
    warehouse: Path, gcs_process: GcsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBigQuery]:
    """The same tables in a server of their own; one of gbpusd has a row twice."""
    with local_bigquery(tmp_path_factory.mktemp("bigquery"), gcs_process.url) as server:
        tables = tables_of(warehouse)
        own = tables[SPOILED].filter(pair="gbpusd").sort("interval_time")
        server.load(tables | {SPOILED: pl.concat([tables[SPOILED], own[2_000:2_001]])})
        yield server


@dataclass
class Team:
    """The team's machine: a folder with its settings, and who is told of failures."""

    folder: Path
    hook: WebhookServer
    servers: Mapping[str, str]
    """The variables that lead to local servers."""
    settings: Mapping[str, str]
    """What ``team.env`` says."""

    cursor: str | None = field(default_factory=lambda: AlertState().model_dump_json())

    def alerts(self) -> list[str]:
        """Return what the sensor that Dagster's daemon runs each minute tells of runs since the last look."""
        before = len(self.hook.texts)
        with open_instance(self.folder / ".bqx" / "dagster") as instance:
            found = run_alerts(dg.build_sensor_context(instance=instance, cursor=self.cursor))
        assert isinstance(found, dg.SensorResult)
        self.cursor = found.cursor
        return self.hook.texts[before:]


@pytest.fixture
def team(
    bigquery: LocalBigQuery, gcs: GcsServer, warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Team]:
    servers = {
        "STORAGE_EMULATOR_HOST": gcs.url,
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_url,
        "BQX_BIGQUERY_STORAGE_ENDPOINT": bigquery.grpc_url,
    }
    with WebhookServer() as hook:
        own = {"my-project": PROJECT, "my-bucket": BUCKET, "BQX_ALERT_WEBHOOK=": f"BQX_ALERT_WEBHOOK={hook.url}/hook"}
        text = (FLEET / "team.env").read_text()
        for name, value in own.items():
            assert name in text
            text = text.replace(name, value)
        text += f"BQX_EXPECTATIONS={warehouse / 'expectations.toml'}\n"
        (tmp_path / "team.env").write_text(text)
        settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
        for name, value in (servers | settings).items():
            monkeypatch.setenv(name, value)
        yield Team(tmp_path, hook, servers, settings)


def test_a_pair_fails_is_told_and_recovers(
    team: Team, bigquery: LocalBigQuery, gcs_store: GcsObjectStore, warehouse: Path
) -> None:
    found = run(team.folder, str(FLEET / "fleet.sh"), "team.env", variables=team.servers, exit_code=1)
    said = (
        "nothing is missing for eurusd in settings, bigquery, tables, output",
        "200 ok",
        "1 of 2 pairs published, 1 failed, 0 cancelled",
        "DuplicateKeys",
        "of a budget of 200.00 USD",
        "fleet/report.html",
        "bqx fleet run --failed",
    )
    assert [words for words in said if words not in found] == [], found
    assert any(text.startswith("*gbpusd: ") and "base_bqx_gbpusd" in text for text in team.alerts())
    assert gcs_store.head("training_eurusd.parquet") is not None
    assert gcs_store.head("training_gbpusd.parquet") is None

    bigquery.load({SPOILED: tables_of(warehouse)[SPOILED]})
    assert "1 of 1 pairs published, 0 failed" in run(
        team.folder, "bqx", "fleet", "run", "--failed", variables={**team.servers, **team.settings}
    )
    assert run_bqx(["verify", "--all"], team.folder).count("by store checksum") == 2
    assert "good again" in "".join(team.alerts())


def test_an_earlier_version_is_listed_and_comes_back(
    gcs_store: GcsObjectStore, warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BQX_OUTPUT", f"gs://{BUCKET}")
    monkeypatch.setenv("BQX_WAREHOUSE", str(warehouse))
    run_bqx(["store", "init"], tmp_path)
    published = "training_eurusd.parquet"
    found: list[ObjectInfo | None] = []
    for encoding in ("balanced", "compatible"):  # the same values in other bytes
        run_bqx(["run", "eurusd"], tmp_path, {"BQX_ENCODING": encoding})
        found.append(gcs_store.head(published))
    first, second = found
    assert first is not None
    assert second is not None
    assert second.crc32c != first.crc32c
    listed = re.findall(r"^(\d+) .* (live|earlier)$", run_script(RESTORE, tmp_path, "eurusd"), re.MULTILINE)
    assert listed == [(first.version, "earlier"), (second.version, "live")]
    assert "is published again" in run_script(RESTORE, tmp_path, "eurusd", first.version)
    restored = gcs_store.head(published)
    assert restored is not None
    assert (restored.crc32c, restored.metadata) == (first.crc32c, first.metadata)
    assert "by store checksum" in run_bqx(["verify", "eurusd"], tmp_path)
    with pytest.raises(SystemExit, match="no version 7 of"):
        run_script(RESTORE, tmp_path, "eurusd", "7")
