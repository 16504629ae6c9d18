"""28 pairs, parsed strictly: anything else is an error that names the nearest."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import UnknownPair
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, parse_pair, parse_pairs

NAMES = [pair.name for pair in ALL_PAIRS]


def test_every_two_currencies_make_one_pair_in_market_order() -> None:
    assert sorted(NAMES) == sorted(base + quote for base, quote in itertools.combinations(CURRENCIES, 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_parsed_from_its_own_name_only(name: str) -> None:
    assert parse_pair(name).name == str(parse_pair(name)) == name
    for other in (name.upper(), f" {name}", name[3:] + name[:3], f"{name[:3]}/{name[3:]}"):
        with pytest.raises(UnknownPair, match=f"Did you mean {name}"):
            parse_pair(other)


@given(st.text())
def test_any_other_text_is_an_error_that_names_a_valid_pair(text: str) -> None:
    if text in NAMES:
        return
    with pytest.raises(UnknownPair) as caught:
        parse_pair(text)
    assert caught.value.exit_code == 2
    assert caught.value.cure.removeprefix("Did you mean ").partition("?")[0] in NAMES


@pytest.mark.parametrize("text", ["gbpusd, eurusd", "gbpusd eurusd,eurusd", " eurusd gbpusd"])
def test_pairs_are_read_in_market_order_and_once(text: str) -> None:
    assert [pair.name for pair in parse_pairs(text)] == ["eurusd", "gbpusd"]


def test_a_list_with_a_word_that_is_no_pair_is_refused() -> None:
    with pytest.raises(UnknownPair, match="eurusx"):
        parse_pairs("gbpusd eurusx")
