"""A vendor's name for a pair is that pair, or nothing: never another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.sandbox.symbols import parse_symbol, symbol_in


@pytest.mark.parametrize(
    "text",
    [
        *("eurusd", "EURUSD", "EurUsd", "EUR/USD", "EUR-USD", "EUR_USD", "EUR USD", "EUR.USD", " EURUSD ", "EURUSD=X"),
        *("EURUSD.m", "EURUSDm", "EURUSDpro", "EURUSD-ECN", "EURUSD_SB", "EURUSD.raw", "EURUSDmicro", "EURUSD#"),
        *("EURUSD+", "EURUSD!", "EURUSD.", "EURUSD Curncy", "OANDA:EUR_USD", "FX_IDC:EURUSD", "C:EURUSD", "frxEURUSD"),
        *("#EURUSD", "FX:EURUSD.m", "EURUSD.forex"),
    ],
)
def test_what_vendors_and_brokers_call_it_is_the_pair(text: str) -> None:
    symbol = parse_symbol(text)
    assert symbol is not None
    assert (symbol.name, symbol.is_reversed) == ("eurusd", False)


@pytest.mark.parametrize(
    "text",
    [
        *("", "EUR", "EURSEK", "XAUUSD", "EURUSDJPY", "EURUSD.JPY", "JPY/EURUSD", "EUREUR", "USD", "JPY=X", "6E"),
        *(
            "EURUSD1M",
            "EURUSDV1M",
            "EURUSDinv",
            "EURUSD_fwd",
            "EURUSD.vol",
            "EURUSD_returns",
            "EURUSD/2",
            "EUR USD GBP",
        ),
    ],
)
def test_what_may_be_another_series_is_nothing(text: str) -> None:
    assert parse_symbol(text) is None


@given(pair=st.sampled_from(ALL_PAIRS), text=st.text(max_size=5), after=st.booleans())
def test_whatever_is_added_to_a_pair_it_is_that_pair_or_nothing(pair: object, text: str, *, after: bool) -> None:
    symbol = parse_symbol(f"{pair}{text}" if after else f"{text}{pair}")
    assert symbol is None or (symbol.name, symbol.is_reversed) == (str(pair), False)


@pytest.mark.parametrize("text", ["USDEUR", "usd/eur", "USDEUR=X", "OANDA:USD_EUR", "USDEUR.m"])
def test_a_reversed_pair_is_known_as_such(text: str) -> None:
    symbol = parse_symbol(text)
    assert symbol is not None
    assert (symbol.name, symbol.is_reversed) == ("eurusd", True)


@pytest.mark.parametrize(("text", "name"), [("SPY", "spy"), ("^VIX", "vix"), ("gld", "gld")])
def test_an_instrument_is_known(text: str, name: str) -> None:
    symbol = parse_symbol(text)
    assert symbol is not None
    assert symbol.name == name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("EURUSD.csv", "eurusd"),
        ("DAT_ASCII_EURUSD_M1_2024.csv", "eurusd"),
        ("eur-usd_h1.parquet", "eurusd"),
        ("USDEUR.csv", "eurusd"),
        ("rates.csv", None),
        ("eurusd_gbpusd.csv", None),
        ("neurusdata.csv", None),
    ],
)
def test_a_file_name_speaks_of_one_pair_or_of_none(file: str, name: str | None) -> None:
    symbol = symbol_in(Path("usdjpy") / file)
    assert (symbol and symbol.name) == name
