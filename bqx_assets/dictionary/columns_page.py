"""Shows the dictionary of a training file as a page for people: by family and kind of table, equal columns together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bqx_assets.catalogue.families import families, kind_of
from bqx_assets.dictionary.files import Dictionary

_Row = Mapping[str, Any]
_NUMBER = re.compile(r"\d+")


def dictionary_page(dictionary: Dictionary) -> str:
    """Return the page in Markdown.

    A line stands for the columns of all tables of a kind whose names differ in numbers alone. What a model cannot use
    is listed by name at the end.
    """
    rows = dictionary.frame.to_dicts()
    lines = [*_head(dictionary, rows)]
    about = {family.name: family.description for family in families()}
    for family, of_family in groupby(rows, key=lambda row: row["family"]):
        lines += [f"## {family}", "", about.get(family, "The key and the targets."), ""]
        kinds: dict[str, list[_Row]] = {}
        for row in of_family:
            kinds.setdefault(kind_of(row["table"]), []).append(row)
        for kind, of_kind in kinds.items():
            lines += _kind(kind, of_kind)
    return "\n".join([*lines, *_unusable(rows)])


def _head(dictionary: Dictionary, rows: Sequence[_Row]) -> list[str]:
    file, counts = dictionary.file, dictionary.counts()
    usable = sum(_usable(row) for row in rows)
    return [
        f"# The columns of training_{file.pair}.parquet",
        "",
        f"{counts['columns']:,} columns: the key, {counts['targets']} targets, {counts['features']:,} features. "
        f"{usable:,} features are numbers that vary; {counts['constant']:,} columns have one value only, "
        f"{counts['all_null']:,} none, {counts['duplicates']:,} the values of an earlier column, "
        f"{counts['identifiers']:,} only name things.",
        "",
        f"The file: {file.size_bytes:,} bytes, crc32c {file.crc32c:08x}, content {file.content_digest or 'unknown'}. "
        "A program reads the same facts, one row a column, from the file beside this one that ends with "
        "`.columns.parquet`.",
        "",
        "A line stands for all columns whose names differ in numbers alone, in all tables of the kind. "
        "Meaning and window are those of the first one. A window counts the rows that a value looks back over, its own "
        "included: more than its name says where the series looks back itself. `?`: it has no bound, or is not known. "
        "Formulas are those of the simulated market, but for BQX and the targets.",
        "",
    ]


def _kind(kind: str, rows: Sequence[_Row]) -> Iterator[str]:
    tables = [*dict.fromkeys(row["table"] for row in rows)]
    yield from (f"### {kind}: {len(tables)} {'table' if len(tables) == 1 else 'tables'}", "")
    yield from (", ".join(f"`{table}`" for table in tables), "")
    yield from ("| column | meaning | unit | window | nulls | warm-up |", "|---|---|---|---:|---:|---:|")
    alike: dict[str, list[_Row]] = {}
    for row in rows:
        alike.setdefault(_NUMBER.sub("#", row["source"]), []).append(row)
    for each in alike.values():
        each.sort(key=lambda row: [int(number) for number in _NUMBER.findall(row["source"])])
        yield _line(each)
    yield ""


def _line(rows: Sequence[_Row]) -> str:
    names = [*dict.fromkeys(row["source"] for row in rows)]
    more = ", ".join("_".join(_NUMBER.findall(name)) for name in names[1:])
    first = rows[0]
    cells = (
        f"`{names[0]}`{f', {more}' if more else ''}",
        first["meaning"],
        first["unit"],
        "?" if first["window"] is None else str(first["window"]),
        _share([row["nulls"] / row["rows"] for row in rows if row["rows"]]),
        _span([row["warm_up_rows"] for row in rows]),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _share(shares: Sequence[float]) -> str:
    low, high = f"{min(shares, default=0):.1%}", f"{max(shares, default=0):.1%}"
    return low if low == high else f"{low} to {high}"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _usable(row: _Row) -> bool:
    number = row["type"] in {"FLOAT64", "INT64"}
    return bool(row["kind"] == "feature" and number and not row["constant"] and row["nulls"] < row["rows"])


def _unusable(rows: Sequence[_Row]) -> Iterator[str]:
    yield from ("## What a model learns nothing from", "")
    yield from _listed("Only name things", (row["column"] for row in rows if row["identifier"]))
    constant = (row["column"] for row in rows if row["constant"] and not row["identifier"])
    yield from _listed("One value only, but no names", constant)
    yield from _listed("No value at all", (row["column"] for row in rows if row["nulls"] == row["rows"]))
    yield from _listed(
        "Look forward, and are in the file by a setting", (r["column"] for r in rows if r["forward_looking"])
    )
    unknown = (row["column"] for row in rows if not row["formula_of"])
    yield from _listed("Their meaning is not known", unknown)
    copies = (f"{row['column']} = {row['duplicate_of']}" for row in rows if row["duplicate_of"] and not row["constant"])
    yield from _listed("The same values as an earlier column, and not constant", copies)


def _listed(title: str, names: Iterable[str]) -> Iterator[str]:
    found = [*names]
    yield from (f"### {title}: {len(found):,}", "")
    if found:
        yield from ("```", *found, "```", "")
