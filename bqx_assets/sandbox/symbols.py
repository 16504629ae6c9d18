"""What vendors and brokers call a pair: ``EUR/USD``, ``EURUSD=X``, ``OANDA:EUR_USD``, ``EURUSD.m``, or ``USDEUR``.

Belongs here: from such a name to one of the 28 pairs, or to an instrument beside them. Does not: prices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES
from bqx_assets.sandbox.instruments import INSTRUMENTS

_CODE = f"({'|'.join(CURRENCIES)})"
_SYMBOL = re.compile(
    # Where it comes from (OANDA:, FX_IDC:, C:, frx, #); the two currencies; the kind of account (.m, pro, -ECN, =X).
    rf"((?:[a-z0-9_.]+:|frx|[#^.])?){_CODE}[ /_.-]?{_CODE}((?:=x)?|[ ._+#!-]?[a-z]{{0,7}}[.#+!-]?)",
    re.IGNORECASE,
)
_IN_FILE_NAME = re.compile(rf"(?<![a-z]){_CODE}[-_.]?{_CODE}(?![a-z])", re.IGNORECASE)
_NO_SPOT = ("inv", "rev", "fwd", "forward", "fut", "vol", "opt", "return", "log", "idx", "swap")
"""Beginnings of suffixes by which a series is not the pair's price."""
_PAIRS = frozenset(pair.name for pair in ALL_PAIRS)


@dataclass(frozen=True, slots=True)
class Symbol:
    """What a vendor's name stands for."""

    name: str
    """A pair of the 28, or an instrument."""
    is_reversed: bool = False
    """The vendor quotes the pair the other way round: its price is 1 over ours."""
    affix: str = ""
    """What the vendor adds to the two currencies, in lower case: two of them for a pair are two sources of prices."""


def parse_symbol(text: str) -> Symbol | None:
    """Return what a vendor's name stands for; None for one that is no pair of the 28 and no instrument, or two."""
    plain = text.strip()
    if plain.lower().removeprefix("^") in INSTRUMENTS:
        return Symbol(plain.lower().removeprefix("^"))
    found = _SYMBOL.fullmatch(plain)
    if found is None:
        return None
    before, base, quote, after = (part.lower() for part in found.groups())
    word = after.strip(" ._+#!-")
    if word.startswith(_NO_SPOT) or any(code in before + word for code in CURRENCIES):
        return None
    return _of_currencies(base, quote, before + after)


def symbol_in(path: Path) -> Symbol | None:
    """Return the one pair that a file's name speaks of, as ``EURUSD_M1.csv`` does; None for no pair or several."""
    found = {(base.lower(), quote.lower()) for base, quote in _IN_FILE_NAME.findall(path.stem)}
    return _of_currencies(*found.pop(), "") if len(found) == 1 else None


def _of_currencies(base: str, quote: str, affix: str) -> Symbol | None:
    if base + quote in _PAIRS:
        return Symbol(base + quote, affix=affix)
    return Symbol(quote + base, is_reversed=True, affix=affix) if quote + base in _PAIRS else None
