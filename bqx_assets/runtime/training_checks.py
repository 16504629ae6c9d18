"""Defines the checks of the training file and of the published object; ``quality`` and ``release`` give the verdicts.

All rules of a training file are judged in one pass, whichever of its checks are selected.
"""

from collections.abc import Iterator

import dagster as dg

from bqx_assets.quality.rules import RULES, one_for_each_rule
from bqx_assets.release.published import intact
from bqx_assets.runtime.keys import INTACT, PUBLISHED, TRAINING
from bqx_assets.runtime.step import step
from bqx_assets.runtime.verdicts import check_result, check_spec, check_specs
from bqx_assets.runtime.workspace import Workspace


@dg.multi_asset_check(
    name="training_parquet_rules",
    specs=check_specs(RULES, TRAINING),
    can_subset=True,
)
def training_rules(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Validate the pair's training file once, and give every selected rule its verdict."""
    with step(context.partition_key, context.log, workspace) as run:
        report = run.pipeline.validate(run.pair)
        selected = {key.name for key in context.selected_asset_check_keys}
        for verdict in one_for_each_rule(report):
            if verdict.rule in selected:
                yield check_result(TRAINING, verdict)


@dg.multi_asset_check(
    name="published_training_file_intact",
    specs=[
        check_spec(
            INTACT.name,
            PUBLISHED,
            "Size and CRC32C of the published bytes are its manifest's: a folder's file is read, a bucket asked.",
            severity="error",
            # Rot of a published file is to be seen, and to hold up nothing: what reads the file is not made here.
            blocking=False,
        )
    ],
)
def published_intact(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Verify the published bytes. Run it by schedule: bits rot without a change of size or time."""
    with step(context.partition_key, context.log, workspace) as run:
        yield check_result(PUBLISHED, intact(run.pipeline.store, run.pair))
