"""Defines ``doctor_job``: the doctor in the container of a run, so that it examines the runs' account and machine."""

import dagster as dg

from bqx_assets.base.errors import NotReady
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.printable import markdown_cell
from bqx_assets.doctor.case import MARKS, Report
from bqx_assets.doctor.probes import look
from bqx_assets.runtime.keys import PAIRS
from bqx_assets.runtime.launcher.tags import MEMORY_TAG
from bqx_assets.runtime.step import StepProgress, errors_as_failures, failure, listener
from bqx_assets.runtime.workspace import Workspace


@dg.op(
    description="Looks at everything that a run of the pair needs, changes nothing, and fails if anything is missing."
)
def doctor(context: dg.OpExecutionContext, workspace: Workspace) -> None:
    """Examine, and put the report into the step's metadata."""
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
    description="Looks at everything that a run of a pair needs, in the container of a run. Nothing is extracted.",
)
def doctor_job() -> None:
    """Run the doctor for one pair."""
    doctor()


def markdown(report: Report) -> str:
    """Return the report as a Markdown table: one line for each probe, with the cure where there is one."""
    lines = ["| | looked at | found |", "|---|---|---|"]
    for line in report.lines:
        found = f"{line.found} → {line.cure}" if line.cure else line.found
        lines.append(f"| {MARKS[line.state]} | {line.theme}: {line.name} | {markdown_cell(found)} |")
    return "\n".join(lines)
