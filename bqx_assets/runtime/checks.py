"""Defines the checks of the training file and of the published object; ``quality`` and ``release`` give the verdicts.

All rules of a training file are judged in one pass, whichever of its checks are selected.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import cut, markdown_cell
from bqx_assets.fleet.observe import changed_source
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.report import Rule, Severity, Verdict
from bqx_assets.quality.rules import RULES, one_for_each_rule
from bqx_assets.release.published import intact
from bqx_assets.runtime.keys import INTACT, PAIRS, PUBLISHED, TRAINING
from bqx_assets.runtime.step import step, tag_outcome
from bqx_assets.runtime.workspace import Workspace

_SHOWN_BYTES = 4_000
"""Longest shown text of one piece of evidence, so that all results of a run stay far below an event's 64 KB."""
_NAME_CHARACTERS = 400


def check_spec(
    name: str, asset: dg.AssetKey, description: str, *, severity: Severity, blocking: bool = True
) -> dg.AssetCheckSpec:
    """Return a check with a verdict for each pair; if ``blocking``, one of severity "error" blocks later assets."""
    with warnings.catch_warnings():
        # Partitioned checks are "preview" in Dagster 1.13. Without it, pairs would overwrite each other's verdicts.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=asset,
            description=description,
            blocking=blocking and severity == "error",
            partitions_def=PAIRS,
        )


def check_specs(rules: Sequence[Rule[Any]], asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return one check of an asset for each rule."""
    return [check_spec(rule.name, asset, rule.description, severity=rule.severity) for rule in rules]


def check_result(asset: dg.AssetKey, verdict: Verdict) -> dg.AssetCheckResult:
    """Return a verdict as Dagster's result of a check, with its evidence as metadata."""
    facts: dict[str, dg.MetadataValue] = {
        "got": dg.MetadataValue.text(cut(verdict.got, _SHOWN_BYTES)),
        "expected": dg.MetadataValue.text(cut(verdict.expected, _SHOWN_BYTES)),
    }
    if verdict.cure:
        facts["cure"] = dg.MetadataValue.text(cut(verdict.cure, _SHOWN_BYTES))
    for name, value in verdict.evidence.items():
        if value not in (None, "", [], {}):
            facts[f"evidence/{name}"] = _plain(name, value)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=verdict.rule,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.severity == "error" else dg.AssetCheckSeverity.WARN,
        description=cut(f"{verdict.got}, expected {verdict.expected}", _SHOWN_BYTES),
        metadata=facts,
    )


def verdict_of(evaluation: dg.AssetCheckEvaluation) -> Verdict:
    """Return the verdict from which ``check_result`` made this evaluation, without its evidence."""
    texts = {name: str(value.value) for name, value in evaluation.metadata.items()}
    return Verdict(
        rule=evaluation.check_name,
        passed=evaluation.passed,
        severity="error" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "warn",
        got=texts["got"],
        expected=texts["expected"],
        cure=texts.get("cure", ""),
    )


def _plain(name: str, value: object) -> dg.MetadataValue:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, list):
        items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return dg.MetadataValue.md(offenders_table(name, [str(item) for item in items]))
    return dg.MetadataValue.text(cut(str(value), _SHOWN_BYTES))


def offenders_table(name: str, offenders: Sequence[str]) -> str:
    """Return a markdown table of the first offenders, and how many more there are."""
    lines = [f"| | {name.replace('_', ' ')} |", "|---:|---|"]
    left = _SHOWN_BYTES
    for count, offender in enumerate(offenders, start=1):
        line = f"| {count:,} | {markdown_cell(offender[:_NAME_CHARACTERS])} |"
        left -= len(json.dumps(line))
        if left < 0:
            lines.append(f"| | and {len(offenders) - count + 1:,} more |")
            break
        lines.append(line)
    return "\n".join(lines)


@dg.multi_asset_check(
    name="training_parquet_rules",
    specs=check_specs(RULES, TRAINING),
    can_subset=True,
)
def training_rules(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Validate the pair's training file once, and give every selected rule its verdict."""
    with step(context, workspace, "validate") as run:
        report = run.pipeline.validate(run.pair)
        if not report.passed:
            tag_outcome(context, "checks_failed")
        selected = {key.name for key in context.selected_asset_check_keys}
        for verdict in one_for_each_rule(report):
            if verdict.rule in selected:
                yield check_result(TRAINING, verdict)
        if not report.passed:
            # The error of a blocking check is Dagster's own, without a cure, beside a button that does not help.
            since, cure = what_helps(run.pipeline, run.pair)
            context.log.error("%s: nothing is published%s. %s", run.pair, since and f"; {since}", cure)


def what_helps(pipeline: Pipeline, pair: Pair) -> tuple[str, str]:
    """Return whether a failed file's sources have changed since, else an empty text, and what helps in the web server.

    A re-execution from failure does not: it takes the failed file again. **Cost**: one plan of the pair.
    """
    changed = changed_source(pipeline, pair)[0] == "changed"
    mend = "Where that mended it" if changed else "Mend the source, then"
    return (
        "its sources have changed since this file was made" if changed else "",
        f"{mend} materialise targets_spine, feature_slabs, training_parquet and published_training_file of {pair}, all "
        "four, as bqx fleet run --failed does; a re-execution from failure takes the old file again. Where the file is "
        f"right, approve what it holds (bqx expectations propose {pair}) and re-execute.",
    )


@dg.multi_asset_check(
    name="published_training_file_intact",
    specs=[
        check_spec(
            INTACT.name,
            PUBLISHED,
            "Size and CRC32C of the published bytes are its manifest's: a folder's file is read, a bucket asked.",
            severity="error",
            # Damage of a published file must be visible, but block nothing: no asset here reads the published file.
            blocking=False,
        )
    ],
)
def published_intact(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
    """Verify the published bytes; meant for a schedule, because bits rot without a change of size or time."""
    with step(context, workspace, "verify") as run:
        yield check_result(PUBLISHED, intact(run.pipeline.store, run.pair))
