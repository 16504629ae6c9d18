"""The grammar of the feature tables: ``families.toml`` gives a pair's 667 tables in five families, with all columns.

The tables that a warehouse really has are found by ``discovery``.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bqx_assets.base.artifacts import Record
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair

FEATURES_DATASET = "bqx_ml_v3_features_v2"
TARGETS_DATASET = "bqx_ml_v3_analytics_v2"
PAIR_COLUMN = "pair"
"""A clustering key of some tables: a row filter, never a feature."""
_WINDOW = re.compile(r"w?\d+")
"""A word of a table's name that is a window, ``45`` or ``w45``."""


class Family(Record):
    """A group of feature tables, recognized by their names."""

    name: str
    names: str
    """Regular expression of its tables' names; ``{pair}`` stands for the pair."""
    shared: bool
    """Whether all pairs have the same tables of this family."""
    description: str


@dataclass(frozen=True, slots=True)
class ExpectedTable:
    """One feature table of the grammar."""

    table: str
    family: str
    shared: bool
    """Whether it is the same table for all pairs."""
    kind: str
    """The name without pair, currencies, instrument and window, ``agg_bqx``; it decides how columns are computed."""
    columns: tuple[tuple[str, str], ...]
    """(name, BigQuery type) of the features, by name."""
    keys: tuple[str, ...]
    """``interval_time``, and ``pair`` where the table carries it."""


class _Kind(Record):
    family: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    pair_column: bool = False


class _Grammar(Record):
    sets: dict[str, tuple[str, ...]]
    family: tuple[Family, ...]
    kind: tuple[_Kind, ...]


def families() -> tuple[Family, ...]:
    """Return the families, in the training file's column order."""
    return _grammar().family


def family_names() -> tuple[str, ...]:
    """Return the families' names, in the training file's column order."""
    return tuple(family.name for family in families())


def family_rank(name: str) -> int:
    """Return the place of a family in the column order; a name of no family comes last."""
    names = family_names()
    return names.index(name) if name in names else len(names)


def is_shared(family: str) -> bool:
    """Return whether all pairs have the same tables of a family; False for a name of no family."""
    return any(each.shared for each in families() if each.name == family)


def targets_table(pair: Pair) -> str:
    """Return the name of the pair's targets table, in :data:`TARGETS_DATASET`."""
    return f"targets_{pair.name}"


@cache
def expected_tables(pair: Pair) -> tuple[ExpectedTable, ...]:
    """Return the pair's 667 feature tables, in the order of families, and by name within a family."""
    found = [
        ExpectedTable(
            table=name,
            family=kind.family,
            shared=is_shared(kind.family),
            kind=kind_of(name),
            columns=columns,
            keys=(KEY, PAIR_COLUMN) if kind.pair_column else (KEY,),
        )
        for kind, columns in _kinds()
        for template in kind.tables
        for name in _expand(template, _sets(pair))
    ]
    return tuple(sorted(found, key=lambda table: (family_rank(table.family), table.table)))


def family_of(table: str, pair: Pair) -> str | None:
    """Return the family of a table by its name; None if it is no feature table of the pair.

    A name that holds the pair as a whole word is pair-specific, whatever it starts with; a shared family's name that
    holds another pair is still shared.
    """
    fitting = (each.name for each in families() if re.fullmatch(each.names.replace("{pair}", pair.name), table))
    return next(fitting, None)


@cache
def kind_of(table: str) -> str:
    """Return a table's name without pairs, currencies, instrument and window: ``agg_bqx`` for ``agg_bqx_eurusd``."""
    members = {pair.name for pair in ALL_PAIRS} | {*CURRENCIES, *_grammar().sets["instrument"]}
    return "_".join(word for word in table.split("_") if word not in members and not _WINDOW.fullmatch(word))


@cache
def _grammar() -> _Grammar:
    text = files("bqx_assets.catalogue").joinpath("families.toml").read_text()
    return _Grammar.model_validate(tomllib.loads(text))


@cache
def _kinds() -> tuple[tuple[_Kind, tuple[tuple[str, str], ...]], ...]:
    return tuple((kind, _columns(kind)) for kind in _grammar().kind)


def _columns(kind: _Kind) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for template in kind.columns:
        name, _, type_name = template.partition(":")
        found += [(column, type_name or "FLOAT64") for column in _expand(name, _grammar().sets)]
    return tuple(sorted(found))


def _sets(pair: Pair) -> dict[str, tuple[str, ...]]:
    """Return the grammar's sets, the currencies, the pair, and its name with each pair that shares a currency."""
    peers = [other for other in ALL_PAIRS if other != pair and {other.base, other.quote} & {pair.base, pair.quote}]
    joined = ("_".join(sorted((pair.name, other.name))) for other in peers)
    own = {"pair": (pair.name,), "peers": tuple(sorted(joined)), "currency": tuple(sorted(CURRENCIES))}
    return _grammar().sets | own


def _expand(template: str, sets: dict[str, tuple[str, ...]]) -> list[str]:
    pieces = re.split(r"\{([^}]+)\}", template)
    choices = [
        (piece,) if position % 2 == 0 else sets.get(piece) or tuple(piece.split(","))
        for position, piece in enumerate(pieces)
    ]
    return ["".join(chosen) for chosen in itertools.product(*choices)]
