"""Names the assets, their check, their 28 partitions, and the warehouse's tables as external assets above them."""

from __future__ import annotations

import dagster as dg

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import FAMILIES, FEATURES_DATASET, TARGETS_DATASET
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
PAIRS = dg.StaticPartitionsDefinition([pair.name for pair in ALL_PAIRS])
"""In market order, as schedule and sensor ask for them, majors first; Dagster's own backfills go by the alphabet."""
_OF_A_PAIR = "pair_specific"
"""The only family whose tables differ from pair to pair; the other 411 tables are one set for all 28."""
_WHAT = {
    "pair_specific": "Features of one pair: BQX and IDX variants, regressions, lags, regimes, correlations.",
    "triangulation": "Implied against quoted cross rates of each three currencies.",
    "currency_strength": "Strength of each currency over all its pairs.",
    "variance": "Variance of groups of pairs.",
    "market_wide": "Features of the whole market; its `_summary` tables are metadata and left out.",
}


def family_key(family: str) -> dg.AssetKey:
    """Return the asset key of a family's warehouse tables."""
    return dg.AssetKey(["bigquery", family])


def source_specs() -> list[dg.AssetSpec]:
    """Return the external assets: the targets and the five families."""
    targets = dg.AssetSpec(
        TARGETS,
        description=f"`{TARGETS_DATASET}.targets_{{pair}}`: the 49 targets, 7 windows by 7 horizons.",
        partitions_def=PAIRS,
        group_name="bigquery",
        owners=OWNERS,
        kinds={"bigquery"},
        metadata={"dataset": TARGETS_DATASET},
    )
    return [targets, *(_family_spec(family) for family in FAMILIES)]


def _family_spec(family: str) -> dg.AssetSpec:
    shared = "" if family == _OF_A_PAIR else " The same tables for all 28 pairs."
    return dg.AssetSpec(
        family_key(family),
        description=f"{_WHAT[family]}{shared}",
        partitions_def=PAIRS if family == _OF_A_PAIR else None,
        group_name="bigquery",
        owners=OWNERS,
        kinds={"bigquery"},
        metadata={"dataset": FEATURES_DATASET},
    )
