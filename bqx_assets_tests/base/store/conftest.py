"""The strict server for this folder's tests, and a store on it."""

from __future__ import annotations

import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store

__all__ = ["gcs", "gcs_process", "gcs_store"]


@pytest.fixture
def store(gcs_store: GcsObjectStore) -> GcsObjectStore:
    """The output bucket."""
    return gcs_store
