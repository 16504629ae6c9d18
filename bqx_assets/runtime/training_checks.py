"""The rules of ``quality`` as checks of the training file, and the published object's own check.

Belongs here: when rules run in Dagster, and that all verdicts come from one pass. Does not: the rules.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.errors import ObjectMissing
from bqx_assets.base.objects.protocol import ObjectStore
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import training_name
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.quality.rules import RULES
from bqx_assets.runtime.keys import PUBLISHED, TRAINING
from bqx_assets.runtime.step import step
from bqx_assets.runtime.verdicts import check_result, check_spec
from bqx_assets.runtime.workspace import Workspace

_INTACT = "object_equals_manifest"


@dg.multi_asset_check(
    name="training_parquet_rules",
    specs=[check_spec(rule.name, TRAINING, rule.description, severity=rule.severity) for rule in RULES],
    can_subset=True,
)
def training_rules(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Validate the pair's training file once, and give every selected rule its verdict."""
    with step(context.partition_key, context.log, workspace) as run:
        file = workspace.merged(run.pair)
        report = file.validate(file.manifest(), workspace.expectations(), run.progress)
        selected = {key.name for key in context.selected_asset_check_keys}
        for verdict in verdicts(report):
            if verdict.rule in selected:
                yield check_result(TRAINING, verdict)


@dg.multi_asset_check(
    name="published_training_file_intact",
    specs=[
        check_spec(
            _INTACT,
            PUBLISHED,
            "The store's own size and CRC32C of the published object are those of its manifest.",
            severity="error",
        )
    ],
)
def published_intact(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Ask the store for the object's facts: no byte is read by this process."""
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
    """Return whether a published object is what its published manifest says."""
    name = training_name(pair)
    manifest_name = manifest_path(Path(name)).name
    info = store.head(name)
    if info is None:
        return _verdict(got="no such object", expected=f"an object {name}")
    try:
        manifest = Manifest.model_validate_json(store.read(manifest_name))
    except (ObjectMissing, ValueError) as error:
        return _verdict(got=f"no manifest: {error}".splitlines()[0], expected=f"an object {manifest_name}")
    return _verdict(
        got=f"{info.size_bytes:,} bytes, crc32c {info.crc32c:08x}",
        expected=f"{manifest.file.size_bytes:,} bytes, crc32c {manifest.file.crc32c:08x}",
    )


def _verdict(*, got: str, expected: str) -> Verdict:
    passed = got == expected
    cure = "" if passed else "Publish the pair again; the earlier versions are kept by policy."
    return Verdict(rule=_INTACT, passed=passed, got=got, expected=expected, cure=cure)
