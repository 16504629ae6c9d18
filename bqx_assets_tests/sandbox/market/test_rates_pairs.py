"""Every row gets its own pair, the right way round, whatever the vendor calls it, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting, BqxError, UnknownPair
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.sandbox.market.rates import load_market
from bqx_assets.sandbox.market.rates_pairs import parse_symbol, symbol_in

DAYS = [f"2024-01-{day:02}" for day in range(1, 11)]


def _file(folder: Path, *names: str, file: str = "rates.csv", **columns: list[float]) -> Path:
    """Ten days a name, each with the given columns."""
    close = columns or {"close": [1.1] * 10}
    parts = [pl.DataFrame({KEY: DAYS, "pair": [name] * 10} | close) for name in names]
    pl.concat(parts).write_csv(folder / file)
    return folder / file


def _alone(folder: Path, file: str) -> Path:
    """Ten days of nobody's."""
    pl.DataFrame({"Date": DAYS, "Close": [1.1] * 10}).write_csv(folder / file)
    return folder / file


def test_vendors_names_are_the_pairs_and_said(tmp_path: Path) -> None:
    market = load_market(_file(tmp_path, "EUR/USD", "OANDA:GBP_USD", "usdjpy"), 100)
    assert {"eurusd", "gbpusd", "usdjpy"} <= market.pairs.keys()
    assert "pairs read: 'EUR/USD' as eurusd, 'OANDA:GBP_USD' as gbpusd" in market.said


def test_a_reversed_pair_is_refused_by_its_rows_with_what_must_be_done(tmp_path: Path) -> None:
    with pytest.raises(UnknownPair) as caught:
        load_market(_file(tmp_path, "eurusd", "usdaud"), 100)
    assert "rates.csv" in caught.value.subject
    assert "10 rows of pair 'usdaud', which is audusd reversed, first row 11," in caught.value.got
    assert "usdaud is the inverse, its price is 1/price of audusd" in caught.value.expected
    assert "--invert" in caught.value.cure


def test_a_reversed_pair_is_turned_when_asked_for_and_no_other(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {KEY: DAYS[:2] * 2, "pair": ["USDAUD"] * 2 + ["EURUSD"] * 2, "open": [1.25, 1.6, 1.0, 1.1]}
        | {"high": [2.0, 2.5, 1.2, 1.2], "low": [1.0, 1.25, 0.9, 1.0], "close": [1.6, 2.0, 1.1, 1.15]}
    )
    frame.write_csv(tmp_path / "r.csv")
    market = load_market(tmp_path / "r.csv", 100, invert=True)
    bars, other = market.pairs["audusd"], market.pairs["eurusd"]
    assert (bars.open.tolist(), bars.close.tolist()) == ([0.8, 0.625], [0.625, 0.5])
    assert (bars.high.tolist(), bars.low.tolist()) == ([1.0, 0.8], [0.5, 0.4])
    assert (other.open.tolist(), other.high.tolist()) == ([1.0, 1.1], [1.2, 1.2])
    assert any(said.startswith("pairs inverted: 'USDAUD' to audusd") for said in market.said)


def test_one_bound_alone_does_not_survive_inversion(tmp_path: Path) -> None:
    path = _file(tmp_path, "usdaud", "eurusd", close=[1.6] * 10, high=[2.0] * 10)
    market = load_market(path, 100, invert=True)
    assert market.pairs["audusd"].high.tolist() == [0.625] * 10
    assert any("columns ignored: 'high'" in said for said in market.said)


def test_nothing_to_invert_is_said(tmp_path: Path) -> None:
    market = load_market(_file(tmp_path, "eurusd"), 100, invert=True)
    assert "pairs inverted: none, because no pair of the file is reversed" in market.said


@pytest.mark.parametrize("names", [("EURUSD", "EURUSD.m"), ("eurusd", "usdeur"), ("EURUSD=X", "OANDA:EURUSD")])
@pytest.mark.parametrize("invert", [False, True])
def test_two_sources_of_one_pair_are_not_mixed(tmp_path: Path, names: tuple[str, str], *, invert: bool) -> None:
    with pytest.raises(BadSetting, match="each of which is eurusd"):
        load_market(_file(tmp_path, *names), 100, invert=invert)


def test_one_source_may_spell_a_pair_in_two_ways(tmp_path: Path) -> None:
    frame = pl.DataFrame({KEY: DAYS, "pair": ["EURUSD"] * 5 + ["eur/usd"] * 5, "close": [1.1] * 10})
    frame.write_csv(tmp_path / "r.csv")
    assert load_market(tmp_path / "r.csv", 100).pairs["eurusd"].rows == 10


@pytest.mark.parametrize("name", ["eursek", "XAUUSD", "EURUSD1M", "eur"])
def test_what_is_no_pair_is_refused_by_name_and_row(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownPair, match=f"10 rows of pair '{name}', first row 11"):
        load_market(_file(tmp_path, "eurusd", name), 100)


def test_rows_without_a_pair_are_those_of_the_one_asked_for(tmp_path: Path) -> None:
    market = load_market(_alone(tmp_path, "download.csv"), 100, only="usdjpy")
    assert [*market.pairs] == ["usdjpy"]
    assert "no column pair: every row is taken as usdjpy, the one pair asked for" in market.said


def test_rows_without_a_pair_are_nobodys_if_none_or_several_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"no column pair, expected .* exactly one pair asked for"):
        load_market(_alone(tmp_path, "download.csv"), 100)


@pytest.mark.parametrize(
    ("file", "invert", "error"),
    [
        ("EURUSD_H1.csv", False, None),
        ("GBPUSD.csv", False, BadSetting),
        ("USDEUR.csv", False, UnknownPair),
        ("USDEUR.csv", True, None),
    ],
)
def test_a_file_name_that_says_another_pair_is_heard(
    tmp_path: Path, file: str, error: type[BqxError] | None, *, invert: bool
) -> None:
    path = _alone(tmp_path, file)
    if error is not None:
        with pytest.raises(error, match=f"gbpusd|{file}"):
            load_market(path, 100, only="eurusd", invert=invert)
        return
    close = load_market(path, 100, only="eurusd", invert=invert).pairs["eurusd"].close
    assert close.tolist() == [1 / 1.1 if invert else 1.1] * 10


def test_a_column_of_pairs_that_is_no_text_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({KEY: DAYS, "pair": [1] * 10, "close": [1.1] * 10}).write_parquet(tmp_path / "r.parquet")
    with pytest.raises(BadSetting, match="pair of type Int64"):
        load_market(tmp_path / "r.parquet", 100)


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
