"""No credential, token or signed URL in anything a run writes or says, whatever goes wrong on the way.

The run's client signs in as a service account for real: the server sees its tokens, the output must not.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import storage
from google.oauth2.service_account import Credentials
from typer.testing import CliRunner, Result

from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store import open_store
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.cli.main import app
from bqx_assets_tests.cloud.planted import Planted, files_of, objects_of
from bqx_assets_tests.runtime.homes import copy_home, make_home
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.servers.oauth import TokenServer

FAULTS: list[list[dict[str, object]]] = [
    [
        {"operation": "object.insert", "kind": "reset", "times": 9, "name": "staging/slabs/eurusd/"},
        {"operation": "object.insert", "status": 401, "name": "agg_"},
    ],
    [{"operation": "object.compose", "kind": "status", "status": 403}],
    [{"operation": "object.media", "status": 400, "name": "training_eurusd.parquet"}],
]
"""Of one run each: of the extraction, the merge, the validation."""


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    """Credentials whose tokens a server of their own gives out."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    with TokenServer() as server:
        made = Planted.into(folder, server.url)
        server.token = made.token
        yield made


@pytest.fixture
def signed_in(planted: Planted, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    """A process with everything in its environment, and one client for its bucket, signed in."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    for name, value in planted.environment().items():
        monkeypatch.setenv(name, value)
    credentials = Credentials.from_service_account_file(str(planted.key_file), scopes=["storage"])
    client = storage.Client("bqx-ml", credentials=credentials, client_options={"api_endpoint": gcs.url})
    store = GcsObjectStore(
        BUCKET, client=client, policy=replace(RETRIES["cloud_storage"], first_wait_seconds=0.01, patience_seconds=0.5)
    )

    def signed_in_bucket(*_: object) -> GcsObjectStore:
        return store

    monkeypatch.setattr(open_store, "_bucket", signed_in_bucket)
    monkeypatch.setenv("BQX_OUTPUT", f"gs://{BUCKET}")
    yield gcs
    client.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("secrets") / "home", tables=3)


def test_no_secret_is_in_anything_a_run_leaves_whatever_fails(
    planted: Planted,
    signed_in: GcsServer,
    home: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = copy_home(home, tmp_path / "home")
    said: list[str] = []
    for faults in FAULTS:
        for fault in faults:
            signed_in.fail(**{**fault, "message": f"see {planted.signed_url} with {planted.token}"})  # type: ignore[arg-type]
        failed = _bqx(settings.home, "run", "eurusd")
        assert failed.exit_code == 1, _output(failed)
        said.append(_output(failed))
    last = _bqx(settings.home, "run", "eurusd")
    assert last.exit_code == 0, _output(last)
    assert f"Bearer {planted.token}" in signed_in.log.heard
    captured = capfd.readouterr()
    texts = [*said, _output(last), caplog.text, captured.out, captured.err]
    left = itertools.chain(
        files_of(settings.home),
        objects_of(signed_in),
        ((f"text {number}", text.encode()) for number, text in enumerate(texts)),
    )
    assert planted.found_in(left) == []


def test_the_search_finds_what_is_there(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"Authorization: Bearer {planted.token}")
    assert set(planted.found_in(files_of(tmp_path))) == {str(planted.key_file), str(tmp_path / "log")}


def _bqx(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--debug", "--home", str(home), *words])


def _output(result: Result) -> str:
    return f"{result.stdout}\n{result.stderr}"
