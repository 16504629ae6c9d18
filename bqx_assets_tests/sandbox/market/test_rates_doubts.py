"""What is hardly true of rates is told by pair, row and factor; what is true is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.names import KEY
from bqx_assets.sandbox.market.rates_doubts import doubts_of
from bqx_assets.sandbox.market.rates_file import ROW
from bqx_assets.sandbox.market.simulate import simulate

PRICES = ["open", "high", "low", "close"]
MARKET = simulate(400, seed=3)
NAMES = ("eurusd", "eurjpy", "usdjpy", "gbpusd", "gbpjpy", "eurgbp", "audusd")


def _parts(*names: str) -> dict[str, pl.DataFrame]:
    found: dict[str, pl.DataFrame] = {}
    for place, name in enumerate(names):
        bars = MARKET.pairs[name]
        prices = {column: getattr(bars, column) for column in PRICES}
        frame = pl.DataFrame({KEY: bars.times} | prices).with_columns(pl.col(KEY).cast(pl.Datetime("us", "UTC")))
        found[name] = frame.with_row_index(ROW, 1 + 1_000 * place)
    return found


def _times(
    frame: pl.DataFrame, factor: float, columns: list[str] | None = None, rows: slice = slice(None)
) -> pl.DataFrame:
    struck = pl.int_range(pl.len()).is_in(range(*rows.indices(frame.height)))
    changed = (
        pl.when(struck).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in columns or PRICES
    )
    return frame.with_columns(changed)


def test_a_market_as_it_is_raises_no_doubt() -> None:
    assert doubts_of(_parts(*NAMES)) == ()
    assert doubts_of(_parts("eurusd")) == ()
    assert doubts_of({"eurusd": _parts("eurusd")["eurusd"].head(1)}) == ()


@pytest.mark.parametrize("columns", [PRICES, ["high", "close"], ["high"], ["low", "close"]], ids=str)
@pytest.mark.parametrize("factor", [100.0, 10.0, 0.01])
@pytest.mark.parametrize("row", [0, 7, 399])
def test_one_spike_is_told_by_its_row_and_factor(columns: list[str], factor: float, row: int) -> None:
    parts = _parts("eurusd")
    if (factor > 1) == ("low" in columns and len(columns) == 2) or (columns == ["high"] and factor < 1):
        return  # the bar would contradict itself, which is refused
    (doubt,) = doubts_of({"eurusd": _times(parts["eurusd"], factor, columns, slice(row, row + 1))})
    told = {row + 1, row + 2} if row == 0 else {row + 1}
    assert any(f"in row {each:,} (" in doubt for each in told)
    assert doubt.startswith("eurusd: ")
    assert any(f"(about {each:g})" in doubt for each in (factor, 1 / factor))


@pytest.mark.parametrize("name", ["usdjpy", "eurusd", "eurgbp", "audusd"])
@pytest.mark.parametrize("factor", [1e5, 1_000.0, 100.0, 1e-3])
def test_a_pair_in_another_unit_is_told_by_its_first_row_and_factor(name: str, factor: float) -> None:
    parts = _parts(*NAMES)
    doubts = doubts_of(parts | {name: _times(parts[name], factor)})
    assert doubts
    assert all(doubt.startswith(f"{name}: ") for doubt in doubts)
    assert all(f"row {parts[name].item(0, ROW):,} (" in doubt for doubt in doubts)
    in_triangle = [doubt for doubt in doubts if "make of it" in doubt]
    assert len(in_triangle) == (name != "audusd")
    assert all(f"(about {factor:g})" in doubt for doubt in in_triangle)


def test_a_pair_alone_in_points_is_told_by_what_is_usual() -> None:
    (doubt,) = doubts_of({"usdjpy": _times(_parts("usdjpy")["usdjpy"], 1_000)})
    assert "median close 1" in doubt
    assert "is it the price of one usd in jpy?" in doubt


def test_a_history_that_changes_its_unit_is_told_where_it_does() -> None:
    (doubt,) = doubts_of({"usdjpy": _times(_parts("usdjpy")["usdjpy"], 1_000, rows=slice(250, None))})
    assert "in row 251 (" in doubt
    assert "(about 1000)" in doubt


def test_prices_of_the_inverse_contradict_their_triangle() -> None:
    parts = _parts("eurusd", "eurgbp", "gbpusd")
    turned = parts["eurgbp"].with_columns((1 / pl.col("close")).alias("close"))
    doubts = doubts_of(parts | {"eurgbp": turned.with_columns(high=pl.col("close") * 1.01, low=pl.col("close") * 0.99)})
    assert len(doubts) == 1
    assert doubts[0].startswith("eurgbp: from row 1,001 (")
    assert "gbpusd and eurusd make of it" in doubts[0]


def _clock(frame: pl.DataFrame, *minutes: int) -> pl.DataFrame:
    """The same prices at the given steps, one after the other."""
    steps = np.resize(
        np.array(minutes, dtype=np.int64) if len(minutes) == frame.height else np.array(minutes), frame.height
    )
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=int(each)) for each in np.cumsum(steps)]
    return frame.with_columns(pl.Series(KEY, times, dtype=pl.Datetime("us", "UTC")))


def test_bars_of_another_length_are_told_by_pair_row_and_factor() -> None:
    parts = {name: _clock(frame, 1) for name, frame in _parts("eurusd", "gbpusd", "usdjpy").items()}
    (doubt,) = doubts_of(parts | {"usdjpy": _clock(parts["usdjpy"], 60)})
    assert doubt.startswith("usdjpy: bars are of 60 min, from row 2,001 (")
    assert "eurusd and gbpusd of 1 min, 60 times that" in doubt


def test_bars_that_change_their_length_are_told_where_they_do() -> None:
    frame = _parts("eurusd")["eurusd"]
    (doubt,) = doubts_of({"eurusd": _clock(frame, *([1_440] * 60), *([60] * (frame.height - 60)))})
    assert doubt.startswith("eurusd: bars of 1440 min become bars of 60 min about row 60 (")


def test_months_and_weekends_and_gaps_are_no_change_of_length() -> None:
    frame = _parts("eurusd")["eurusd"].head(120)
    months = [days * 1_440 for days in (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)]
    assert doubts_of({"eurusd": _clock(frame, *months)}) == ()
    assert doubts_of({"eurusd": _clock(frame, 1_440, 1_440, 1_440, 1_440, 3 * 1_440)}) == ()


def test_times_of_another_unit_are_told() -> None:
    frame = _parts("eurusd")["eurusd"].with_columns(
        (pl.col(KEY).cast(pl.Int64) // 1_000).cast(pl.Datetime("us", "UTC"))
    )
    assert any("before 1971" in doubt for doubt in doubts_of({"eurusd": frame}))
