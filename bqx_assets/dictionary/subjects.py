"""Says what a column is about, and names it alike in all pairs, by the words of its table's and its own name."""

from __future__ import annotations

from collections.abc import Sequence

from bqx_assets.base.names import SEPARATOR, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.dictionary.schema import Subject

_PAIRS = {pair.name: pair for pair in ALL_PAIRS}
_MEANS = frozenset({"csi", "mkt", "var"})
"""First words of tables of means and deviations over several pairs."""
_TRIANGLE, _COVARIANCE, _CORRELATED, _INSTRUMENT = "tri", "cov", "corr", "ibkr_"
_VALUES = {"val1": 0, "pair1": 0, "val2": 1, "pair2": 1}
"""Columns of ``cov_*`` that hold one of the two pairs, with its place in the table's name."""


def pairs_of(table: str) -> tuple[str, ...]:
    """Return the pairs whose bars all count in a table's rows, by its name: its own, those compared, a triangle's."""
    words = table.split("_")
    if words[0] in _MEANS:
        return ()
    if words[0] == _TRIANGLE:
        sides = words[-3:]
        return tuple(pair.name for pair in ALL_PAIRS if pair.base in sides and pair.quote in sides)
    return tuple(word for word in words if word in _PAIRS)


def averaged_pairs(table: str) -> tuple[str, ...]:
    """Return the pairs of a table of means over several pairs: all pairs of its currency, or of the market."""
    words = table.split("_")
    if words[0] not in _MEANS:
        return ()
    named = {word for word in words if word in CURRENCIES}
    return tuple(pair.name for pair in ALL_PAIRS if not named or named & {pair.base, pair.quote})


def pairs_in(table: str, column: str) -> tuple[str, ...]:
    """Return the pairs that a feature is computed from, as far as its name tells them; none of a mean over pairs.

    Of the values that a table compares (``val1``, ``val2``) it is one of its two pairs. Which rate of a triangle
    ``pair1_val`` is, the name does not tell.
    """
    pairs = pairs_of(table)
    words = table.split("_")
    if words[0] in _MEANS:
        return (column,) if column in _PAIRS else ()
    if words[0] == _CORRELATED and _of_instrument(words, column):
        return ()
    return pairs[_VALUES[column] : _VALUES[column] + 1] if words[0] == _COVARIANCE and column in _VALUES else pairs


def subject_of(table: str, column: str, pair: Pair) -> Subject:
    """Return what a feature is about, by the pairs and currencies in the names of its table and column."""
    words = table.split("_")
    if words[0] == "mkt":
        return "pair" if column == pair.name else "other" if column in _PAIRS else "market"
    pairs = pairs_in(table, column)
    if pair.name in pairs:
        alone = len(pairs) == 1 and not (words[0] == _CORRELATED and not column.startswith("fx_"))
        return "pair" if alone else "compared"
    currencies = {word for word in words if word in CURRENCIES}
    if len(currencies) != 1:
        return "other"
    return "base" if pair.base in currencies else "quote" if pair.quote in currencies else "other"


def _of_instrument(words: Sequence[str], column: str) -> bool:
    """Return whether a column of a ``corr_*`` table holds the instrument alone: its volatility, or its BQX."""
    return column.startswith(_INSTRUMENT) or (words[1:3] in (["bqx", "ibkr"], ["etf", "bqx"]))


def common_name(table: str, column: str, pair: Pair) -> str:
    """Return the name of a feature with ``base``, ``quote`` and ``pair`` in place of the currencies and the pair.

    The name begins with the table's prefix, as in the training file; that of a table that compares two pairs keeps the
    place of the own one: ``cov_agg_pair_gbpquote__val1`` for ``cov_agg_gbpusd__val1`` of eurusd.
    """
    prefix = table if sum(word in _PAIRS for word in table.split("_")) > 1 else table_prefix(table, pair)
    return SEPARATOR.join("_".join(_common(word, pair) for word in name.split("_")) for name in (prefix, column))


def _common(word: str, pair: Pair) -> str:
    sides = {pair.base: "base", pair.quote: "quote"}
    if word == pair.name:
        return "pair"
    if word in _PAIRS:
        return "".join(sides.get(each, each) for each in (word[:3], word[3:]))
    return sides.get(word, word)
