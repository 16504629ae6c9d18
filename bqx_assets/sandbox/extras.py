"""Tables that are no features and lie among them all the same, as in the users' datasets.

Belongs here: the ``_summary`` tables and the stray targets table. Does not: anything a pair is extracted from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, ExpectedTable

_STRAY_TARGETS = 7
"""The stray table stems from the time when there were only the targets of one window."""


def stray_tables(
    tables: Iterable[ExpectedTable], targets: Sequence[pl.DataFrame]
) -> dict[tuple[str, str], pl.DataFrame]:
    """Return frames by (dataset, table).

    Two ``mkt_*_summary`` tables without ``interval_time``: the family's rule must leave them out, for to wait for
    their rows once hung an extraction at 620 of 669. ``targets_all_fixed``: all pairs' first seven targets.
    """
    market = [table for table in tables if table.family == "market_wide"]
    summaries = {
        (FEATURES_DATASET, f"mkt_{topic}_summary"): pl.DataFrame(
            {
                "table_name": [each.table for each in market if topic in each.table],
                "feature_columns": [len(each.columns) for each in market if topic in each.table],
            },
            schema={"table_name": pl.String, "feature_columns": pl.Int64},
        )
        for topic in ("regime", "vol")
    }
    names = [name for name in targets[0].columns if name.startswith("target_")][:_STRAY_TARGETS]
    stray = pl.concat([frame.select(KEY, "pair", *names) for frame in targets])
    return summaries | {(TARGETS_DATASET, "targets_all_fixed"): stray}
