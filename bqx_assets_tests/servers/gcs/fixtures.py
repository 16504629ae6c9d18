"""Fixtures for the Cloud Storage server: one per session, emptied for each test, set as the endpoint by variable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bqx_assets.base.retry import RETRIES
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets_tests.servers.gcs.server import GcsServer

BUCKET = "bqx-ml-output"


@pytest.fixture(scope="session")
def gcs_process() -> Iterator[GcsServer]:
    """The running server."""
    with GcsServer() as server:
        yield server


@pytest.fixture
def gcs(gcs_process: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """An empty server with the output bucket."""
    gcs_process.reset()
    gcs_process.bucket(BUCKET)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_process.url)
    # The client asks for the bucket in a thread of its own, for traces nobody collects: it would disturb the counts.
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    return gcs_process


@pytest.fixture
def gcs_store(gcs: GcsServer) -> Iterator[GcsObjectStore]:
    """The output bucket by Google's client, with retries that are short enough for tests."""
    assert gcs.buckets
    made = GcsObjectStore(
        BUCKET, policy=replace(RETRIES["cloud_storage"], first_wait_seconds=0.01, patience_seconds=10)
    )
    yield made
    made.client.close()
