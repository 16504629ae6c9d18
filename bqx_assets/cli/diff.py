"""Defines ``bqx diff``, which shows the columns and rows in which two training files differ."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.base.errors import BqxError
from bqx_assets.cli.options import Json
from bqx_assets.cli.results import DIGEST_DIGITS, listed, plain_table
from bqx_assets.cli.session import Session
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.diff import ColumnDifference, Difference, Rows, Side

_NAMED = 20
"""Greatest number of columns or tables that are named."""
_TROUBLE = 2
"""Exit code where the files cannot be compared: 1 says that the values differ."""

diff_app = typer.Typer()
A = Annotated[str, typer.Argument(metavar="A", help="Training parquet or its manifest, path or gs:// URI.")]
B = Annotated[str, typer.Argument(metavar="B", help="Training parquet or manifest to compare it with.")]


@diff_app.command(name="diff")
def diff_command(
    ctx: typer.Context,
    a: A,
    b: B,
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Also read what differs: which rows, and how many values.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which columns of two training files differ: by their manifests' digests, or else value by value.

    Exit code 0: the same values, 1: different values, 2: wrong usage, or a file cannot be compared.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    try:
        with session.work() as (progress, _):
            found = Pipeline(session.settings(), progress).diff(a, b, values=values)
    except BqxError as error:
        error.exit_code = _TROUBLE
        raise
    session.say(*_lines(found, session.bqx))
    session.answer(found)
    raise typer.Exit(0 if found.same else 1)


def _lines(found: Difference, bqx: str) -> list[Text | str | Table]:
    how = f"({found.by} compared)"
    if found.same:
        return [Text.assemble(("✓ the same values", "bold green"), f" {how}: {_size(found.a)}"), *_judged(found, bqx)]
    return [
        Text.assemble(("✗ different values", "bold red"), f" {how}"),
        *(f"  {name} {side.name}: {_size(side)}" for name, side in (("A", found.a), ("B", found.b))),
        *_rows_only("A", found.rows_only_in_a),
        *_rows_only("B", found.rows_only_in_b),
        *listed("columns only in A", found.columns_only_in_a, _NAMED),
        *listed("columns only in B", found.columns_only_in_b, _NAMED),
        *_columns(found, bqx),
        *_judged(found, bqx),
    ]


def _size(side: Side) -> str:
    digest = f", content {side.content_digest[:DIGEST_DIGITS]}" if side.content_digest else ""
    return f"{side.rows:,} rows x {side.columns:,} columns{digest}"


def _judged(found: Difference, bqx: str) -> list[str]:
    if found.expectations is None:
        return []
    a, b = (digest[:DIGEST_DIGITS] for digest in found.expectations)
    return [f"  judged by different expectations: A {a}, B {b}; each file's own: {bqx} expectations show FILE"]


def _rows_only(where: str, rows: Rows) -> list[str]:
    """Return a line for the rows that one file has alone, with the first keys; no line for none."""
    more = f" and {rows.count - len(rows.first_keys):,} more" * (rows.count > len(rows.first_keys))
    return [f"  {rows.count:,} rows only in {where}: {', '.join(rows.first_keys)}{more}"] if rows.count else []


def _columns(found: Difference, bqx: str) -> list[str | Table]:
    """Return the columns that differ: by digests as a list of names, by values as a table."""
    if found.by == "values":
        tables = listed("tables with differences", found.tables, _NAMED)
        return [*tables, *([_table(found.columns)] if found.columns else [])]
    retyped = [f"{each.column} ({' and '.join(each.types)})" for each in found.columns if each.types]
    lines = listed("columns of different types", retyped, _NAMED)
    if found.a.rows != found.b.rows:
        # A digest covers all rows of a column, so nearly all columns differ and their names tell nothing.
        count = f"{len(found.columns):,} of {min(found.a.columns, found.b.columns):,} columns"
        command = f"{bqx} diff {shlex.join([found.a.name, found.b.name])} --values"
        return [*lines, f"  other row counts, so {count} differ; to compare the common rows: {command}"]
    names = [each.column for each in found.columns if not each.types]
    return [*lines, *listed("columns with different values", names, _NAMED)]


def _table(columns: Sequence[ColumnDifference]) -> Table:
    table = plain_table("column", "what differs", "first at")
    for each in columns[:_NAMED]:
        if each.types:
            table.add_row(each.column, f"types {' and '.join(each.types)}")
        elif each.rows is not None:
            table.add_row(each.column, f"{each.rows.count:,} values", ", ".join(each.rows.first_keys[:1]))
    if len(columns) > _NAMED:
        table.add_row(f"and {len(columns) - _NAMED:,} more", "--json names all")
    return table
