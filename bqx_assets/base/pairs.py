"""The 28 forex pairs and 8 currencies: their names, their order, and the reading of a pair from a text."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from bqx_assets.base.errors import UnknownPair

CURRENCIES: tuple[str, ...] = ("eur", "gbp", "aud", "nzd", "usd", "cad", "chf", "jpy")
"""The pairs' currencies in market order: the earlier currency of a pair is its base."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One forex pair, quoted as units of ``quote`` for one unit of ``base``. Made by :func:`parse_pair` only."""

    base: str
    quote: str

    @property
    def name(self) -> str:
        """The six lower-case letters in the names of tables, files and partitions, e.g. ``eurusd``."""
        return self.base + self.quote

    def __str__(self) -> str:
        return self.name


_MARKET_ORDER = (
    "eurusd gbpusd usdjpy usdchf audusd usdcad nzdusd eurgbp eurjpy eurchf euraud eurcad eurnzd gbpjpy "
    "gbpchf gbpaud gbpcad gbpnzd audjpy audchf audcad audnzd nzdjpy nzdchf nzdcad cadjpy cadchf chfjpy"
)
ALL_PAIRS: tuple[Pair, ...] = tuple(Pair(name[:3], name[3:]) for name in _MARKET_ORDER.split())
"""All 28, majors first, then crosses: the order of partitions, listings and backfills.

Another pair is added in ``_MARKET_ORDER`` alone, its new currency in ``CURRENCIES``. A test then names the copy of the
list in deploy/up.sh.
"""

_BY_NAME = {pair.name: pair for pair in ALL_PAIRS}


def parse_pair(text: str) -> Pair:
    """Return the pair named exactly ``text``.

    Raises:
        UnknownPair: for anything else, an upper-case or reversed name included; names the nearest valid pair.
    """
    pair = _BY_NAME.get(text)
    if pair is not None:
        return pair
    raise UnknownPair(
        "pair",
        got=repr(text[:40]),
        expected=f"one of the {len(ALL_PAIRS)} pairs: {' '.join(_BY_NAME)}",
        cure=f"Did you mean {nearest_pair(text)}?",
    )


def nearest_pair(text: str) -> str:
    """Return the name of the pair that is most like ``text``; the reversed pair if that one exists."""
    letters = "".join(ch for ch in text.lower() if ch.isalpha())[:40]
    if letters[3:6] + letters[:3] in _BY_NAME:
        return letters[3:6] + letters[:3]
    return difflib.get_close_matches(letters, _BY_NAME, n=1, cutoff=0.0)[0]


def parse_pairs(text: str) -> tuple[Pair, ...]:
    """Return the pairs that a text names, separated by commas or blanks, in market order and each once.

    Raises:
        UnknownPair: a word is not a pair's name.
    """
    named = {parse_pair(word) for word in text.replace(",", " ").split()}
    return tuple(pair for pair in ALL_PAIRS if pair in named)
