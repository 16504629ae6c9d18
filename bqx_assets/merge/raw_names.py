"""Columns of raw checkpoints that carry their table's name already, read back as the table's own columns.

Belongs here: the spellings of such names, and which of them a file's columns have. Does not: the training file's
names (``base.names``), or reading files (``raw_file``).

A checkpoint of the users' own pipeline holds ``base_bqx_bqx_45`` for column ``bqx_45`` of ``base_bqx_eurusd``, one of
its earlier form ``basebqx_bqx_45``. As it stood the first became ``base_bqx__base_bqx_bqx_45``, and the leak
``base_bqx_target_45`` was no longer known by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from bqx_assets.base.errors import ColumnCollision, MergeRefused
from bqx_assets.base.names import SEPARATOR, is_identifier, table_prefix
from bqx_assets.base.pairs import Pair

_AS_IT_IS = "column"
_SHORT, _TWO = "table without pair", "two underscores"
_OUTPUT = f"{_SHORT}, {_TWO}"
"""The training file's own form, which is decided where nothing else decides."""
_NAMED = 5

Readings = dict[str, set[str]]
"""What a file's column may be in its table, and by which spellings."""
Names = dict[str, str]
"""A file's columns, and what each is in its table."""


@dataclass(frozen=True)
class RawNames:
    """A table's columns as its file has them, without key; ``known`` are those of the catalogue, none if unknown."""

    table: str
    columns: tuple[str, ...]
    known: Collection[str] = ()

    def readings(self, pair: Pair) -> dict[str, Readings]:
        """Return what each column may be, by all spellings.

        ``table__x`` is ``_x`` of no table but one that has it by the catalogue: it is the training file's own form.
        """
        prefixes = _prefixes(self.table, pair)
        found: dict[str, Readings] = {}
        for column in self.columns:
            readings = _readings(column, prefixes)
            hidden = [name for name in readings if name.startswith("_") and name != column and name not in self.known]
            found[column] = {name: how for name, how in readings.items() if name not in hidden}
        return found


def own_names(pair: Pair, tables: Iterable[RawNames]) -> dict[str, Names]:
    """Return, by table, what each column of a folder's files is called in its table.

    The catalogue decides: of what a column may be, the one name that its table has. A column that the catalogue does
    not know is spelled like the others of its file, else like those of the whole folder: one program wrote them.

    Raises:
        MergeRefused: a column may be two, and nothing decides; names both.
        ColumnCollision: two columns of a file are one column of the table; names both.
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
    """Return the spellings of the columns that the catalogue knows by one name alone."""
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
        got=f"column {column} may be {' or '.join(left)} of the table: its beginning is the table's name",
        expected="columns that the catalogue knows, or spelled like the file's and the folder's other ones",
        cure=f"Write it in the file as {' or '.join(f'{prefix}{SEPARATOR}{name}' for name in left)}.",
    )


def _refuse_one_twice(pair: Pair, table: str, names: Names) -> None:
    owners: dict[str, list[str]] = {}
    for column, name in names.items():
        owners.setdefault(name, []).append(column)
    twice = {name: columns for name, columns in owners.items() if len(columns) > 1}
    if twice:
        shown = "; ".join(f"{' and '.join(columns)} are both {name}" for name, columns in [*twice.items()][:_NAMED])
        raise ColumnCollision(
            f"{pair}/{table}",
            got=shown,
            expected="one column of the file for each column of the table",
            cure="Leave one of the two out of the file.",
        )
