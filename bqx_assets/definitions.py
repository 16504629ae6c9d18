"""What Dagster loads: ``workspace.yaml``, ``dagster_cloud.yaml`` and ``dagster dev -m bqx_assets.definitions``.

Belongs here: ``defs``. Does not: anything else.
"""

from __future__ import annotations

from bqx_assets.runtime.graph import build_definitions
from bqx_assets.runtime.workspace import Workspace

defs = build_definitions(Workspace())
