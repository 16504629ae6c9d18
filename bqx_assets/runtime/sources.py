"""The warehouse's tables as the graph's roots: one external asset a family, and the targets.

Belongs here: what Dagster shows upstream of extraction. Does not: anything that is materialised.
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.catalogue.families import FAMILIES, FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.runtime.keys import OWNERS, TARGETS, family_key
from bqx_assets.runtime.partitions import PAIRS

_OF_A_PAIR = "pair_specific"
"""The only family whose tables differ from pair to pair; the other 411 tables are one set for all 28."""
_WHAT = {
    "pair_specific": "Features of one pair: BQX and IDX variants, regressions, lags, regimes, correlations.",
    "triangulation": "Implied against quoted cross rates of each three currencies.",
    "currency_strength": "Strength of each currency over all its pairs.",
    "variance": "Variance of groups of pairs.",
    "market_wide": "Features of the whole market; its `_summary` tables are metadata and left out.",
}


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
