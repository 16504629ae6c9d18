"""Training files in the output bucket as Dagster inputs: lazy frames that read the ranges of the columns asked for.

Belongs here: one input's partitions from objects. Does not: local files (``training_io``), laying them down.
"""

from __future__ import annotations

from typing import Any, get_args

import dagster as dg
import polars as pl

from bqx_assets.base.errors import ObjectMissing
from bqx_assets.base.frame_files import scan_parquet
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.staged import merged_name

Frame = pl.LazyFrame | pl.DataFrame


def load_objects(context: dg.InputContext, store: ObjectStore) -> Frame | dict[str, Frame] | None:
    """Return the input's training file; of several partitions a dict by pair, missing ones left out where allowed.

    ``pl.DataFrame`` as annotation collects; anything else stays lazy. Input metadata ``columns`` selects.
    **Cost**: lazy, the question whether it is there; collected, the footer and the selected columns' ranges.

    Raises:
        ObjectMissing: no merged file of a pair.
    """
    facts: dict[str, Any] = dict(context.definition_metadata or {})
    annotation = context.dagster_type.typing_type
    eager = annotation is pl.DataFrame or pl.DataFrame in get_args(annotation)
    frames: dict[str, Frame] = {}
    for key in context.asset_partition_keys:
        name = merged_name(parse_pair(key))
        if store.head(name) is not None:
            frames[key] = _frame(store.uri(name), facts.get("columns"), eager=eager)
        elif not facts.get("allow_missing_partitions"):
            raise ObjectMissing(
                store.uri(name), got="no such object", expected="the pair's merged file", cure=f"bqx run {key}"
            )
    return frames if len(context.asset_partition_keys) > 1 else next(iter(frames.values()), None)


def _frame(uri: str, columns: list[str] | None, *, eager: bool) -> Frame:
    scan = scan_parquet(uri)
    wanted = scan if columns is None else scan.select(columns)
    return wanted.collect() if eager else wanted
