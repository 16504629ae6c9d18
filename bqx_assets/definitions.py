"""Gives Dagster its definitions: ``workspace.yaml`` (``bqx ui``) and ``dagster_cloud.yaml`` name this module."""

from __future__ import annotations

import dagster as dg

from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.workspace import Workspace


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph over the settings of the environment: ``BQX_HOME`` and the other ``BQX_*``."""
    return build_definitions(Workspace())
