"""The assets' names, and that of the check which runs by itself.

Belongs here: asset keys, the check's key and the owners, once. Does not: what they stand for.
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.release.published import INTACT_RULE

OWNERS = ["team:ml-data"]
GROUP = "training"
TARGETS = dg.AssetKey(["bigquery", "targets"])
SPINE = dg.AssetKey("targets_spine")
SLABS = dg.AssetKey("feature_slabs")
TRAINING = dg.AssetKey("training_parquet")
PUBLISHED = dg.AssetKey("published_training_file")
INTACT = dg.AssetCheckKey(PUBLISHED, INTACT_RULE)
"""The published file's own check, which a schedule runs again."""


def family_key(family: str) -> dg.AssetKey:
    """Return the asset key of a family's warehouse tables."""
    return dg.AssetKey(["bigquery", family])
