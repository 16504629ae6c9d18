"""Defines ``bqx doctor``: a table of what was looked at, and the fix of what is missing on a line to be copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import printable
from bqx_assets.base.settings import Settings
from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.options import Json, PairIfAny
from bqx_assets.cli.session import Session
from bqx_assets.cli.tables import plain_table
from bqx_assets.doctor.chart import THEMES, look
from bqx_assets.doctor.report import Line, Report, State

doctor_app = typer.Typer()
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="THEME",
        help=f"Show this theme, and what it cannot be looked at without; may be repeated. One of: {', '.join(THEMES)}.",
        show_default="all",
    ),
]
_MARKS: dict[State, tuple[str, str]] = {
    "passed": ("✓", "green"),
    "missing": ("✗", "bold red"),
    "skipped": ("·", "dim"),
    "note": ("!", "yellow"),
}
_SHOWN, _SHOWN_MISSING = 600, 80
"""Characters of a finding in the table; a few more are shown, for a cut would save no line."""
_FEW = 20
_NAME_WIDTH = 24
"""Of the names in the table, so that 50 characters are left for a finding on a terminal of 80."""


@doctor_app.command()
def doctor(ctx: typer.Context, pair: PairIfAny = None, *, only: Only = None, as_json: Json = False) -> None:
    """Look at everything that a run needs, change nothing, and name what is missing, with the command that fixes it.

    It takes seconds, and at most a minute where nobody answers.
    Exit code 0: nothing is missing, 1: something is.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    pair = pair or ALL_PAIRS[0]
    settings = session.settings().of_pair(pair)
    given = {"home": "option --home"} if session.home else None
    with session.work() as (progress, _):
        report = look(settings, pair, progress, given, only or ())
    session.say(report_table(report, session.bqx), *lack_lines(report, session.bqx), summary_line(report))
    session.answer({"passed": report.passed, **report.model_dump(mode="json")})
    raise typer.Exit(0 if report.passed else 1)


def stop_on_a_lack(session: Session, pair: Pair, settings: Settings) -> None:
    """Let the doctor look before a command does its work; do nothing more where nothing is missing.

    Raises:
        NotReady: something is missing; it is shown with its cures.
    """
    with session.work() as (progress, _):
        report = look(settings, pair, progress, {"home": "option --home"} if session.home else None)
    session.say(*lack_lines(report, session.bqx), summary_line(report))
    report.refuse_lacks()


def report_table(report: Report, bqx: str = "bqx") -> Table:
    """Return a heading a theme, below it a line a probe; below a note, what one may do about it."""
    table = plain_table("", "", "")
    table.show_header = False
    table.columns[1].max_width = _NAME_WIDTH
    for theme in dict.fromkeys(line.theme for line in report.lines):  # a theme's probes need not follow each other
        table.add_row("", Text(theme, style="bold"), "")
        for name, line in _shown_lines([line for line in report.lines if line.theme == theme]):
            style = "dim" if line.state == "skipped" else ""
            table.add_row(Text(*_MARKS[line.state]), Text(name, style=style), Text(_cut(line), style=style))
            if line.state == "note" and line.cure:
                table.add_row("", "", Text(f"→ {printable(pasteable(line.cure, bqx))}", style="italic"))
    return table


def _shown_lines(lines: Sequence[Line]) -> Iterator[tuple[str, Line]]:
    """Names and lines, with those on one line that were not looked at for one reason, or passed and are of one kind."""
    for key, same in groupby(lines, _kind):
        group = list(same)
        first = group[0]
        if len(group) == 1:
            yield first.name, first
        elif first.state == "skipped":
            yield ", ".join(line.name for line in group), first
        else:
            found = "; ".join(line.found for line in group)
            yield key[1], first.model_copy(update={"found": found})


def _kind(line: Line) -> tuple[str, str]:
    kind, colon, _ = line.name.partition(": ")
    if line.state == "passed":
        return "passed", kind if colon else line.name
    return line.state, line.found if line.state == "skipped" else line.name


def _cut(line: Line) -> str:
    """What was found, short where it is missing: that stands below the table in full."""
    text, most = printable(line.found), _SHOWN_MISSING if line.state == "missing" else _SHOWN
    return text if len(text) <= most + _FEW else f"{text[:most]}…"


def lack_lines(report: Report, bqx: str = "bqx") -> Iterator[Text | str]:
    """Yield what is missing: in full, with the permission, the resource, and the command on a line of its own."""
    for line in report.missing:
        yield ""
        yield Text.assemble(("✗ ", "bold red"), (f"{line.title}: ", "bold"), printable(line.found))
        if line.permission:
            yield _part("missing", f"{line.permission} on {line.resource}" if line.resource else line.permission)
        yield _part("cure", pasteable(line.cure, bqx))


def _part(name: str, text: str) -> Text:
    return Text.assemble((f"  {name:<9}", "red"), printable(text))


def summary_line(report: Report) -> Text:
    """Return the outcome in one line."""
    states = [line.state for line in report.lines]
    notes = states.count("note")
    rest = f"{notes} note{'' if notes == 1 else 's'}, {states.count('skipped')} not looked at, {report.seconds:.1f} s"
    what = f"{report.pair} in {', '.join(report.only)}" if report.only else report.pair
    if report.passed:
        return Text.assemble(("✓ ", "bold green"), (f"nothing is missing for {what}", "bold"), f"; {rest}")
    count = len(report.missing)
    said = f"{count} {'thing is' if count == 1 else 'things are'} missing for {what}"
    return Text.assemble(("✗ ", "bold red"), (said, "bold"), f"; {rest}")
