"""Selects the grammar's tables that an embedded warehouse gets, with the reasons why others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.catalogue.families import ExpectedTable, expected_tables, family_names
from bqx_assets.sandbox.features import pair_tables, shared_tables
from bqx_assets.sandbox.market.bars import Lack, Market

_FIRST = "base_bqx"
"""Every warehouse has a table of this kind, because it contains the users' label leak."""
_PAIR_NAMES = frozenset(pair.name for pair in ALL_PAIRS)


@dataclass(frozen=True, slots=True)
class Selection:
    """The tables to make, each with the pair whose bars are its rows (None: the whole market), and those left out."""

    made: dict[str, tuple[Pair | None, ExpectedTable]] = field(
        default_factory=dict[str, tuple[Pair | None, ExpectedTable]]
    )
    absent: dict[str, Lack] = field(default_factory=dict[str, Lack])


def select(market: Market, pairs: Sequence[Pair], count: int | None) -> Selection:
    """Return the selection for ``pairs``: all tables that can be computed, or ``count`` of them for each pair.

    With a count, each family is represented in proportion to its size, by as many kinds as possible. ``cov_*`` tables,
    which two pairs share, come last: then each of several pairs has ``count`` tables, if that is below about 200.
    """
    made: dict[str, tuple[Pair | None, ExpectedTable]] = {}
    absent: dict[str, Lack] = {}
    for pair in pairs:
        computable: list[ExpectedTable] = []
        for table in expected_tables(pair):
            reason = _uncomputable(market, table)
            if reason is None:
                computable.append(table)
            else:
                absent[table.table] = reason
        chosen = computable if count is None else _spread(computable, count)
        made |= {table.table: (_owner(table), table) for table in chosen}
        absent |= {
            table.table: Lack(f"not made: --tables {count}", asked=False) for table in computable if table not in chosen
        }
    return Selection(made, {name: reason for name, reason in sorted(absent.items()) if name not in made})


def _uncomputable(market: Market, table: ExpectedTable) -> Lack | None:
    formulas = shared_tables if table.shared else pair_tables
    if table.family not in formulas.FAMILIES:
        return Lack("no formulas of the family", (table.family,))
    return formulas.uncomputable(market, table)


def _owner(table: ExpectedTable) -> Pair | None:
    """Return the pair whose bars are the rows: for a ``cov_*`` table the first, so that both pairs share one table."""
    if table.shared:
        return None
    return parse_pair(next(word for word in table.table.split("_") if word in _PAIR_NAMES))


def _spread(tables: Sequence[ExpectedTable], count: int) -> list[ExpectedTable]:
    families = family_names()
    queues = {family: _by_kind_in_turn([each for each in tables if each.family == family]) for family in families}
    taken = dict.fromkeys(families, 0)
    for _ in range(min(count, len(tables))):
        open_families = [family for family in families if taken[family] < len(queues[family])]
        taken[min(open_families, key=lambda family: taken[family] / len(queues[family]))] += 1
    return [table for family in families for table in queues[family][: taken[family]]]


def _by_kind_in_turn(tables: Sequence[ExpectedTable]) -> list[ExpectedTable]:
    kinds: dict[str, list[ExpectedTable]] = {}
    for table in tables:
        kinds.setdefault(table.kind, []).append(table)
    own = sorted((kind for kind in kinds if not kind.startswith("cov_")), key=lambda kind: (kind != _FIRST, kind))
    shared = [kind for kind in kinds if kind.startswith("cov_")]
    return [
        table
        for group in (own, shared)
        for turn in zip_longest(*(kinds[kind] for kind in group))
        for table in turn
        if table is not None
    ]
