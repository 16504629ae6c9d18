"""A column equal to the future is found whatever its name; past and present values never are."""

from __future__ import annotations

import weakref

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.extract.lookahead import LookaheadDetector

WINDOWS, HORIZONS = (45, 90), (15, 30, 105)
ROWS = 400
RNG = np.random.default_rng(5)
BQX = {window: RNG.standard_normal(ROWS + 300) for window in WINDOWS}
"""bqx_w of 150 rows before the spine, its 400, and 150 after."""
TARGETS = pl.DataFrame({f"target_bqx{w}_h{h}": BQX[w][150 + h : 150 + h + ROWS] for w in WINDOWS for h in HORIZONS})


def _look(targets: pl.DataFrame) -> LookaheadDetector:
    return LookaheadDetector(((window, targets) for window in WINDOWS), HORIZONS)


LOOK = _look(TARGETS)
COARSE = _look(TARGETS.select((pl.all() * 20).round() / 20))
NOISE = RNG.standard_normal(ROWS)


def _shifted(window: int, shift: int) -> pl.Series:
    return pl.Series(BQX[window][150 + shift : 150 + shift + ROWS])


@given(st.sampled_from(WINDOWS), st.integers(1, 105))
def test_any_future_shift_is_found_and_named(window: int, shift: int) -> None:
    assert LOOK.find(_shifted(window, shift)) == f"equals bqx_{window} {shift} rows ahead"


@given(st.sampled_from(WINDOWS), st.integers(-150, 0))
def test_no_past_or_present_shift_is_flagged(window: int, shift: int) -> None:
    assert LOOK.find(_shifted(window, shift)) is None


def test_the_negative_of_the_future_is_found() -> None:
    assert LOOK.find(-_shifted(90, 7)) == "equals the negative of bqx_90 7 rows ahead"


@given(st.sets(st.integers(0, ROWS - 1), max_size=300))
def test_nulls_in_a_leaking_column_do_not_hide_it(holes: set[int]) -> None:
    values = [None if row in holes else value for row, value in enumerate(_shifted(45, 15).to_list())]
    assert LOOK.find(pl.Series(values, dtype=pl.Float64)) == "equals bqx_45 15 rows ahead"


def test_a_column_that_agrees_but_for_one_row_is_no_leak() -> None:
    values = _shifted(45, 15).to_list()
    values[200] += 0.5
    assert LOOK.find(pl.Series(values)) is None


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([0.0] * ROWS),
        pl.Series([None] * ROWS, dtype=pl.Float64),
        pl.Series([float("nan")] * ROWS),
        pl.Series([float("inf")] * ROWS),
        pl.Series([1, 2] * (ROWS // 2)),
        pl.Series(["up"] * ROWS),
        pl.Series(RNG.standard_normal(ROWS)),
        pl.Series(np.sign(BQX[45][165 : 165 + ROWS])),
    ],
)
def test_columns_that_prove_nothing_are_not_flagged(column: pl.Series) -> None:
    assert LOOK.find(column) is None


def test_targets_with_unknown_ends_still_give_the_series() -> None:
    cut = TARGETS.with_columns(
        pl.when(pl.int_range(pl.len()) < ROWS - h).then(pl.col(f"target_bqx{w}_h{h}")).alias(f"target_bqx{w}_h{h}")
        for w in WINDOWS
        for h in HORIZONS
    )
    assert _look(cut).find(_shifted(90, 20)) == "equals bqx_90 20 rows ahead"


@given(
    st.sampled_from(WINDOWS),
    st.integers(1, 105),
    st.sampled_from([1, -1]),
    st.integers(0, ROWS - 60),
    st.integers(60, ROWS),
)
def test_a_row_group_tells_what_the_whole_tells(window: int, shift: int, sign: int, first: int, rows: int) -> None:
    whole = pl.DataFrame({"leak": sign * _shifted(window, shift), "past": _shifted(window, -3), "noise": NOISE})
    part = whole.slice(first, rows)
    found = LOOK.find_all(part, first)
    assert found == LOOK.find_all(whole) == {"leak": LOOK.find(part["leak"], first)}
    assert f"bqx_{window} {shift} rows ahead" in found["leak"]


def test_a_row_group_is_looked_up_at_its_own_rows() -> None:
    """Rows 200 on, taken for rows 0 on, would be the future of 200 rows ago."""
    present = pl.DataFrame({"present": _shifted(90, 0)[200:]})
    assert LOOK.find_all(present, 200) == {}
    assert LOOK.find_all(present) == {"present": "equals bqx_90 200 rows ahead"}


@settings(max_examples=30)
@given(st.integers(1, 105), st.integers(0, 200))
def test_a_leak_of_few_different_values_is_found(shift: int, first: int) -> None:
    leak = pl.DataFrame({"leak": (_shifted(45, shift) * 20).round() / 20}).slice(first, 150)
    assert COARSE.find_all(leak, first) == {"leak": f"equals bqx_45 {shift} rows ahead"}


def test_windows_one_after_another_make_the_same_look() -> None:
    one_by_one = ((w, TARGETS.select(f"target_bqx{w}_h{h}" for h in HORIZONS)) for w in WINDOWS)
    look = LookaheadDetector(one_by_one, HORIZONS)
    assert [look.find(_shifted(w, s)) for w in WINDOWS for s in (-1, 9)] == [
        LOOK.find(_shifted(w, s)) for w in WINDOWS for s in (-1, 9)
    ]


def test_a_windows_targets_are_gone_before_the_next_ones_are_made() -> None:
    made: list[weakref.ref[pl.DataFrame]] = []

    def targets() -> pl.DataFrame:
        assert all(each() is None for each in made)
        frame = TARGETS.clone()
        made.append(weakref.ref(frame))
        return frame

    LookaheadDetector(((window, targets()) for window in WINDOWS), HORIZONS)
    assert len(made) == len(WINDOWS)


def test_no_targets_know_no_future() -> None:
    features = pl.DataFrame({"x": NOISE})
    assert LookaheadDetector([], HORIZONS).find_all(features) == {}
    assert _look(TARGETS.clear()).find_all(features) == {}
    assert LOOK.find_all(features, 10 * ROWS) == {}
