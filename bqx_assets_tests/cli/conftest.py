"""The strict Cloud Storage server, for the tests of this folder that need a bucket."""

from __future__ import annotations

from bqx_assets_tests.servers.gcs.fixtures import gcs, gcs_process

__all__ = ["gcs", "gcs_process"]
