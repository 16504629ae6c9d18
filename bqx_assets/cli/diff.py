"""Defines ``bqx diff``: which tables and columns of two training files differ."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.base.errors import BqxError
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.cli.summaries import listed
from bqx_assets.cli.tables import plain_table
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.diff import Difference, Rows

_NAMED = 20
_TROUBLE = 2

diff_app = typer.Typer()
Place = Annotated[str, typer.Argument(metavar="FILE", help="A training parquet or its manifest, path or gs:// URI.")]


@diff_app.command(name="diff")
def diff_command(
    ctx: typer.Context,
    a: Place,
    b: Place,
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Read what differs: which rows, and how many values.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which tables and columns of two files differ: by their manifests' digests where both have them.

    Exit code 0: the same values, 1: others, 2: wrongly called, or a file cannot be compared.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    try:
        with session.work() as (progress, _):
            found = Pipeline(session.settings(), progress).diff(a, b, values=values)
    except BqxError as error:
        error.exit_code = _TROUBLE  # 1 says that the values differ
        raise
    session.say(*_lines(found))
    session.answer(found)
    raise typer.Exit(0 if found.same else 1)


def _lines(found: Difference) -> list[Text | str | Table]:
    judged = _judged(found)
    how = "by the manifests' digests, no value read" if found.by == "digests" else "value by value"
    if found.same:
        what = f"{found.a.rows:,} rows x {found.a.columns:,} columns"
        digest = f", content {found.a.content_digest}" if found.a.content_digest else ""
        return [Text.assemble(("✓ the same values", "bold green"), f" ({how}): {what}{digest}"), *judged]
    lines: list[Text | str | Table] = [Text.assemble(("✗ other values", "bold red"), f" ({how})")]
    for name, side in (("A", found.a), ("B", found.b)):
        digest = f", content {side.content_digest}" if side.content_digest else ""
        lines.append(f"  {name} {side.name}: {side.rows:,} rows x {side.columns:,} columns{digest}")
    lines += _only("A", found.rows_only_in_a) + _only("B", found.rows_only_in_b)
    lines += listed("columns only in A", found.columns_only_in_a, _NAMED)
    lines += listed("columns only in B", found.columns_only_in_b, _NAMED)
    lines += listed("tables with differences", found.tables, _NAMED)
    return [*lines, *judged, *([_table(found)] if found.columns else [])]


def _judged(found: Difference) -> list[str]:
    if found.expectations is None:
        return []
    a, b = (digest[:12] for digest in found.expectations)
    return [f"  held against different expectations: A {a}, B {b}; each file's own: bqx expectations show FILE"]


def _only(where: str, rows: Rows) -> list[str]:
    return [f"  {rows.count:,} rows only in {where}: {', '.join(rows.first_keys)}"] if rows.count else []


def _table(found: Difference) -> Table:
    table = plain_table("table", "column", "what differs")
    for each in found.columns[:_NAMED]:
        what = "values, by digest" if each.rows is None else f"{each.rows.count:,} values"
        if each.rows is not None:
            what += f", first at {', '.join(each.rows.first_keys[:3])}"
        table.add_row(each.table, each.column, " and ".join(each.types) + " as types" if each.types else what)
    if len(found.columns) > _NAMED:
        table.add_row("", f"and {len(found.columns) - _NAMED:,} more", "--json names all")
    return table
