"""Defines the four assets: spine, slabs, training file and published file, each with one partition for each pair."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg

from bqx_assets.base.errors import ExtractionIncomplete, TransientReadError, ValidationFailed
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.families import family_names
from bqx_assets.extract.slab_records import CODE_VERSION
from bqx_assets.merge.plan import MergePlan
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.slab_rules import SLAB_RULES, slab_verdicts
from bqx_assets.runtime.checks import check_result, check_specs, what_helps
from bqx_assets.runtime.keys import (
    GROUP,
    OWNERS,
    PAIRS,
    PUBLISHED,
    READING,
    SLABS,
    SPINE,
    TARGETS,
    TRAINING,
    WRITING,
    family_key,
)
from bqx_assets.runtime.launcher.tags import MEMORY_TAG
from bqx_assets.runtime.metadata import (
    extraction_metadata,
    made_tags,
    publication_metadata,
    read_metadata,
    spine_metadata,
)
from bqx_assets.runtime.step import step, tag_outcome
from bqx_assets.runtime.workspace import Workspace

_MADE_ALONE = (
    dg.AutomationCondition.newly_updated()
    & ~dg.AutomationCondition.executed_with_root_target()
    & ~dg.AutomationCondition.executed_with_tags(tag_values={MEMORY_TAG: "pair"})
)
"""A stage was made by a run without the later ones. Dagster's own ``executed_with_root_target`` knows only runs of
selected assets: a run of the whole job, which this tag tells, was followed by a second publication."""
_FOLLOW = (
    dg.AutomationCondition.eager().replace("newly_updated_without_root", _MADE_ALONE)
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
"""A stage that was made by hand is followed by the later ones, after its blocking checks passed, where that is on."""
_FOLLOW_SPINE = cast("dg.AutomationCondition[Any]", _FOLLOW.allow(dg.AssetSelection.assets(SPINE)))
"""The warehouse's tables, which are not made here, are the business of the sensor that looks at them alone."""


@dg.asset(
    key=SPINE,
    pool=READING,
    deps=[TARGETS],
    partitions_def=PAIRS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"bigquery", "parquet"},
    code_version=CODE_VERSION,
)
def targets_spine(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """The pair's rows: `interval_time`, unique and ascending, with the 49 targets, at one snapshot of the warehouse.

    Every later artifact of the pair has exactly these rows. They are read again only if the targets table changed.
    """
    with step(context, workspace, "spine") as run:
        spine = run.pipeline.extract_spine(run.pair)
        slab = run.pipeline.slabs(run.pair).load_spine().slab
        columns = len(slab.provenance.columns)
        return dg.MaterializeResult(
            value=None,
            metadata=spine_metadata(spine, slab.size_bytes, columns)
            | read_metadata(run.pipeline.warehouse(run.pair))
            | run.cost(),
            data_version=dg.DataVersion(f"{spine.fingerprint}-{slab.crc32c:08x}"),
        )


@dg.asset(
    key=SLABS,
    pool=READING,
    deps=[SPINE, *(family_key(family) for family in family_names())],
    check_specs=check_specs(SLAB_RULES, SLABS),
    partitions_def=PAIRS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"bigquery", "parquet"},
    code_version=CODE_VERSION,
    automation_condition=_FOLLOW_SPINE,
    output_required=False,
    # A generator's annotation does not say that there is no value: the IO manager would be asked to keep None.
    dagster_type=dg.Nothing,  # pyright: ignore[reportArgumentType] -- at run time it is a DagsterType
)
def feature_slabs(
    context: dg.AssetExecutionContext, workspace: Workspace
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """One parquet file for each feature table (667 of them), aligned to the spine's rows, with prefixed columns.

    A slab is a checkpoint, reused only if its fingerprint (source table, columns, filters, spine, code) and its
    checksum are right. If a table fails, all others are saved, and then the pair fails and names it.
    """
    with step(context, workspace, "slabs") as run:
        try:
            record = run.pipeline.extract_features(run.pair)
        except ExtractionIncomplete:
            record = run.pipeline.slabs(run.pair).load_extraction()
            # The verdicts name the tables, so they must not be lost with the step.
            yield from (check_result(SLABS, verdict) for verdict in slab_verdicts(record))
            run.transient = all(each.error == TransientReadError.__name__ for each in record.failed)
            raise
        context.instance.add_run_tags(context.run.run_id, made_tags(record))
        # The checks come after the materialisation: Dagster's automation counts an earlier check for the previous one.
        yield dg.MaterializeResult(
            value=None,
            asset_key=SLABS,
            metadata=extraction_metadata(record) | read_metadata(run.pipeline.warehouse(run.pair)) | run.cost(),
        )
        yield from (check_result(SLABS, verdict) for verdict in slab_verdicts(record))


@dg.asset(
    key=TRAINING,
    pool=WRITING,
    deps=[SLABS],
    partitions_def=PAIRS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    dagster_type=dg.PythonObjectDagsterType(MergePlan),
    automation_condition=_FOLLOW,
)
def training_parquet(context: dg.AssetExecutionContext, workspace: Workspace) -> MergePlan:
    """The pair's one wide file: key, 49 targets and all feature columns, spliced from the slabs without decoding.

    The Checks page shows the latest run of any pair: all are red if it stopped early. See a check's tab Partitions.

    Downstream assets take it as a `pl.LazyFrame`, or 400 to 600 of its 17,031 columns by input metadata `columns`.
    """
    with step(context, workspace, "plan") as run:
        plan = run.pipeline.plan_merge(run.pair)
        context.add_output_metadata({"plan_seconds": run.cost()["seconds"]})
        return plan


@dg.asset(
    key=PUBLISHED,
    pool=WRITING,
    deps=[TRAINING],
    partitions_def=PAIRS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"gcs", "parquet"},
    code_version="1",
    automation_condition=_FOLLOW,
)
def published_training_file(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """The validated file and its manifest in the output bucket, swapped in whole; earlier versions stay by policy.

    Runs only when every blocking check of the training file passed on exactly these bytes. The freshness policy counts
    from the last publication of any pair; the check of `fleet_report` judges each pair.
    """
    with step(context, workspace, "publish") as run:
        # It uses the report of this run's own checks. A run of this asset alone validates first.
        with _cure_of_failed(run.pipeline, run.pair):
            done = run.pipeline.publish(run.pair)
        tag_outcome(context, "published")
        return dg.MaterializeResult(
            value=None,
            metadata=publication_metadata(done.published, done.manifest, done.swept) | run.cost(),
            data_version=dg.DataVersion(f"{done.manifest.file.crc32c:08x}"),
        )


@contextmanager
def _cure_of_failed(pipeline: Pipeline, pair: Pair) -> Generator[None]:
    """Replace the advice of a ValidationFailed by what helps in the web server."""
    try:
        yield
    except ValidationFailed as error:
        since, cure = what_helps(pipeline, pair)
        got = f"{error.got}{since and f'; {since}'}"
        raise ValidationFailed(error.subject, got=got, expected=error.expected, cure=cure) from error
