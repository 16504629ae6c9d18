"""``bqx doctor``: what was looked at, as a table; what is missing, with its cure on a line that can be copied.

Belongs here: the command and how a report looks. Does not: looking (``doctor``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import printable
from bqx_assets.base.settings import Settings
from bqx_assets.console.options import Json, PairIfAny
from bqx_assets.console.session import Session
from bqx_assets.console.tables import plain_table
from bqx_assets.doctor.chart import look
from bqx_assets.doctor.report import Line, Report, State

doctor_app = typer.Typer()
_MARKS: dict[State, tuple[str, str]] = {
    "passed": ("✓", "green"),
    "missing": ("✗", "bold red"),
    "skipped": ("·", "dim"),
    "note": ("!", "yellow"),
}
_SHOWN = 220
"""Characters of a finding in the table; what is missing stands below it in full."""


@doctor_app.command()
def doctor(ctx: typer.Context, pair: PairIfAny = None, *, as_json: Json = False) -> None:
    """Look at everything that a run needs, change nothing, and name what is missing, with the command that mends it.

    It takes seconds, and at most a minute where nobody answers.
    Exit code 0: nothing is missing, 1: something is.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    settings = session.settings()
    with session.work() as (progress, _):
        report = look(settings, pair or ALL_PAIRS[0], progress, {"home": "option --home"} if session.home else None)
    session.say(report_table(report), *lack_lines(report), summary_line(report))
    session.answer({"passed": report.passed, **report.model_dump(mode="json")})
    raise typer.Exit(0 if report.passed else 1)


def stop_on_a_lack(session: Session, pair: Pair, settings: Settings) -> None:
    """Let the doctor look before a command does its work; do nothing more where nothing is missing.

    Raises:
        NotReady: something is missing; it is shown with its cures.
    """
    with session.work() as (progress, _):
        report = look(settings, pair, progress, {"home": "option --home"} if session.home else None)
    session.say(*lack_lines(report), summary_line(report))
    report.refuse_lacks()


def report_table(report: Report) -> Table:
    """Return a line a probe, grouped by what it looked at; below a note, what one may do about it."""
    table = plain_table("", "", "looked at", "found")
    table.columns[1].style = "dim"
    theme = ""
    for lines in _grouped(report.lines):
        line = lines[0]
        text = printable(line.found)
        shown = Text(
            text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", style="dim" if line.state == "skipped" else ""
        )
        name = ", ".join(each.name for each in lines)
        table.add_row(Text(*_MARKS[line.state]), "" if line.theme == theme else line.theme, name, shown)
        theme = line.theme
        if line.state == "note" and line.cure:
            table.add_row("", "", "", Text(f"→ {printable(line.cure)}", style="italic"))
    return table


def _grouped(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines one after the other that were not looked at for the same reason, together."""
    for _, same in groupby(lines, lambda line: (line.theme, line.found) if line.state == "skipped" else id(line)):
        yield list(same)


def lack_lines(report: Report) -> Iterator[Text | str]:
    """Yield what is missing: in full, with the permission, the resource, and the command on a line of its own."""
    for line in report.missing:
        yield ""
        yield Text.assemble(("✗ ", "bold red"), (f"{line.theme}, {line.name}: ", "bold"), printable(line.found))
        if line.permission:
            yield _part("missing", f"{line.permission} on {line.resource}" if line.resource else line.permission)
        yield _part("cure", line.cure)


def _part(name: str, text: str) -> Text:
    return Text.assemble((f"  {name:<9}", "red"), printable(text))


def summary_line(report: Report) -> Text:
    """Return the outcome in one line."""
    states = [line.state for line in report.lines]
    rest = f"{states.count('note')} notes, {states.count('skipped')} not looked at, {report.seconds:.1f} s"
    if report.passed:
        return Text.assemble(("✓ ", "bold green"), (f"nothing is missing for {report.pair}", "bold"), f"; {rest}")
    count = len(report.missing)
    said = f"{count} {'thing is' if count == 1 else 'things are'} missing for {report.pair}"
    return Text.assemble(("✗ ", "bold red"), (said, "bold"), f"; {rest}")
