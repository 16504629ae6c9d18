"""Names: identifiers that may reach a path or a query, and the training file's column names.

Belongs here: ``{table without the pair}__{column}`` and back, and the guard on hostile names. Does not: which
tables exist.
"""

from __future__ import annotations

import re

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair

KEY = "interval_time"
"""The key column of every table and of the training file: UTC timestamps, microseconds."""

SEPARATOR = "__"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def is_identifier(name: str) -> bool:
    """Return whether ``name`` is letters, digits and underscores only."""
    return _IDENTIFIER.fullmatch(name) is not None


def check_identifier(name: str, kind: str) -> str:
    """Return ``name`` if it is letters, digits and underscores only; it may then be part of a path or query.

    Raises:
        BadSetting: for anything else; ``kind`` ("table", "column", "dataset") is the error's subject.
    """
    if is_identifier(name):
        return name
    raise BadSetting(
        kind,
        got=repr(name[:60]),
        expected="letters, digits and underscores, not starting with a digit",
        cure=f"Rename the {kind} in the warehouse or leave it out.",
    )


def table_prefix(table: str, pair: Pair) -> str:
    """Return the table's name without the pair: ``corr_ibkr_eurusd_ewa`` becomes ``corr_ibkr_ewa``.

    A table shared by all pairs keeps its name. The pair goes where it stands as a whole ``_``-separated word, once.

    Raises:
        BadSetting: when nothing is left, or the rest cannot be told from its columns (``__`` inside, ``_`` at its end).
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


def output_column(prefix: str, column: str) -> str:
    """Return the training file's name of a table's column, e.g. ``agg_bqx__agg_mean_45``."""
    return f"{prefix}{SEPARATOR}{check_identifier(column, 'column')}"


def split_column(name: str) -> tuple[str, str]:
    """Return (prefix, column) of an output column: the inverse of :func:`output_column`.

    Raises:
        BadSetting: when ``name`` has no separator: the key and the targets carry no prefix.
    """
    prefix, separator, column = name.partition(SEPARATOR)
    if separator and prefix and column:
        return prefix, column
    raise BadSetting("column", got=repr(name[:60]), expected="prefix__column", cure="Targets and key have no prefix.")
