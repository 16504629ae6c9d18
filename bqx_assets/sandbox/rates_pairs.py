"""Whose rows the rows of a rates file are: vendors' names, reversed pairs, files of one pair without a name.

Belongs here: giving every row its pair, and turning rows of a reversed one. Does not: a single name (``symbols``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from bqx_assets.base.errors import UnknownPair
from bqx_assets.base.pairs import nearest_pair
from bqx_assets.sandbox.rates_file import PAIR, PRICES, RatesFile
from bqx_assets.sandbox.symbols import Symbol, parse_symbol, symbol_in

_INVERSE = "1/price for open and close, 1/low for high, 1/high for low"


def name_rows(file: RatesFile, only: str | None, *, invert: bool) -> None:
    """Give every row the name of its pair or instrument, in place; turn rows of reversed pairs with ``invert``.

    **Shape**: ``pair`` is there afterwards, as text. ``only`` is whose rows they are where the file does not say it.

    Raises:
        BadSetting: no column for the pair and none or another one asked for; two names of the file are one pair.
        UnknownPair: a name that is no pair's, or a reversed pair without ``invert``.
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
        file.said.append("pairs inverted: none, for no pair of the file is reversed")
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
    """Raise UnknownPair, by the first reversed pair."""
    text, name = next(iter(turned.items()))
    raise UnknownPair(
        f"rates {file.path}",
        got=file.rows_where(pl.col(PAIR) == text, f"of pair {text!r}, which is {name} reversed"),
        expected=f"{name}: {', '.join(turned)} is the inverse, its price is 1/price of {', '.join(turned.values())}",
        cure=f"Add --invert, which takes {_INVERSE}; or do so in the file and call the pair {name}.",
    )


def _turn(file: RatesFile, names: Sequence[str]) -> None:
    """Prices of reversed pairs as the pair's own, in place."""
    bounds = [name for name in ("high", "low") if name in file.frame.columns]
    if len(bounds) == 1:  # its inverse would be the other bound, which the other pairs of the file do not have
        file.frame = file.frame.drop(bounds)
        file.said.append(f"columns ignored: {bounds[0]!r}, for it bounds inverted prices on one side only")
    source = {"high": "low", "low": "high"}
    file.frame = file.frame.with_columns(
        pl.when(pl.col(PAIR).is_in(names))
        .then(1.0 / pl.col(source.get(name, name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name in PRICES
        if name in file.frame.columns
    )
