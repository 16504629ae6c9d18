"""Targets lack exactly the rows that their windows and horizons leave unknown, wherever the history is cut."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.names import KEY, target_name
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.extract.align import KEY_TYPE
from bqx_assets.quality.report import Finding
from bqx_assets.quality.scan import ColumnFacts, Scan, Stated, measure
from bqx_assets.quality.target_rules import target_ends

EURUSD = parse_pair("eurusd")
BARS = 700
OWN = load_expectations().model_copy(update={"windows": (9, 20, 55, 130, 300), "horizons": (3, 6, 10, 25)})
STATED = Stated(None, None, None)


def _history(*, without: slice | None = None, facts: Expectations = OWN, weekend: int = 0) -> pl.DataFrame:
    """All targets of a walk, on the rows where the shortest one is known: with some bars out, and a break in time."""
    minutes = np.arange(BARS)
    minutes[BARS // 8 :] += weekend
    close = np.exp(np.cumsum(np.random.default_rng(4).standard_normal(BARS)) * 1e-3)
    kept = np.delete(np.arange(BARS), without) if without is not None else np.arange(BARS)
    bqx = {w: pl.Series(close).pct_change(w) for w in facts.windows}
    columns = [bqx[w].shift(-h).alias(target_name(w, h)) for w in facts.windows for h in facts.horizons]
    frame = pl.DataFrame([pl.Series(KEY, minutes * 60_000_000).cast(KEY_TYPE), *columns])[kept]
    return frame.slice(min(facts.windows)).filter(pl.col(facts.shortest_target()).is_not_null())


def _judged(frame: pl.DataFrame, groups: int = 1, facts: Expectations = OWN) -> Finding:
    names = frame.columns[1:]
    columns = [ColumnFacts(name, "FLOAT64", "target", frame.height) for name in names]
    size = -(-frame.height // groups)
    for start in range(0, frame.height, size):
        for series, column in zip(frame[start : start + size].select(names), columns, strict=True):
            measure(series, column, STATED)
    found = target_ends(Scan(EURUSD, facts, None, deep=True, columns=columns, keys=frame.get_column(KEY)))
    assert found is not None
    return found


def _without(frame: pl.DataFrame, name: str, first: int, rows: int) -> pl.DataFrame:
    row = pl.int_range(pl.len())
    return frame.with_columns(pl.when(~row.is_between(first, first + rows - 1)).then(pl.col(name)).alias(name))


def test_a_whole_history_lacks_what_windows_and_horizons_say() -> None:
    frame = _history()
    assert frame.get_column("target_bqx300_h25").is_null().arg_min() == 300 - 25 - 9
    found = _judged(frame)
    assert found.passed
    assert found.got == "20 targets lack up to 288 rows at the head and 22 at the tail"


@settings(deadline=None, max_examples=40)
@given(start=st.integers(0, 680), rows=st.integers(1, 700), groups=st.integers(1, 5))
def test_any_range_of_a_right_history_is_right(start: int, rows: int, groups: int) -> None:
    frame = _history()[start : start + rows]
    assert not frame.height or _judged(frame, groups).passed


@pytest.mark.parametrize(("first", "rows"), [(100, 1), (60, 40), (250, 90), (600, 50), (680, 2)])
def test_bars_that_are_not_there_are_no_fault_of_the_targets(first: int, rows: int) -> None:
    assert _judged(_history(without=slice(first, first + rows))).passed


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(OWN.targets()),
    rows=st.integers(1, 40),
    end=st.sampled_from(["head", "tail"]),
    groups=st.integers(1, 3),
    weekend=st.sampled_from([0, 2_880]),
)
def test_a_target_that_lacks_more_at_an_end_is_found(name: str, rows: int, end: str, groups: int, weekend: int) -> None:
    frame = _history(weekend=weekend)
    known = np.flatnonzero(frame.get_column(name).is_not_null().to_numpy())
    first = known[-1] - rows + 1 if end == "tail" else known[0]
    found = _judged(_without(frame, name, int(first), rows), groups)
    assert not found.passed
    assert f"{name} lacks" in str(found.evidence)


def test_values_where_no_window_can_be_full_are_found() -> None:
    frame = _history().with_columns(pl.col("target_bqx130_h6").backward_fill())
    assert "target_bqx130_h6 lacks 0 rows, not 115, at the head" in _judged(frame).got


@pytest.mark.parametrize(
    ("windows", "horizons"), [((20, 55, 130), (3, 6)), ((9, 20), (10, 25)), ((130, 9), (6, 3)), ((7,), (4,))]
)
def test_the_equality_follows_from_the_expectations(windows: tuple[int, ...], horizons: tuple[int, ...]) -> None:
    facts = OWN.model_copy(update={"windows": windows, "horizons": horizons})
    frame = _history(facts=facts)
    assert _judged(frame, facts=facts).passed
    name = target_name(max(windows), max(horizons))
    damaged = _without(frame, name, 0, max(0, max(windows) - max(horizons) - min(windows)) + 1)
    assert _judged(damaged, facts=facts).passed is (len(windows) * len(horizons) == 1)


def test_an_hourly_clock_with_nights_counts_bars_and_not_hours() -> None:
    frame = _history()
    hours = [datetime(2024, 1, 1 + n // 8, 8 + n % 8, tzinfo=UTC) for n in range(240)]
    assert _judged(frame.head(240).with_columns(pl.Series(KEY, hours).cast(KEY_TYPE))).passed


def test_without_values_nothing_is_judged() -> None:
    facts = [ColumnFacts(name, "FLOAT64", "target", 9, nulls=0) for name in OWN.targets()]
    assert target_ends(Scan(EURUSD, OWN, None, deep=False, columns=facts)) is None
