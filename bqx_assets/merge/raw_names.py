"""Finds the table's own column names in raw checkpoints whose columns carry the table's name as a prefix.

A checkpoint of the users' own pipeline contains ``base_bqx_bqx_45`` for column ``bqx_45`` of ``base_bqx_eurusd``, and
earlier versions of it ``basebqx_bqx_45``. Unchanged, the first would become ``base_bqx__base_bqx_bqx_45``, and the leak
``base_bqx_target_45`` would not be recognised by its name. The names in the training file stand in ``base.names``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from bqx_assets.base.errors import ColumnCollision, MergeRefused
from bqx_assets.base.names import SEPARATOR, is_identifier, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import some_of

_AS_IT_IS = "column"
_SHORT, _TWO = "table without pair", "two underscores"
_OUTPUT = f"{_SHORT}, {_TWO}"
"""The training file's own form, which is assumed where nothing else decides."""
_NAMED = 5

Readings = dict[str, set[str]]
"""The names that a file's column may have in its table, each with the spellings that lead to it."""
Names = dict[str, str]
"""The name that each column of a file has in its table."""


@dataclass(frozen=True)
class RawNames:
    """The columns of a table as its file names them, without the key; ``known`` are those that the catalogue lists."""

    table: str
    columns: tuple[str, ...]
    known: Collection[str] = ()

    def readings(self, pair: Pair) -> dict[str, Readings]:
        """Return the names that each column may have in its table, by all spellings.

        ``table__x`` is the training file's own form of ``x``; read as ``_x`` only if the catalogue lists that name.
        """
        prefixes = _prefixes(self.table, pair)
        found: dict[str, Readings] = {}
        for column in self.columns:
            readings = _readings(column, prefixes)
            hidden = [name for name in readings if name.startswith("_") and name != column and name not in self.known]
            found[column] = {name: how for name, how in readings.items() if name not in hidden}
        return found


def own_names(pair: Pair, tables: Iterable[RawNames]) -> dict[str, Names]:
    """Return, by table, the name that each column of a folder's files has in its table.

    Where the catalogue lists one of the possible names, it is that one. Other columns are taken to be spelled like the
    rest of their file, or like those of the whole folder: one program wrote them.

    Raises:
        MergeRefused: a column may have two names, and nothing decides; names both.
        ColumnCollision: two columns of a file are the same column of the table; names both.
    """
    files = [(each, each.readings(pair)) for each in tables]
    decided = {each.table: _decided(each, readings) for each, readings in files}
    everywhere = _common(chain.from_iterable(found.values() for found in decided.values()))
    names: dict[str, Names] = {}
    for each, readings in files:
        found = decided[each.table]
        spellings = _common(found.values()) if found else everywhere
        names[each.table] = {
            column: _name(pair, each, column, may_be, spellings) for column, may_be in readings.items()
        }
        _refuse_one_twice(pair, each.table, names[each.table])
    return names


def _prefixes(table: str, pair: Pair) -> dict[str, str]:
    short = table_prefix(table, pair)
    beginnings = {_SHORT: short, "whole table": table, "table without pair and underscores": short.replace("_", "")}
    separators = {_TWO: SEPARATOR, "one underscore": "_"}
    return {
        f"{how}, {between}": f"{beginning}{separator}"
        for how, beginning in beginnings.items()
        for between, separator in separators.items()
    }


def _readings(column: str, prefixes: Mapping[str, str]) -> Readings:
    found: Readings = {column: {_AS_IT_IS}}
    for spelling, prefix in prefixes.items():
        rest = column.removeprefix(prefix)
        if rest != column and is_identifier(rest):
            found.setdefault(rest, set()).add(spelling)
    return found


def _decided(names: RawNames, readings: Mapping[str, Readings]) -> dict[str, set[str]]:
    """Return the spellings of those columns of which the catalogue lists exactly one possible name."""
    found: dict[str, set[str]] = {}
    for column, may_be in readings.items():
        known = [name for name in may_be if name in names.known]
        if len(known) == 1:
            found[column] = may_be[known[0]]
    return found


def _common(spellings: Iterable[set[str]]) -> set[str]:
    every = list(spellings)
    return set[str].intersection(*every) if every else set[str]()


def _name(pair: Pair, names: RawNames, column: str, may_be: Readings, spellings: set[str]) -> str:
    known = [name for name in may_be if name in names.known]
    if len(known) == 1:
        return known[0]
    left = known or list(may_be)
    for wanted in (spellings, {_OUTPUT}):
        spelled = [name for name in left if may_be[name] & wanted]
        if len(spelled) == 1:
            return spelled[0]
    if len(left) == 1:
        return left[0]
    prefix = table_prefix(names.table, pair)
    raise MergeRefused(
        f"{pair}/{names.table}",
        got=f"column {column} may be {' or '.join(left)} of the table, because it begins with the table's name",
        expected="columns that the catalogue lists, or that are spelled like other columns of the file or folder",
        cure=f"Write it in the file as {' or '.join(f'{prefix}{SEPARATOR}{name}' for name in left)}.",
    )


def _refuse_one_twice(pair: Pair, table: str, names: Names) -> None:
    owners: dict[str, list[str]] = {}
    for column, name in names.items():
        owners.setdefault(name, []).append(column)
    twice = {name: columns for name, columns in owners.items() if len(columns) > 1}
    if twice:
        shown = some_of([f"{' and '.join(columns)} are both {name}" for name, columns in twice.items()], _NAMED, "; ")
        raise ColumnCollision(
            f"{pair}/{table}",
            got=shown,
            expected="one column of the file for each column of the table",
            cure="Leave one of the two out of the file.",
        )
