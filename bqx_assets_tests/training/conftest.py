"""Two published pairs, made once, and the strict Cloud Storage server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store
from bqx_assets_tests.training.published import Merged, merged_pair

__all__ = ["gcs", "gcs_process", "gcs_store"]


@pytest.fixture(scope="session")
def eurusd(tmp_path_factory: pytest.TempPathFactory) -> Merged:
    """The merged file of eurusd."""
    return merged_pair(tmp_path_factory.mktemp("eurusd"), parse_pair("eurusd"))


@pytest.fixture(scope="session")
def gbpusd(tmp_path_factory: pytest.TempPathFactory) -> Merged:
    """The merged file of gbpusd, with other values."""
    return merged_pair(tmp_path_factory.mktemp("gbpusd"), parse_pair("gbpusd"), shift=2)


@pytest.fixture(scope="session")
def folder(eurusd: Merged, gbpusd: Merged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both are published. Who writes there takes a folder of its own."""
    place = tmp_path_factory.mktemp("published")
    for each in (eurusd, gbpusd):
        each.publish(LocalObjectStore(place))
    return place
