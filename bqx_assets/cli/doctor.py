"""Defines ``bqx doctor``: a table of all findings, and each lack with the command that fixes it on a line to copy."""

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
from bqx_assets.cli.results import plain_table
from bqx_assets.cli.session import Session
from bqx_assets.doctor.case import MARKS, Line, Report, State
from bqx_assets.doctor.probes import THEMES, look

doctor_app = typer.Typer()
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="THEME",
        help=f"Show this theme, and lacks that keep it from being examined; repeatable. One of: {', '.join(THEMES)}.",
        show_default="all",
    ),
]
_STYLES: dict[State, str] = {"passed": "green", "missing": "bold red", "skipped": "dim", "note": "yellow"}
_SHOWN, _SHOWN_MISSING = 600, 80
"""Characters of a finding that the table shows."""
_FEW = 20
"""Characters by which a finding may be longer and is still not cut, because a cut would save no line."""
_NAME_WIDTH = 24
"""Width of the names in the table. It leaves 50 characters for a finding on a terminal of 80."""


@doctor_app.command()
def doctor(ctx: typer.Context, pair: PairIfAny = None, *, only: Only = None, as_json: Json = False) -> None:
    """Look at everything that a run needs, change nothing, and name what is missing, with the command that fixes it.

    It takes seconds, and at most a minute if no server answers.
    Exit code 0: nothing is missing, 1: something is.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    pair = pair or ALL_PAIRS[0]
    report = _examined(session, session.settings().of_pair(pair), pair, only or ())
    session.say(report_table(report, session.bqx), *lack_lines(report, session.bqx), summary_line(report))
    session.answer({"passed": report.passed, **report.model_dump(mode="json")})
    raise typer.Exit(0 if report.passed else 1)


def stop_on_a_lack(session: Session, pair: Pair, settings: Settings) -> None:
    """Call the doctor before the work of a command, and return if nothing is missing.

    Raises:
        NotReady: something is missing; each lack was shown with its cure.
    """
    report = _examined(session, settings, pair)
    session.say(*lack_lines(report, session.bqx), summary_line(report))
    report.refuse_lacks()


def _examined(session: Session, settings: Settings, pair: Pair, only: Sequence[str] = ()) -> Report:
    """Return the doctor's report, and show its progress meanwhile."""
    given = {"home": "option --home"} if session.home else None
    with session.work() as (progress, _):
        return look(settings, pair, progress, given, only)


def report_table(report: Report, bqx: str = "bqx") -> Table:
    """Return one heading for each theme, with one line for each probe; below a note, what can be done about it."""
    table = plain_table("", "", "")
    table.show_header = False
    table.columns[1].max_width = _NAME_WIDTH
    for theme in dict.fromkeys(line.theme for line in report.lines):  # the probes of a theme may stand apart
        table.add_row("", Text(theme, style="bold"), "")
        for name, line in _shown_lines([line for line in report.lines if line.theme == theme]):
            style = "dim" if line.state == "skipped" else ""
            mark = Text(MARKS[line.state], style=_STYLES[line.state])
            table.add_row(mark, Text(name, style=style), Text(_cut(line), style=style))
            if line.state == "note" and line.cure:
                table.add_row("", "", Text(f"→ {printable(pasteable(line.cure, bqx))}", style="italic"))
    return table


def _shown_lines(lines: Sequence[Line]) -> Iterator[tuple[str, Line]]:
    """Yield names and lines; lines of one kind that passed, or were skipped for one reason, are joined into one."""
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
    """Return the key by which neighbouring lines are joined."""
    kind, colon, _ = line.name.partition(": ")
    if line.state == "passed":
        return "passed", kind if colon else line.name
    return line.state, line.found if line.state == "skipped" else line.name


def _cut(line: Line) -> str:
    """Return a finding cut to a length; a lack is cut shorter, because it is shown in full below the table."""
    text, most = printable(line.found), _SHOWN_MISSING if line.state == "missing" else _SHOWN
    return text if len(text) <= most + _FEW else f"{text[:most]}…"


def lack_lines(report: Report, bqx: str = "bqx") -> Iterator[Text | str]:
    """Yield each lack in full: permission and resource on one line, the command that fixes it on a line of its own."""
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
