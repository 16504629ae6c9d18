"""Runs a pair through the whole Dagster graph for ``bqx run`` and shows the outcome."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.cli import results
from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.session import Cost, Session, invocation
from bqx_assets.extract.embedded_layout import refuse_unusable
from bqx_assets.pipeline import Pipeline
from bqx_assets.runtime.in_process import PairRun, run_pair
from bqx_assets.runtime.metadata import Stage

_STOPPED = "nothing was published; what was published before is unchanged"


def run_and_show(session: Session, pair: Pair, settings: Settings) -> bool:
    """Run the pair and show the outcome; return whether its file is published with every blocking check passed.

    Raises:
        BqxError: there is no warehouse, or a stage failed.
    """
    if settings.bigquery_project is None:
        refuse_unusable(settings.warehouse_dir, pair)  # before Dagster records a run that has nothing to read
    with session.work() as (progress, cost):
        run = run_pair(pair, settings, progress, log_level="DEBUG" if session.debug else "CRITICAL")
    session.say(_headline(run), stage_table(run, cost), results.verdict_table(run.verdicts, session.bqx))
    judged = Pipeline(settings).expectations(pair).judged_by(pair)
    session.say(f"  {pasteable(judged.sentence(pair.name), session.bqx)}")
    if run.published is not None:
        session.say(*results.published_lines(run.published), *results.reading_lines(run.published))
    session.say(*_browser_lines(settings))
    session.answer({**run.model_dump(mode="json"), "seconds": round(cost.seconds, 3), "peak_bytes": cost.peak_bytes})
    return run.passed


def stage_table(run: PairRun, cost: Cost) -> Table:
    """Return one line per stage: seconds, peak resident memory, and the size of what it made."""
    table = results.plain_table("stage", numbers=("seconds", "peak MB", "rows", "columns", "tables", "MB"))
    for each in run.stages:
        table.add_row(each.name, f"{each.seconds:,.1f}", f"{each.peak_bytes / 1e6:,.0f}", *_counts(each))
    table.add_section()
    table.add_row("all", f"{cost.seconds:,.1f}", f"{cost.peak_bytes / 1e6:,.0f}", style="bold")
    return table


def _headline(run: PairRun) -> Text:
    failed = [each.rule for each in run.verdicts if not each.passed and each.severity == "error"]
    warned = sum(not each.passed for each in run.verdicts) - len(failed)
    merged = next((each for each in run.stages if each.name == "merge"), None)
    shape = (
        f"{merged.rows or 0:,} rows x {merged.columns or 0:,} columns of {merged.tables or 0:,} tables; "
        if merged
        else ""
    )
    if run.passed:
        rest = f", {warned} warned" if warned else ""
        text = f"{run.pair}: {shape}{len(run.verdicts) - warned} of {len(run.verdicts)} checks passed{rest}"
        return Text.assemble(("✓ ", "bold green"), (text, "bold"))
    text = f"{run.pair}: {shape}{len(failed)} failed: {', '.join(failed)}; {_STOPPED}"
    return Text.assemble(("✗ ", "bold red"), (text, "bold"))


def _counts(stage: Stage) -> list[str]:
    mega = "" if stage.size_bytes is None else f"{stage.size_bytes / 1e6:,.1f}"
    return [*("" if count is None else f"{count:,}" for count in (stage.rows, stage.columns, stage.tables)), mega]


def _browser_lines(settings: Settings) -> list[str]:
    """Return the command that shows this run in the browser: ``make ui`` in the repository, else ``bqx ui``."""
    if settings.home == Path(".bqx") and Path("Makefile").is_file() and Path("workspace.yaml").is_file():
        command = "make ui"
    else:
        command = f"{invocation()} --home {shlex.quote(str(settings.home.absolute()))} ui"
    return ["  " + command + "   # this run, all pairs and backfills in the browser"]
