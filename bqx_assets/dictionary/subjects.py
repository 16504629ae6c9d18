"""Says what a column is about, and names it alike in all pairs, by the words of its table's and its own name."""

from __future__ import annotations

from bqx_assets.base.names import SEPARATOR, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.dictionary.schema import Subject

_PAIRS = {pair.name: pair for pair in ALL_PAIRS}
_COMPARED = frozenset({"cov", "corr", "tri"})
"""First words of tables that compare the pair, or a currency, with something else."""


_MEANS = frozenset({"csi", "mkt", "var"})
"""First words of tables of means and deviations over several pairs."""
_TRIANGLE = "tri"


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


def subject_of(table: str, column: str, pair: Pair) -> Subject:
    """Return what a feature is about, by the pairs and currencies in the names of its table and column.

    A table that compares the pair with another pair or an instrument, or the three rates of a triangle, is about
    something else, whichever of them a column holds.
    """
    words = table.split("_")
    if words[0] in _COMPARED:
        return "other"
    if words[0] == "mkt":
        return "pair" if column == pair.name else "other" if column in _PAIRS else "market"
    named = {word for word in words if word in _PAIRS or word in CURRENCIES}
    if pair.name in named:
        return "pair"
    currencies = named & {*CURRENCIES}
    if len(currencies) != 1:
        return "other"
    return "base" if pair.base in currencies else "quote" if pair.quote in currencies else "other"


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
