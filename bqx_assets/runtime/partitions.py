"""The 28 pairs as Dagster partitions.

Belongs here: the partitions and the way from a partition key to a pair. Does not: which pairs a warehouse has.
"""

from __future__ import annotations

import dagster as dg

from bqx_assets.base.pairs import ALL_PAIRS

PAIRS = dg.StaticPartitionsDefinition([pair.name for pair in ALL_PAIRS])
"""In market order, as schedule and sensor ask for them, majors first; Dagster's own backfills go by the alphabet."""
