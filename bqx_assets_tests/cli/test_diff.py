"""A comparison's text is short: columns are named by the dozen, and not at all where every one differs."""

from __future__ import annotations

import io

from rich.console import Console

from bqx_assets.cli.diff import _lines
from bqx_assets.quality.diff import ColumnDifference, Difference, Rows, Side

A = Side(name="a.parquet", rows=10, columns=100, content_digest="a" * 64)
COLUMNS = tuple(ColumnDifference(column=f"agg__x{number:03}", table="agg_eurusd") for number in range(90))


def _shown(found: Difference) -> list[str]:
    out = Console(file=io.StringIO(), width=400, record=True)
    for line in _lines(found, "bqx"):
        out.print(line)
    return [line.rstrip() for line in out.export_text().splitlines()]


def test_files_of_other_row_counts_are_told_in_a_line_and_the_command_that_reads_them() -> None:
    b = A.model_copy(update={"name": "b.parquet", "rows": 9})
    told = _shown(Difference(same=False, by="digests", a=A, b=b, columns=COLUMNS, tables=("agg_eurusd",)))
    assert told == [
        "✗ different values (digests compared)",
        "  A a.parquet: 10 rows x 100 columns, content aaaaaaaaaaaa",
        "  B b.parquet: 9 rows x 100 columns, content aaaaaaaaaaaa",
        "  other row counts, so 90 of 100 columns differ; "
        "to compare the common rows: bqx diff a.parquet b.parquet --values",
    ]


def test_by_digests_the_first_columns_are_named_and_all_are_counted() -> None:
    retyped = COLUMNS[0].model_copy(update={"types": ("INT64", "FLOAT64")})
    told = _shown(Difference(same=False, by="digests", a=A, b=A, columns=(retyped, *COLUMNS[1:])))
    assert told[3] == "  1 columns of different types: agg__x000 (INT64 and FLOAT64)"
    assert told[4].startswith("  89 columns with different values: agg__x001, agg__x002, ")
    assert told[4].endswith("agg__x020 and 69 more (--json names all)")
    assert len(told) == 5


def test_by_values_each_column_has_its_count_and_its_first_key() -> None:
    rows = Rows(count=7, first_keys=("2024-01-01", "2024-01-02"))
    columns = tuple(each.model_copy(update={"rows": rows}) for each in COLUMNS)
    only = Rows(count=3, first_keys=("2023-12-31",))
    told = _shown(Difference(same=False, by="values", a=A, b=A, columns=columns, rows_only_in_a=only))
    assert told[3] == "  3 rows only in A: 2023-12-31 and 2 more"
    assert told[5].split() == ["agg__x000", "7", "values", "2024-01-01"]
    assert told[-1].split() == ["and", "70", "more", "--json", "names", "all"]
