"""The simulated market is a forex market: crosses triangulate, weekends are closed, a seed gives the same bars."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES
from bqx_assets.extract.align import MINUTE
from bqx_assets.sandbox.market.bars import Bars, Market
from bqx_assets.sandbox.market.simulate import simulate, trading_minutes

ROWS = 4_000


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(ROWS, seed=3)


def _at(bars: Bars, times: np.ndarray) -> np.ndarray:
    return bars.close[np.searchsorted(bars.times, times)]


def test_every_pair_has_exactly_the_bars_asked_for(market: Market) -> None:
    assert market.pairs.keys() == {pair.name for pair in ALL_PAIRS}
    assert {bars.rows for bars in market.pairs.values()} == {ROWS}
    assert market.missing == {}


def test_every_triangle_closes_to_round_off(market: Market) -> None:
    for first, second, third in itertools.combinations(CURRENCIES, 3):
        legs = [market.pairs[base + quote] for base, quote in ((first, second), (second, third), (first, third))]
        times = legs[0].times[np.isin(legs[0].times, legs[1].times) & np.isin(legs[0].times, legs[2].times)]
        one, two, both = (_at(bars, times) for bars in legs)
        assert times.size > 0.98 * ROWS
        np.testing.assert_allclose(one * two, both, rtol=1e-14)


def test_bars_hold_together(market: Market) -> None:
    for bars in [*market.pairs.values(), *market.instruments.values()]:
        assert (np.diff(bars.times) > 0).all()
        assert (bars.low > 0).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.volume > 0).all()


def test_rates_are_where_forex_is(market: Market) -> None:
    for name, low, high in (("eurusd", 1.0, 1.2), ("usdjpy", 140, 160), ("gbpjpy", 175, 210), ("audnzd", 1.0, 1.2)):
        close = market.pairs[name].close
        assert low < close.min() < close.max() < high
        assert 2e-5 < np.diff(np.log(close)).std() < 1e-3


def test_nothing_trades_at_the_weekend_and_each_pair_lacks_minutes_of_its_own(market: Market) -> None:
    missing: list[frozenset[int]] = []
    for bars in market.pairs.values():
        moments = [datetime.fromtimestamp(int(time) / 1e6, UTC) for time in bars.times]
        hours = np.array([moment.weekday() * 24 + moment.hour for moment in moments])
        assert not ((hours >= 4 * 24 + 22) & (hours < 6 * 24 + 22)).any()
        assert (np.diff(bars.times) > 2_800 * MINUTE).sum() == 1
        missing.append(frozenset(set(trading_minutes(ROWS).tolist()) - set(bars.times.tolist())))
    assert all(1 <= len(minutes) < ROWS // 100 for minutes in missing)
    assert len(set(missing)) == len(missing)


def test_the_day_has_quiet_and_busy_hours_and_volatility_comes_in_waves(market: Market) -> None:
    bars = market.pairs["eurusd"]
    hour = bars.times // MINUTE // 60 % 24
    moves = np.abs(np.diff(np.log(bars.close), prepend=np.log(bars.close[0])))
    assert moves[(hour >= 13) & (hour < 17)].mean() > 1.3 * moves[hour < 5].mean()
    assert np.corrcoef(moves[1:], moves[:-1])[0, 1] > 0.05


def test_currencies_and_instruments_move_together_as_they_do(market: Market) -> None:
    def moves(first: Bars, second: Bars) -> float:
        times = np.intersect1d(first.times, second.times)
        return float(np.corrcoef(np.diff(np.log(_at(first, times))), np.diff(np.log(_at(second, times))))[0, 1])

    pairs, instruments = market.pairs, market.instruments
    assert moves(pairs["audusd"], pairs["nzdusd"]) > 0.4
    assert moves(pairs["audjpy"], instruments["spy"]) > 0.3
    assert moves(pairs["eurusd"], instruments["uup"]) < -0.3
    assert moves(pairs["audjpy"], instruments["vix"]) < -0.3


def test_the_same_seed_gives_the_same_bars_and_another_seed_others(market: Market) -> None:
    again, other = simulate(ROWS, seed=3), simulate(ROWS, seed=4)
    for name, bars in market.pairs.items():
        for part in ("times", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(bars, part), getattr(again.pairs[name], part))
        assert not np.array_equal(bars.close, other.pairs[name].close)


@pytest.mark.parametrize("rows", [1, 100, 2_880])
def test_small_markets_are_whole_too(rows: int) -> None:
    assert {bars.rows for bars in simulate(rows, seed=1).pairs.values()} == {rows}
