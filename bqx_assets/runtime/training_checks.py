"""The rules of ``quality`` as checks of the training file, and the published object's own check.

Belongs here: when rules run in Dagster, and that all verdicts come from one pass. Does not: the rules.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from bqx_assets.base.pairs import Pair
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.quality.rules import RULES
from bqx_assets.release.published import verified_text, verify
from bqx_assets.runtime.keys import INTACT, PUBLISHED, TRAINING
from bqx_assets.runtime.step import step
from bqx_assets.runtime.verdicts import check_result, check_spec
from bqx_assets.runtime.workspace import Workspace

_FRESH = timedelta(hours=1)


@dg.multi_asset_check(
    name="training_parquet_rules",
    specs=[check_spec(rule.name, TRAINING, rule.description, severity=rule.severity) for rule in RULES],
    can_subset=True,
)
def training_rules(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Validate the pair's training file once, and give every selected rule its verdict."""
    with step(context.partition_key, context.log, workspace) as run:
        file = workspace.merged(run.pair)
        report = file.validate(file.manifest(), workspace.expectations(run.pair), run.progress)
        selected = {key.name for key in context.selected_asset_check_keys}
        for verdict in verdicts(report):
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
        yield check_result(PUBLISHED, intact(workspace.store(), run.pair))


def verdicts(report: Report) -> list[Verdict]:
    """Return one verdict for each rule, in the rules' order. A rule that could not judge warns: it never passes."""
    found = {verdict.rule: verdict for verdict in report.verdicts}
    return [
        found.get(rule.name)
        or Verdict(
            rule=rule.name,
            passed=False,
            severity="warn",
            got="not checked: the file gives nothing to judge by, or cannot be read that far",
            expected="a verdict",
            cure="Mend what the failed checks name, if any.",
        )
        for rule in RULES
    ]


def intact(store: ObjectStore, pair: Pair) -> Verdict:
    """Return whether a published object is what the manifest it names says, by its bytes.

    **Cost**: in a folder, reads the file, unless it was read within the hour: the publication before this check did.
    """
    found = verify(store, pair, since=datetime.now(UTC) - _FRESH)
    return Verdict(
        rule=INTACT.name,
        passed=found.state == "done",
        got=", ".join(filter(None, [found.got, verified_text(found.verified_at, found.verified_by)])),
        expected=found.expected,
        cure=found.cure,
    )
