"""The 28 pairs as Dagster partitions.

Belongs here: the partitions and the way from a partition key to a pair. Does not: which pairs a warehouse has.
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.base.pairs import ALL_PAIRS

PAIRS = dg.StaticPartitionsDefinition([pair.name for pair in ALL_PAIRS])
"""In market order: majors first, so that a backfill publishes those first."""
