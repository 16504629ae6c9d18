"""Draws records as tables that read as well in a pipe: a plan, the stages of all pairs, the verdicts of a report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.printable import printable
from bqx_assets.cli.failures import pasteable
from bqx_assets.extract.plan import PairPlan
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.release.published import Standing, State, verified_text
from bqx_assets.release.status import PairStatus

_DIGEST_DIGITS = 12
_MOST_LETTERS = 160
"""Of a content digest, as a table shows it; ``--json`` has all 64."""
_MARKS: dict[State, tuple[str, str]] = {
    "none": ("·", "dim"),
    "partial": ("◐", "yellow"),
    "done": ("✓", "green"),
    "stale": ("stale", "yellow"),
    "failed": ("✗", "bold red"),
    "unverified": ("unverified", "yellow"),
}


def plan_table(plan: PairPlan) -> Table:
    """Return a line a family: tables, columns, bytes and cost of a full read, and how many slabs are fresh."""
    table = plain_table("family", numbers=("tables", "columns", "MB", "read usd", "fresh", "stale", "missing"))
    for each in plan.families:
        table.add_row(
            each.family, *_cells(each.tables, each.columns, each.read_bytes, each.fresh, each.stale, each.missing)
        )
    sums = [sum(getattr(each, name) for each in plan.families) for name in _SUMMED]
    table.add_section()
    table.add_row("all", *_cells(*sums), style="bold")
    return table


_SUMMED = ("tables", "columns", "read_bytes", "fresh", "stale", "missing")


def _cells(tables: int, columns: int, read_bytes: int, fresh: int, stale: int, missing: int) -> list[str]:
    return [
        f"{tables:,}",
        f"{columns:,}",
        f"{read_bytes / 1e6:,.1f}",
        f"{storage_read_usd(read_bytes):,.4f}",
        f"{fresh:,}",
        f"{stale:,}",
        f"{missing:,}",
    ]


def status_tables(pairs: Sequence[PairStatus]) -> Group:
    """Return a line a pair: its five stages, and the size of what is published or merged; below it, its bytes' trust.

    Two tables, since one is wider than a terminal of 80 characters.
    """
    return Group(_stages(pairs), *([_trust(pairs)] if any(each.published != "none" for each in pairs) else []))


def _trust(pairs: Sequence[PairStatus]) -> Table:
    """A line a published pair: when and how its bytes were verified, and the digest of its values."""
    table = plain_table("pair", "verified", "content digest")
    for each in (each for each in pairs if each.published != "none"):
        when = verified_text(each.verified_at, each.verified_by)
        table.add_row(each.pair, when, (each.content_digest or "not recorded")[:_DIGEST_DIGITS])
    return table


def _stages(pairs: Sequence[PairStatus]) -> Table:
    table = plain_table("pair", "spine", "slabs", "merged", "validated", "published", numbers=("rows", "columns", "MB"))
    for each in pairs:
        slabs = Text.assemble(_mark(each.slabs), f" {each.slabs_done:,}/{each.slabs_expected:,}")
        if each.failed_tables:
            slabs.append(f" {len(each.failed_tables)} failed", style="bold red")
        table.add_row(
            each.pair,
            _mark(each.spine),
            slabs if each.slabs_done or each.failed_tables else _mark("none"),
            _mark(each.merged),
            _mark(each.validated),
            _mark(each.published),
            _number(each.rows),
            _number(each.columns),
            "" if each.size_bytes is None else f"{each.size_bytes / 1e6:,.1f}",
        )
    return table


def standing_table(found: Sequence[Standing], bqx: str = "bqx") -> Table:
    """Return a line a pair: whether its published file is whole, and when it was read; the cure under a failure."""
    table = plain_table("", "pair", "got", "expected", "verified")
    for each in found:
        when = verified_text(each.verified_at, each.verified_by)
        table.add_row(_mark(each.state), each.pair, _short(each.got), _short(each.expected), when)
        if each.cure:
            table.add_row("", "", Text(f"→ {pasteable(each.cure, bqx)}", style="italic"), "", "")
    return table


def verdict_table(verdicts: Sequence[Verdict], bqx: str = "bqx") -> Table:
    """Return a line a rule: its verdict, what it got and what it expected; the cure under a failure."""
    table = plain_table("", "check", "got", "expected")
    table.columns[1].no_wrap = True
    for each in verdicts:
        table.add_row(_verdict_mark(each), each.rule, _short(each.got), _short(each.expected))
        if not each.passed and each.cure:
            table.add_row("", "", Text(f"→ {printable(pasteable(each.cure, bqx))}", style="italic"), "")
    return table


def report_line(report: Report, bqx: str = "bqx") -> Text:
    """Return a report's outcome in one line, and on another its expectations; ``bqx`` is how the program was called."""
    failed, warned = len(report.failures()), sum(not each.passed for each in report.verdicts)
    counts = f"{len(report.verdicts) - warned} of {len(report.verdicts)} checks passed"
    rest = f", {warned - failed} warned" if warned > failed else ""
    how = "every value" if report.deep else "footer and statistics only"
    return Text.assemble(
        ("✓ PASS", "bold green") if report.passed else ("✗ FAIL", "bold red"),
        f"  {printable(report.file)}: {report.rows:,} rows x {report.columns:,} columns; {counts}{rest}"
        f" ({how}; {report.seconds:.1f} s, peak {report.peak_bytes / 1e6:,.0f} MB)",
        f"\n  {printable(pasteable(report.expectations.sentence(report.pair), bqx))}" if report.expectations else "",
    )


def _verdict_mark(verdict: Verdict) -> Text:
    if verdict.passed:
        return Text("✓", style="green")
    return Text("✗", style="bold red") if verdict.severity == "error" else Text("!", style="yellow")


def _mark(state: State) -> Text:
    return Text(*_MARKS[state])


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _short(text: str) -> Text:
    plain = printable(text)
    return Text(plain if len(plain) <= _MOST_LETTERS else plain[: _MOST_LETTERS - 1] + "…")


def plain_table(*texts: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table that reads as well in a pipe; ``numbers`` are the columns aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
