"""Names of tables and columns: the check on hostile ones, and how a column is named in the training file.

A feature's column is named ``{table without the pair}__{column}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bqx_assets.base.errors import BadSetting, ColumnCollision
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import some_of

KEY = "interval_time"
"""The key column of every table and of the training file: UTC timestamps, microseconds."""

SEPARATOR = "__"
_TARGET = re.compile(r"target_bqx(\d+)_h(\d+)")
_LONGEST = 300
"""Most characters of a column's name in BigQuery."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_NAMED = 10


def is_identifier(name: str) -> bool:
    """Return whether ``name`` is letters, digits and underscores only."""
    return _IDENTIFIER.fullmatch(name) is not None


def check_identifier(name: str, kind: str, *, owner: str = "") -> str:
    """Return ``name`` if it is letters, digits and underscores only; it may then be part of a path or query.

    Raises:
        BadSetting: for anything else. It names ``kind`` ("table", "column", "dataset") and ``owner``, if one is given.
    """
    if is_identifier(name):
        return name
    raise BadSetting(
        f"{kind} of {owner}" if owner else kind,
        got=ascii(name[:60]) if len(name) <= _LONGEST else f"{len(name):,} characters, {name[:60]!a}...",
        expected=f"1 to {_LONGEST} letters, digits and underscores, not starting with a digit",
        cure=f"Rename the {kind} where the table is made, or leave it out.",
    )


def table_prefix(table: str, pair: Pair) -> str:
    """Return the table's name without the pair: ``corr_ibkr_eurusd_ewa`` becomes ``corr_ibkr_ewa``.

    A table shared by all pairs keeps its name. The pair is removed once, where it is a whole word between underscores.

    Raises:
        BadSetting: nothing is left, or the rest contains ``__`` or ends with ``_``, and so could not be separated from
            a column again.
    """
    words = check_identifier(table, "table").split("_")
    if pair.name in words:
        words.remove(pair.name)
    prefix = "_".join(words)
    if not prefix or SEPARATOR in prefix or prefix.endswith("_"):
        raise BadSetting(
            f"table {table}",
            got=f"prefix {prefix!r}",
            expected="a prefix without a double or trailing underscore",
            cure="Rename the table in the warehouse.",
        )
    return prefix


def output_column(prefix: str, column: str, *, owner: str = "") -> str:
    """Return the training file's name of a table's column, e.g. ``agg_bqx__agg_mean_45``.

    Raises:
        BadSetting: as ``check_identifier``, or the result is longer than a column's name may be.
    """
    return check_identifier(
        f"{prefix}{SEPARATOR}{check_identifier(column, 'column', owner=owner)}", "column", owner=owner
    )


def refuse_same_names(subject: str, columns: Iterable[tuple[str, str]]) -> None:
    """Refuse (table, column) pairs if two columns, or two tables, have names that differ in upper and lower case alone.

    BigQuery, Spark and DuckDB take ``Mean`` and ``mean`` for the same column.

    Raises:
        ColumnCollision: there are such names; it lists them.
    """
    tables: dict[str, list[str]] = {}
    owners: dict[str, list[tuple[str, str]]] = {}
    for table, column in columns:
        known = tables.setdefault(table.lower(), [])
        if table not in known:
            known.append(table)
        owners.setdefault(column.lower(), []).append((table, column))
    met = [owner for several in owners.values() if len(several) > 1 for owner in several]
    alike = [table for several in tables.values() if len(several) > 1 for table in several]
    if met or alike:
        names = some_of([ascii(name)[1:-1] for name in dict.fromkeys(column for _, column in met)], _NAMED)
        of = some_of([*(dict.fromkeys(table for table, _ in met) or alike)], _NAMED)
        raise ColumnCollision(
            subject,
            got=f"{names} from {of}" if names else f"tables {of}",
            expected="names that differ in more than upper and lower case, and one table for each column",
            cure="Rename one of the columns or tables, or leave it out.",
        )


def target_name(window: int, horizon: int) -> str:
    """Return the name of the target column: the BQX of ``window`` rows, ``horizon`` rows later."""
    return f"target_bqx{window}_h{horizon}"


def is_target(name: str) -> bool:
    """Return whether a column of the training file has a target's name, be it in the expectations or not."""
    return _TARGET.fullmatch(name) is not None


def target_parts(name: str) -> tuple[int, int] | None:
    """Return the window and the horizon in a target's name, in rows; None if it is no target's name."""
    found = _TARGET.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def split_column(name: str) -> tuple[str, str]:
    """Return (prefix, column) of an output column: the inverse of :func:`output_column`.

    Raises:
        BadSetting: when ``name`` has no separator: the key and the targets carry no prefix.
    """
    prefix, separator, column = name.partition(SEPARATOR)
    if separator and prefix and column:
        return prefix, column
    raise BadSetting("column", got=repr(name[:60]), expected="prefix__column", cure="Targets and key have no prefix.")
