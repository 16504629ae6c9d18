"""A user's own rates become a market with derived pairs, or one clear error says why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting, DuplicateKeys, TableDefect, UnknownPair
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, parse_pair
from bqx_assets.sandbox.market.bars import Bars
from bqx_assets.sandbox.market.rates import derive_missing, load_market, shortest_chain
from bqx_assets.sandbox.market.simulate import simulate

START = datetime(2024, 1, 2, tzinfo=UTC)


def _rates(rows: int = 30, pairs: tuple[str, ...] = ("eurusd", "usdjpy"), hours: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    times = [START + timedelta(hours=hours * row) for row in range(rows)]
    parts = [
        pl.DataFrame({KEY: times, "pair": [pair] * rows, "close": 1.0 + rng.random(rows)}).with_columns(
            open=pl.col("close") * 0.999,
            high=pl.col("close") * 1.002,
            low=pl.col("close") * 0.998,
            tick_volume=pl.int_range(pl.len(), dtype=pl.Int64) + 5,
        )
        for pair in pairs
    ]
    return pl.concat(parts).with_columns(pl.col(KEY).cast(pl.Datetime("us", "UTC")))


def _file(folder: Path, frame: pl.DataFrame, name: str = "rates.parquet") -> Path:
    path = folder / name
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


def test_every_given_value_is_kept(tmp_path: Path) -> None:
    frame = _rates()
    market = load_market(_file(tmp_path, frame), 1_000)
    part = frame.filter(pl.col("pair") == "usdjpy")
    bars = market.pairs["usdjpy"]
    assert bars.times.tolist() == part.get_column(KEY).to_physical().to_list()
    for name in ("open", "high", "low", "close"):
        assert getattr(bars, name).tolist() == part.get_column(name).to_list()
    assert bars.volume.tolist() == part.get_column("tick_volume").to_list()


@pytest.mark.parametrize(
    "change", ["csv", "shuffled", "naive", "offset", "milliseconds", "text", "categorical", "extra"]
)
def test_the_same_rates_in_another_form_are_the_same_market(tmp_path: Path, change: str) -> None:
    frame, name = _rates(), "other.csv" if change in ("csv", "text") else "other.parquet"
    key = pl.col(KEY)
    changes = {
        "naive": frame.with_columns(key.dt.replace_time_zone(None)),
        "offset": frame.with_columns(key.dt.convert_time_zone("Asia/Tokyo")),
        "milliseconds": frame.with_columns(key.cast(pl.Datetime("ms", "UTC"))),
        "text": frame.with_columns(key.dt.strftime("%Y-%m-%d %H:%M:%S")),
        "categorical": frame.with_columns(pl.col("pair").cast(pl.Categorical)),
        "shuffled": frame.sample(fraction=1, shuffle=True, seed=1),
        "extra": frame.with_columns(spread=pl.lit(1)),
    }
    expected = load_market(_file(tmp_path, frame), 25)
    found = load_market(_file(tmp_path, changes.get(change, frame), name), 25)
    assert found.pairs.keys() == expected.pairs.keys()
    for pair, bars in expected.pairs.items():
        for part in ("times", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(found.pairs[pair], part), getattr(bars, part)), (pair, part)


def test_rows_are_the_most_recent_ones(tmp_path: Path) -> None:
    path = _file(tmp_path, _rates(30))
    whole, short = load_market(path, 1_000), load_market(path, 7)
    for name, bars in short.pairs.items():
        assert bars.times.tolist() == whole.pairs[name].times[-7:].tolist()


def test_closes_alone_are_enough(tmp_path: Path) -> None:
    market = load_market(_file(tmp_path, _rates().select(KEY, "pair", "close")), 1_000)
    bars = market.pairs["eurusd"]
    assert bars.open[1:].tolist() == bars.close[:-1].tolist()
    assert bars.open[0] == bars.close[0]
    assert (bars.high == np.maximum(bars.open, bars.close)).all()
    assert (bars.low == np.minimum(bars.open, bars.close)).all()
    assert not bars.volume.any()


@settings(deadline=None, max_examples=20)
@given(given_columns=st.sets(st.sampled_from(["open", "high", "low", "tick_volume"])), hours=st.sampled_from([1, 24]))
def test_whatever_is_optional_the_bars_hold_together(
    tmp_path_factory: pytest.TempPathFactory, given_columns: set[str], hours: int
) -> None:
    frame = _rates(hours=hours).select(KEY, "pair", "close", *sorted(given_columns))
    market = load_market(_file(tmp_path_factory.mktemp("rates"), frame), 1_000)
    for bars in market.pairs.values():
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()


def test_what_cannot_be_derived_is_named_with_its_reason(tmp_path: Path) -> None:
    market = load_market(_file(tmp_path, _rates(pairs=("eurusd", "usdjpy", "audnzd"))), 1_000)
    assert market.pairs.keys() == {"eurusd", "usdjpy", "eurjpy", "audnzd"}
    assert str(market.missing["gbpusd"]) == "no rate with gbp"
    assert str(market.missing["gbpcad"]) == "no rate with gbp or cad"
    assert str(market.missing["audusd"]) == "no chain of given pairs leads from aud to usd"
    assert len(market.missing) + len(market.pairs) == 28


def test_instruments_are_those_of_the_file_and_never_simulated(tmp_path: Path) -> None:
    assert load_market(_file(tmp_path, _rates(200)), 1_000).instruments == {}
    with_vix = _rates(200, pairs=("eurusd", "VIX"))
    market = load_market(_file(tmp_path, with_vix), 150)
    vix = with_vix.filter(pl.col("pair") == "VIX")
    assert market.instruments.keys() == {"vix"}
    assert market.instruments["vix"].close.tolist() == vix.get_column("close").to_list()[-150:]
    assert market.pairs.keys() == {"eurusd"}


def _set(column: str, value: object) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize(
    ("column", "value", "error", "says"),
    [
        ("close", None, TableDefect, "1 rows with an empty value"),
        ("close", 0.0, TableDefect, "1 rows with a price not above 0"),
        ("close", -1.1, TableDefect, "not above 0"),
        ("high", float("nan"), TableDefect, "not above 0"),
        ("open", float("inf"), TableDefect, "not above 0"),
        ("high", 0.5, TableDefect, "outside low and high"),
        ("tick_volume", -1, TableDefect, "negative volume"),
        (KEY, None, TableDefect, "empty value"),
        (KEY, START, DuplicateKeys, "2 rows share"),
        ("pair", None, TableDefect, "empty value"),
        ("pair", "audeur", UnknownPair, "Add --invert"),
        ("pair", "usdeur", BadSetting, "each of which is eurusd"),
        ("pair", "eursek", UnknownPair, "Did you mean eur"),
        ("pair", "eurusd.m", BadSetting, "each of which is eurusd"),
    ],
)
def test_a_row_that_cannot_be_trusted_is_refused(
    tmp_path: Path, column: str, value: object, error: type[Exception], says: str
) -> None:
    frame = _rates().with_columns(_set(column, value).cast(_rates().schema[column]))
    with pytest.raises(error, match=says):
        load_market(_file(tmp_path, frame), 1_000)


@pytest.mark.parametrize(("name", "side"), [("high", 1), ("low", -1)])
def test_a_last_digit_out_of_order_is_no_error_and_is_put_in_order(tmp_path: Path, name: str, side: int) -> None:
    exact = _rates().with_columns(pl.col("close").alias(name))
    bound = exact.get_column(name).to_numpy()
    for other in (np.nextafter(bound, bound - side), bound.astype(np.float32).astype(np.float64)):
        frame = exact.with_columns(pl.Series(name, other), open="close")
        bars = load_market(_file(tmp_path, frame), 1_000).pairs["eurusd"]
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert np.array_equal(bars.close, exact.filter(pl.col("pair") == "eurusd").get_column("close").to_numpy())
    with pytest.raises(TableDefect, match="outside low and high"):
        load_market(
            _file(tmp_path, exact.with_columns(pl.Series(name, bound * (1 - side * 1e-6)), open="close")), 1_000
        )


def test_what_is_filled_derived_or_left_out_is_said(tmp_path: Path) -> None:
    said = load_market(_file(tmp_path, _rates().select(KEY, "pair", "close")), 20).said
    assert said == (
        "no column open: a bar opens at the pair's close before",
        "no column high: it is the higher of open and close",
        "no column low: it is the lower of open and close",
        "no column tick_volume: every volume is 0",
        "pairs derived, high and low from open and close alone: eurjpy (eurusd, usdjpy)",
        "bars used: the last 20 of each pair; 2 have more (--rows)",
    )
    assert load_market(_file(tmp_path, _rates(pairs=("eurusd",))), 1_000).said == ()


def test_one_pair_alone_is_a_market(tmp_path: Path) -> None:
    rates = _rates(pairs=("usdjpy",))
    market = load_market(_file(tmp_path, rates), 1_000)
    assert [*market.pairs] == ["usdjpy"]
    assert load_market(_file(tmp_path, rates), 20).said == (f"bars used: the last 20 of {rates.height:,} (--rows)",)
    assert len(market.missing) == 27


@pytest.mark.parametrize("column", [KEY, "pair", "close"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(BadSetting, match=f"no column {column}"):
        load_market(_file(tmp_path, _rates().drop(column)), 1_000)


@pytest.mark.parametrize(
    ("column", "values"),
    [(KEY, pl.lit(5)), ("close", pl.lit("much")), (KEY, pl.lit("yesterday")), ("tick_volume", pl.lit("x"))],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, column: str, values: pl.Expr) -> None:
    with pytest.raises(BadSetting, match=str(tmp_path)):
        load_market(_file(tmp_path, _rates().with_columns(values.alias(column))), 1_000)


@pytest.mark.parametrize(
    ("name", "data"), [("r.txt", b"x"), ("r.parquet", b"PAR1"), ("r.csv", b""), ("r.parquet", b"")]
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadSetting, match=name):
        load_market(tmp_path / name, 1_000)


def test_rates_without_a_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableDefect, match="no row"):
        load_market(_file(tmp_path, _rates().clear()), 1_000)


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
    assert str(missing["eurjpy"]) == "eurusd and usdjpy have no time in common"


def test_the_first_chain_in_market_order_is_taken_among_equals() -> None:
    chain = shortest_chain(parse_pair("eurjpy"), ["gbpjpy", "eurgbp", "usdjpy", "eurusd"])
    assert chain == (("eurusd", True), ("usdjpy", True))
