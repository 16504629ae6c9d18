"""The strict server for this folder's tests, and a store on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bqx_assets.base.objects.gcs import GcsObjectStore
from bqx_assets_tests.servers.gcs.fixtures import BUCKET, gcs, gcs_process
from bqx_assets_tests.servers.gcs.server import GcsServer

__all__ = ["gcs", "gcs_process"]


@pytest.fixture
def store(gcs: GcsServer) -> Iterator[GcsObjectStore]:
    """The output bucket, retries quick enough for tests."""
    assert gcs.buckets
    made = GcsObjectStore(BUCKET, first_delay_seconds=0.01, patience_seconds=10)
    yield made
    made.client.close()
