"""Gives every row of a rates file its pair, whatever the vendor calls it: ``EUR/USD``, ``EURUSD=X``, ``OANDA:EUR_USD``.

Rows of a reversed pair (``USDEUR``) are inverted when the user asks for it, and refused otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import UnknownPair
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, nearest_pair
from bqx_assets.sandbox.market.rates_file import PAIR, PRICES, RatesFile
from bqx_assets.sandbox.market.simulate import INSTRUMENTS

_INVERSE = "1/price for open and close, 1/low for high, 1/high for low"


def name_rows(file: RatesFile, only: str | None, *, invert: bool) -> None:
    """Give every row the name of its pair or instrument, in place; invert the rows of reversed pairs with ``invert``.

    **Shape**: the frame has a text column ``pair`` afterwards. ``only`` names the pair of a file without such a column.

    Raises:
        BadSetting: the file has no column for the pair and the request does not fit it; two names mean one pair.
        UnknownPair: a name is that of no pair, or of a reversed pair without ``invert``.
    """
    if PAIR in file.frame.columns:
        kind = file.frame.schema[PAIR]
        if not isinstance(kind, pl.String | pl.Categorical | pl.Enum):
            raise file.bad(f"{PAIR} of type {kind}", "names of pairs as text", "Convert the column.")
        file.frame = file.frame.with_columns(pl.col(PAIR).cast(pl.String))
        symbols = _of_column(file)
    else:
        name, symbol = _of_request(file, only)
        file.frame = file.frame.with_columns(pl.lit(name).alias(PAIR))
        symbols = {name: symbol}
        file.said.append(f"no column pair: every row is taken as {name}, the one pair asked for")
    turned = {text: symbol.name for text, symbol in symbols.items() if symbol.is_reversed}
    renamed = {text: symbol.name for text, symbol in symbols.items() if text != symbol.name and text not in turned}
    if renamed:
        file.said.append(f"pairs read: {', '.join(f'{text!r} as {name}' for text, name in renamed.items())}")
    if turned and not invert:
        _refuse_reversed(file, turned)
    if turned:
        _turn(file, [*turned])
        told = ", ".join(f"{text!r} to {name}" for text, name in turned.items())
        file.said.append(f"pairs inverted: {told} ({_INVERSE})")
    elif invert:
        file.said.append("pairs inverted: none, because no pair of the file is reversed")
    names = {text: symbol.name for text, symbol in symbols.items()}
    file.frame = file.frame.with_columns(pl.col(PAIR).replace_strict(names, return_dtype=pl.String))


def _of_request(file: RatesFile, only: str | None) -> tuple[str, Symbol]:
    if only is None:
        raise file.bad(
            "no column pair",
            "a column with each row's pair, or exactly one pair asked for",
            "Add the column pair, or ask for the file's pair alone, for example: --pairs eurusd",
        )
    stated = symbol_in(file.path)
    if stated is not None and stated.name != only:
        raise file.bad(
            f"no column pair, and a file name that says {stated.name}",
            f"rates of {only}, which was asked for",
            f"Ask for --pairs {stated.name}, or rename the file if its rates are those of {only}.",
        )
    if stated is not None and stated.is_reversed:
        return only[3:] + only[:3], stated
    return only, Symbol(only)


def _of_column(file: RatesFile) -> dict[str, Symbol]:
    symbols: dict[str, Symbol] = {}
    sources: dict[str, dict[tuple[bool, str], str]] = {}
    for text in file.frame.get_column(PAIR).unique(maintain_order=True):
        symbol = parse_symbol(text)
        if symbol is None:
            raise UnknownPair(
                f"rates {file.path}",
                got=file.rows_where(pl.col(PAIR) == text, f"of pair {text!r}"),
                expected="one of the 28 pairs, as a vendor may write it: EURUSD, EUR/USD, EURUSD=X, OANDA:EUR_USD",
                cure=f"Correct the name, or remove the rows. Did you mean {nearest_pair(text)}?",
            )
        symbols[text] = symbol
        sources.setdefault(symbol.name, {})[symbol.is_reversed, symbol.affix] = text
    for name, texts in sources.items():
        if len(texts) > 1:
            raise file.bad(
                f"pairs {' and '.join(map(repr, texts.values()))}, each of which is {name}",
                "one source of rates for a pair",
                "Remove the rows of all but one of them.",
            )
    return symbols


def _refuse_reversed(file: RatesFile, turned: Mapping[str, str]) -> None:
    """Raise UnknownPair; the error names the first reversed pair."""
    text, name = next(iter(turned.items()))
    raise UnknownPair(
        f"rates {file.path}",
        got=file.rows_where(pl.col(PAIR) == text, f"of pair {text!r}, which is {name} reversed"),
        expected=f"{name}: {', '.join(turned)} is the inverse, its price is 1/price of {', '.join(turned.values())}",
        cure=f"Add --invert, which takes {_INVERSE}; or do so in the file and call the pair {name}.",
    )


def _turn(file: RatesFile, names: Sequence[str]) -> None:
    """Invert the prices of reversed pairs, in place."""
    bounds = [name for name in ("high", "low") if name in file.frame.columns]
    if len(bounds) == 1:  # inverted, it would be the other bound, which the other pairs of the file do not have
        file.frame = file.frame.drop(bounds)
        file.said.append(f"columns ignored: {bounds[0]!r}, because it bounds inverted prices on one side only")
    source = {"high": "low", "low": "high"}
    file.frame = file.frame.with_columns(
        pl.when(pl.col(PAIR).is_in(names))
        .then(1.0 / pl.col(source.get(name, name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name in PRICES
        if name in file.frame.columns
    )


_CODE = f"({'|'.join(CURRENCIES)})"
_SYMBOL = re.compile(
    # Source (OANDA:, FX_IDC:, C:, frx, #), the two currencies, kind of account (.m, pro, -ECN, =X).
    rf"((?:[a-z0-9_.]+:|frx|[#^.])?){_CODE}[ /_.-]?{_CODE}((?:=x)?|[ ._+#!-]?[a-z]{{0,7}}[.#+!-]?)",
    re.IGNORECASE,
)
_IN_FILE_NAME = re.compile(rf"(?<![a-z]){_CODE}[-_.]?{_CODE}(?![a-z])", re.IGNORECASE)
_NO_SPOT = ("inv", "rev", "fwd", "forward", "fut", "vol", "opt", "return", "log", "idx", "swap")
"""Beginnings of suffixes which tell that a series is not the pair's spot price."""
_PAIRS = frozenset(pair.name for pair in ALL_PAIRS)


@dataclass(frozen=True, slots=True)
class Symbol:
    """The pair or instrument that a vendor's name means."""

    name: str
    """One of the 28 pairs, or an instrument."""
    is_reversed: bool = False
    """Whether the vendor quotes the pair in reverse: its price is 1/price."""
    affix: str = ""
    """What the vendor adds to the two currencies, in lower case. Two affixes for one pair are two sources of prices."""


def parse_symbol(text: str) -> Symbol | None:
    """Return the meaning of a vendor's name; None if it is neither a pair nor an instrument, or ambiguous."""
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
    """Return the one pair that a file's name contains, as ``EURUSD_M1.csv`` does; None for no pair or several."""
    found = {(base.lower(), quote.lower()) for base, quote in _IN_FILE_NAME.findall(path.stem)}
    return _of_currencies(*found.pop(), "") if len(found) == 1 else None


def _of_currencies(base: str, quote: str, affix: str) -> Symbol | None:
    if base + quote in _PAIRS:
        return Symbol(base + quote, affix=affix)
    return Symbol(quote + base, is_reversed=True, affix=affix) if quote + base in _PAIRS else None
