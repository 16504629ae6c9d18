"""The assets' names.

Belongs here: asset keys and the owners, once. Does not: what they stand for.
"""

from __future__ import annotations

import dagster as dg

OWNERS = ["team:ml-data"]
GROUP = "training"
TARGETS = dg.AssetKey(["bigquery", "targets"])
SPINE = dg.AssetKey("targets_spine")
SLABS = dg.AssetKey("feature_slabs")
TRAINING = dg.AssetKey("training_parquet")
PUBLISHED = dg.AssetKey("published_training_file")


def family_key(family: str) -> dg.AssetKey:
    """Return the asset key of a family's warehouse tables."""
    return dg.AssetKey(["bigquery", family])
