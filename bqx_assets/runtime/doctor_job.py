"""Defines ``doctor_job``: the doctor in a run's own container, so that this account and this machine are judged."""

import dagster as dg

from bqx_assets.base.errors import NotReady
from bqx_assets.base.pairs import parse_pair
from bqx_assets.doctor.chart import look
from bqx_assets.doctor.report import Report
from bqx_assets.runtime.keys import PAIRS
from bqx_assets.runtime.launcher.tags import MEMORY_TAG
from bqx_assets.runtime.step import StepProgress, errors_as_failures, failure, listener
from bqx_assets.runtime.workspace import Workspace

_MARKS = {"passed": "✓", "missing": "✗", "skipped": "·", "note": "!"}


@dg.op(description="Looks at everything that a run of the pair needs, changes nothing, and fails where one is missing.")
def doctor(context: dg.OpExecutionContext, workspace: Workspace) -> None:
    """Examine, and show the report in the step's metadata."""
    with errors_as_failures():
        progress = StepProgress(context.log, listener(workspace.channel))
        pair = parse_pair(context.partition_key)
        report = look(workspace.settings().of_pair(pair), pair, progress)
    metadata: dict[str, dg.RawMetadataValue] = {
        "report": dg.MetadataValue.md(markdown(report)),
        "missing": len(report.missing),
        "seconds": report.seconds,
    }
    try:
        report.refuse_lacks()
    except NotReady as error:
        refused = failure(error)
        raise dg.Failure(refused.description, {**metadata, **refused.metadata}, allow_retries=False) from error
    context.add_output_metadata(metadata)


@dg.job(
    partitions_def=PAIRS,
    tags={MEMORY_TAG: "pair"},
    description="Looks at everything that a run of a pair needs, in a run's own container: nothing is extracted.",
)
def doctor_job() -> None:
    """Run the doctor for one pair."""
    doctor()


def markdown(report: Report) -> str:
    """Return the report as a table of Markdown: a line a probe, and the cure of what is missing."""
    lines = ["| | looked at | found |", "|---|---|---|"]
    for line in report.lines:
        found = f"{line.found} → {line.cure}" if line.cure else line.found
        lines.append(f"| {_MARKS[line.state]} | {line.theme}: {line.name} | {_cell(found)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """A text that ends no cell and no line."""
    return " ".join(text.replace("|", "\\|").split())
