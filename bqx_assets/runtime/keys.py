"""Names the assets, their check, their 28 partitions, and the warehouse's tables as external assets above them."""

from __future__ import annotations

import dagster as dg

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, Family, families
from bqx_assets.release.published import INTACT_RULE

OWNERS = ["team:ml-data"]
GROUP = "training"
TARGETS = dg.AssetKey(["bigquery", "targets"])
SPINE = dg.AssetKey("targets_spine")
SLABS = dg.AssetKey("feature_slabs")
TRAINING = dg.AssetKey("training_parquet")
PUBLISHED = dg.AssetKey("published_training_file")
FLEET_REPORT = dg.AssetKey("fleet_report")
FLEET_JOB = "fleet_job"
"""Asset and job of the report of all pairs, the only work that is not of one pair."""
INTACT = dg.AssetCheckKey(PUBLISHED, INTACT_RULE)
"""The published file's own check, which a schedule runs again."""
PAIRS = dg.StaticPartitionsDefinition([pair.name for pair in ALL_PAIRS])
"""The pairs in market order, majors first. Their runs are ordered in the queue (``coordinator``): Dagster launches a
backfill's runs in alphabetical order."""
READING = "bigquery"
WRITING = "bucket"
"""Pools of the assets that read BigQuery and of those that write the bucket; dagster.yaml limits them."""


def family_key(family: str) -> dg.AssetKey:
    """Return the asset key of a family's warehouse tables."""
    return dg.AssetKey(["bigquery", family])


def source_specs() -> list[dg.AssetSpec]:
    """Return the external assets: the targets and the families."""
    targets = dg.AssetSpec(
        TARGETS,
        description=f"`{TARGETS_DATASET}.targets_{{pair}}`: a target for each window and horizon of the expectations.",
        partitions_def=PAIRS,
        group_name="bigquery",
        owners=OWNERS,
        kinds={"bigquery"},
        metadata={"dataset": TARGETS_DATASET, "dagster/table_name": f"{TARGETS_DATASET}.targets_{{pair}}"},
    )
    return [targets, *(_family_spec(family) for family in families())]


def _family_spec(family: Family) -> dg.AssetSpec:
    shared = f" The same tables for all {len(ALL_PAIRS)} pairs." if family.shared else ""
    return dg.AssetSpec(
        family_key(family.name),
        description=f"{family.description}{shared}",
        partitions_def=None if family.shared else PAIRS,
        group_name="bigquery",
        owners=OWNERS,
        kinds={"bigquery"},
        metadata={"dataset": FEATURES_DATASET},
    )
