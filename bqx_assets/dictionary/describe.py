"""Describes a column of a training file by the catalogue's grammar alone, without any file."""

from __future__ import annotations

import difflib
from functools import cache

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import KEY, SEPARATOR, is_target, table_prefix
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.catalogue.families import ExpectedTable, expected_tables, targets_table
from bqx_assets.dictionary.meanings import Meaning, meaning_of
from bqx_assets.dictionary.schema import TARGETS_FAMILY, Kind, Subject
from bqx_assets.dictionary.subjects import common_name, pairs_in, subject_of


class NamedColumn(Meaning):
    """The table and column that a name of a training file stands for, and their meaning by the grammar."""

    column: str
    kind: Kind
    subject: Subject
    pairs: str
    """The pairs that it is computed from, as far as its name tells them."""
    common_name: str
    table: str
    source: str
    family: str
    type: str
    """BigQuery's name of the type that the grammar states."""


def describe_column(name: str, pair: Pair | str) -> NamedColumn:
    """Return where a column of the pair's training file comes from and what it means, by its name alone.

    A file's own dictionary knows more: what the column holds, and columns that the grammar does not have.

    Raises:
        BadSetting: the grammar has no such column; the error names the nearest ones.
        UnknownPair: ``pair`` is no pair's name.
    """
    of = parse_pair(pair) if isinstance(pair, str) else pair
    if name == KEY or is_target(name):
        kind: Kind = "key" if name == KEY else "target"
        origin = {"table": targets_table(of), "source": name, "family": TARGETS_FAMILY}
        told = {
            "type": "TIMESTAMP" if kind == "key" else "FLOAT64",
            "subject": "pair",
            "pairs": of.name,
            "common_name": name,
        }
        return _described(name, kind, meaning_of(targets_table(of), name, role=kind), origin | told)
    prefix, _, source = name.partition(SEPARATOR)
    table = _tables(of).get(prefix)
    types = dict(table.columns) if table is not None else {}
    if table is None or source not in types:
        near = _nearest(prefix, source, of)
        raise BadSetting(
            "column",
            got=repr(name[:80]),
            expected=f"a column of {of}'s training file, by the catalogue's grammar",
            cure=f"Did you mean {' or '.join(near)}?" if near else "The file's own dictionary has all of its columns.",
        )
    origin = {"table": table.table, "source": source, "family": table.family, "type": types[source]}
    told = {"subject": subject_of(table.table, source, of), "common_name": common_name(table.table, source, of)}
    told["pairs"] = " ".join(pairs_in(table.table, source))
    return _described(name, "feature", meaning_of(table.table, source), origin | told)


def _described(name: str, kind: Kind, meaning: Meaning, facts: dict[str, str]) -> NamedColumn:
    return NamedColumn.model_validate({"column": name, "kind": kind, **facts, **meaning.model_dump()})


@cache
def _tables(pair: Pair) -> dict[str, ExpectedTable]:
    return {table_prefix(table.table, pair): table for table in expected_tables(pair)}


def _nearest(prefix: str, source: str, pair: Pair) -> list[str]:
    """Return at most three columns whose table and own name are like these."""
    tables = _tables(pair)
    found: list[str] = []
    for each in difflib.get_close_matches(prefix, tables, n=3):
        columns = [name for name, _ in tables[each].columns]
        found += [f"{each}{SEPARATOR}{name}" for name in difflib.get_close_matches(source, columns, n=1)]
    return found
