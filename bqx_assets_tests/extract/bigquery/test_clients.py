"""Endpoints and credentials come from configuration, and credentials never go out in plain text."""

from __future__ import annotations

import pytest
from google.auth.credentials import AnonymousCredentials

from bqx_assets.base.errors import BadSetting, WarehouseError
from bqx_assets.base.settings import Settings
from bqx_assets.extract.bigquery.clients import open_clients
from bqx_assets.extract.bigquery.warehouse import BigQueryWarehouse
from bqx_assets.extract.connect import connect
from bqx_assets.extract.local.warehouse import LocalWarehouse
from bqx_assets.extract.staging import StagedWarehouse

REST = "BIGQUERY_EMULATOR_HOST"


@pytest.fixture(autouse=True)
def no_google(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No endpoint, no credentials, and no metadata server to ask for them."""
    monkeypatch.delenv(REST, raising=False)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path_factory.mktemp("gcloud")))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.parametrize(
    ("rest", "storage"),
    [
        ("http://127.0.0.1:9050", None),
        (None, "http://127.0.0.1:9060"),
        ("http://127.0.0.1:9050", "bigquery.example:443"),
    ],
)
def test_half_a_local_server_is_refused(monkeypatch: pytest.MonkeyPatch, rest: str | None, storage: str | None) -> None:
    if rest:
        monkeypatch.setenv(REST, rest)
    with pytest.raises(BadSetting, match="both plain-text endpoints, or neither"):
        open_clients("bqx-ml", storage)


@pytest.mark.parametrize("rest", ["http://127.0.0.1:9050", "127.0.0.1:9050"])
def test_plain_text_endpoints_are_spoken_to_without_credentials(monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    monkeypatch.setenv(REST, rest)
    clients = open_clients("bqx-ml", "http://127.0.0.1:9060")
    assert clients.catalogue._connection.API_BASE_URL == "http://127.0.0.1:9050"
    assert isinstance(clients.catalogue._credentials, AnonymousCredentials)


@pytest.mark.parametrize("storage", [None, "bigquerystorage.example:443"])
def test_googles_endpoints_need_credentials(storage: str | None) -> None:
    with pytest.raises(WarehouseError, match="DefaultCredentialsError, expected Google credentials"):
        open_clients("bqx-ml", storage)


@pytest.mark.parametrize("project", ["", "Bqx-ML", "a`b", "x.y", "bqx", "bqx-ml-", "bqx-ml/datasets/other"])
def test_a_project_that_cannot_be_one_is_refused(project: str) -> None:
    with pytest.raises(BadSetting, match="BQX_BIGQUERY_PROJECT"):
        open_clients(project)


def test_the_settings_choose_the_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(connect(Settings())[0], LocalWarehouse)
    monkeypatch.setenv(REST, "http://127.0.0.1:9050")
    monkeypatch.setenv("BQX_BIGQUERY_PROJECT", "bqx-ml")
    monkeypatch.setenv("BQX_BIGQUERY_STORAGE_ENDPOINT", "http://127.0.0.1:9060")
    assert isinstance(connect(Settings())[0], StagedWarehouse)
    monkeypatch.setenv("BQX_STAGE_SHARED", "false")
    assert isinstance(connect(Settings())[0], BigQueryWarehouse)
    assert connect(Settings())[0].name == "bqx-ml"
