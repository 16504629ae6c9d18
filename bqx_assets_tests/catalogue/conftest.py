"""The Cloud Storage server, for expectations that are an object."""

from __future__ import annotations

from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process, gcs_store

__all__ = ["gcs", "gcs_process", "gcs_store"]
