"""Pairs nobody quotes are derived along the shortest chain of those that are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, parse_pair
from bqx_assets.sandbox.market import Bars
from bqx_assets.sandbox.simulate import simulate
from bqx_assets.sandbox.triangulate import derive_missing, shortest_chain

NAMES = [pair.name for pair in ALL_PAIRS]
MARKET = simulate(300, seed=9)
some_pairs = st.lists(st.sampled_from(NAMES), min_size=1, max_size=9, unique=True)


def _steps_between(given_pairs: Sequence[str], base: str, quote: str) -> int | None:
    """Distance by relaxing all edges eight times: another way than the product's."""
    far = dict.fromkeys(CURRENCIES, 99) | {base: 0}
    for _ in CURRENCIES:
        for name in given_pairs:
            one, two = name[:3], name[3:]
            far[one], far[two] = min(far[one], far[two] + 1), min(far[two], far[one] + 1)
    return far[quote] if far[quote] < 99 else None


@settings(deadline=None)
@given(some_pairs)
def test_a_chain_is_found_where_there_is_one_and_is_the_shortest(given_pairs: list[str]) -> None:
    for pair in ALL_PAIRS:
        chain = shortest_chain(pair, given_pairs)
        assert (None if chain is None else len(chain)) == _steps_between(given_pairs, pair.base, pair.quote)
        at = pair.base
        for name, forward in chain or ():
            start, end = (name[:3], name[3:]) if forward else (name[3:], name[:3])
            assert (at, name in given_pairs) == (start, True)
            at = end
        assert chain is None or at == pair.quote


@settings(deadline=None, max_examples=25)
@given(some_pairs)
def test_derived_rates_equal_the_quoted_ones_whatever_the_order(given_pairs: list[str]) -> None:
    found, missing = derive_missing({name: MARKET.pairs[name] for name in given_pairs})
    backwards, _ = derive_missing({name: MARKET.pairs[name] for name in reversed(given_pairs)})
    assert sorted([*found, *missing]) == sorted(NAMES)
    for name in found.keys() - set(given_pairs):
        derived, quoted = found[name], MARKET.pairs[name]
        times = np.intersect1d(derived.times, quoted.times)
        ours = derived.close[np.searchsorted(derived.times, times)]
        np.testing.assert_allclose(ours, quoted.close[np.searchsorted(quoted.times, times)], rtol=1e-13)
        assert np.array_equal(derived.close, backwards[name].close)
        assert (derived.low <= np.minimum(derived.open, derived.close)).all()
        assert (derived.high >= np.maximum(derived.open, derived.close)).all()


def test_a_derived_pair_has_bars_only_where_its_whole_chain_has() -> None:
    found, _ = derive_missing({name: MARKET.pairs[name] for name in ("eurusd", "usdjpy")})
    times = np.intersect1d(MARKET.pairs["eurusd"].times, MARKET.pairs["usdjpy"].times)
    assert np.array_equal(found["eurjpy"].times, times)
    legs = [MARKET.pairs[name] for name in ("eurusd", "usdjpy")]
    volumes = [leg.volume[np.searchsorted(leg.times, times)] for leg in legs]
    assert np.array_equal(found["eurjpy"].volume, np.minimum(*volumes))


def test_pairs_without_a_common_time_are_named() -> None:
    bars = MARKET.pairs["usdjpy"]
    later = Bars(bars.times + 10**15, bars.open, bars.high, bars.low, bars.close, bars.volume)
    _, missing = derive_missing({"eurusd": MARKET.pairs["eurusd"], "usdjpy": later})
    assert missing["eurjpy"] == "eurusd and usdjpy have no time in common"


def test_the_first_chain_in_market_order_is_taken_among_equals() -> None:
    chain = shortest_chain(parse_pair("eurjpy"), ["gbpjpy", "eurgbp", "usdjpy", "eurusd"])
    assert chain == (("eurusd", True), ("usdjpy", True))
