"""Defines ``bqx cost``, which shows what a run and a month cost: as tables, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from bqx_assets.base.costs import prices
from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.cli import results
from bqx_assets.cli.actual import Axis, actual_cost, actual_lines, actual_table, comparison_table, month_line
from bqx_assets.cli.bill import PLACES, WEEKLY, Usage, Way, month, quantities, total, ways
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.pipeline import Pipeline

_PARTS = ("compute", "BigQuery", "storage")
_RUN_HEAD = ("a pair", "all pairs", "hours", "their USD", "their h")
_DOCUMENT = "docs/costs.md"

cost_app = typer.Typer()


def _sql_tier(text: str) -> str:
    known = prices().cloud_sql.per_hour
    if text in known:
        return text
    raise BadSetting("--sql-tier", got=repr(text), expected=" or ".join(known), cure="--sql-tier db-g1-small")


@cost_app.command()
def cost(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    *,
    pairs: Annotated[
        int, typer.Option(min=1, max=len(ALL_PAIRS), metavar="N", help="Number of pairs.", show_default="all")
    ] = len(ALL_PAIRS),
    runs_per_month: Annotated[
        float, typer.Option(min=0, max=1_000, metavar="N", help="Runs of each pair per month.", show_default="weekly")
    ] = WEEKLY,
    regions_differ: Annotated[
        bool, typer.Option("--regions-differ", help="BigQuery's data is in another region than everything else.")
    ] = False,
    sql_tier: Annotated[
        str, typer.Option(parser=_sql_tier, metavar="TIER", help="Tier of Cloud SQL (BQX_SQL_TIER in deploy/).")
    ] = "db-g1-small",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables of docs/costs.md.")] = False,
    actual: Annotated[bool, typer.Option("--actual", help="Show what runs really cost, by the ledger.")] = False,
    by: Annotated[Axis, typer.Option(help="Sum the ledger by this; with --actual.")] = "month",
    as_json: Json = False,
) -> None:
    """Show what a run costs by each way (the users' three and this one), and what a month costs in total.

    With --actual: what the runs of this output cost so far, as measured.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    if actual:
        _show_actual(session, by)
        return
    usage = Usage(pairs, runs_per_month, regions_differ, sql_tier)
    if markdown:
        typer.echo(cost_markdown(usage))
        return
    session.say(run_table(usage), month_table(usage), *cost_lines(usage))
    session.answer(cost_facts(usage))


def _show_actual(session: Session, by: Axis) -> None:
    now, settings = datetime.now(UTC), session.settings()
    found = actual_cost(Ledger(Pipeline(settings).store), by, now)
    lines = [*actual_lines(found), month_line(found.month_usd, now, settings.monthly_budget_usd)]
    session.say(actual_table(found), comparison_table(found), *lines)
    session.answer({**found.model_dump(mode="json"), "monthly_budget_usd": settings.monthly_budget_usd})


def cost_facts(usage: Usage) -> dict[str, object]:
    """Return every cost in USD for ``--json``, with the prices and quantities it follows from."""
    lines = month(usage)
    return {
        "prices": prices().model_dump(),
        "pairs": usage.pairs,
        "ways": [
            {
                **way.model_dump(),
                "compute_usd": round(way.compute_usd, 4),
                "bigquery_usd": round(way.bigquery_usd, 4),
                "storage_usd": round(way.storage_usd, 4),
                "keeping_a_month_usd": round(way.keeping_usd, 4),
                "pair_usd": round(way.total_usd, 4),
                "pairs_usd": round(way.total_usd * usage.pairs, 2),
                "pairs_hours": round(way.hours(usage.pairs), 2),
            }
            for way in ways()
        ],
        "month": {
            "usage": asdict(usage),
            "quantities": {name: each.model_dump() for name, each in quantities().items()},
            "lines": [
                {"name": line.name, "of": line.of, "usd": dict(zip(PLACES, line.usd, strict=True))} for line in lines
            ],
            "usd": dict(zip(PLACES, total(lines), strict=True)),
        },
    }


def run_table(usage: Usage) -> Table:
    """Return one line per way: what a pair and all pairs take, and the users' own estimates."""
    table = results.plain_table("a run, USD", numbers=_RUN_HEAD)
    for way in ways():
        table.add_row(way.name, *_run_cells(way, usage.pairs))
    return table


def month_table(usage: Usage) -> Table:
    """Return one line per item of the bill that costs something, with its cost in each place."""
    table = results.plain_table("a month, USD", numbers=PLACES)
    for name, cells in _month_cells(usage):
        if any(float(cell) for cell in cells):
            table.add_row(name, *cells)
    return table


def cost_lines(usage: Usage) -> list[str]:
    """Return three notes: the number of runs, what the month is spent on, and how well prices are known."""
    lines = month(usage)
    runs, kept, machines = (total(lines, kind)[0] for kind in ("runs", "files", "machines"))
    return [
        f"Each of {usage.pairs} pairs runs {usage.runs:.1f} times a month; the users' hours are for 26 pairs.",
        f"On Cloud Run: {runs:.0f} USD for runs, {kept:.0f} for files, {machines:.0f} for machines. Soft delete can be "
        "switched off.",
        f"List prices of {prices().as_of}, some unconfirmed. Sources and quantities: --json, {_DOCUMENT}.",
    ]


def cost_markdown(usage: Usage) -> str:
    """Return both tables, every quantity and every source as Markdown."""
    run = _markdown(
        ("a pair by each way, USD", *_PARTS, *_RUN_HEAD),
        [(way.name, *_part_cells(way), *_run_cells(way, usage.pairs)) for way in ways()],
        numbers=True,
    )
    bill = _markdown(("a month, USD", *PLACES), [(name, *cells) for name, cells in _month_cells(usage)], numbers=True)
    known = _markdown(
        ("quantity", "value", "known by"),
        [(name.replace("_", " "), f"{each.value:,.12g}", each.how) for name, each in quantities().items()],
    )
    because = _markdown(
        ("way", "measured", "assumed", "cannot, because"),
        [(way.name, way.measured, way.assumed, way.cannot) for way in ways()],
    )
    read = _markdown(
        ("prices of", "page", "read from"),
        [(name.replace("_", " "), each.source, each.how) for name, each in prices().sections().items()],
    )
    parts = ("### A run", run, "### A month", bill, "### Quantities of the month", known, "### Quantities of a run",
             because, f"### Prices of {prices().as_of}", prices().read, read)  # fmt: skip
    return "\n\n".join(parts)


def _part_cells(way: Way) -> Sequence[str]:
    return [f"{usd:.3f}" for usd in (way.compute_usd, way.bigquery_usd, way.storage_usd)]


def _run_cells(way: Way, pairs: int) -> Sequence[str]:
    own = (
        f"{way.total_usd:.2f}",
        f"{way.total_usd * pairs:,.2f}",
        "cannot" if way.cannot else f"{way.hours(pairs):.1f}",
    )
    usd = "" if way.claimed_usd is None else f"{way.claimed_usd:.2f}"
    return (*own, usd, "" if way.claimed_hours is None else f"{way.claimed_hours:.0f}")


def _month_cells(usage: Usage) -> list[tuple[str, list[str]]]:
    lines = month(usage)
    rows = [(line.name, [f"{usd:.2f}" for usd in line.usd]) for line in lines]
    return [*rows, ("all", [f"{usd:.2f}" for usd in total(lines)])]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    line = ["---", *("---:" if numbers else "---" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, line, *rows))
