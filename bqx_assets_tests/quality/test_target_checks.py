"""Targets are compared with each other and with BQX: exact where rows follow each other, silent elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.quality.target_checks import TargetComparer, WindowRows
from bqx_assets_tests.frames import minutes

ROWS, HORIZONS = 600, (15, 30, 105)
RNG = np.random.default_rng(11)
BQX = {window: RNG.standard_normal(ROWS + 200) for window in (45, 90)}
KEYS = minutes(ROWS)


def _targets(window: int, shift: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {f"target_bqx{window}_h{h}": BQX[window][max(0, h + shift) :][:ROWS] for h in HORIZONS}, strict=False
    )


def _future(keep: pl.Series | None = None, shift: int = 0) -> TargetComparer:
    kept = pl.Series([True] * ROWS) if keep is None else keep
    return _entered(
        TargetComparer(KEYS.filter(kept), HORIZONS),
        {w: (_targets(w, shift).filter(kept), pl.Series(BQX[w][:ROWS]).filter(kept)) for w in (45, 90)},
    )


def _entered(
    future: TargetComparer, windows: dict[int, tuple[pl.DataFrame, pl.Series]], cuts: Iterable[int] = ()
) -> TargetComparer:
    """Feed the windows in row groups that end at ``cuts``."""
    rows = future.keys.len()
    for start, end in pairwise(sorted({0, rows, *(cut for cut in cuts if cut < rows)}) if rows else (0, 0)):
        future.enter(
            start, (WindowRows(w, targets[start:end], bqx[start:end]) for w, (targets, bqx) in windows.items())
        )
    return future


def test_targets_that_are_the_future_have_no_failed_comparison() -> None:
    future = _future()
    assert [each for each in future.comparisons if each.failed or each.differing] == []
    assert sum(each.compared for each in future.comparisons) > ROWS


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=6))
def test_rows_that_the_spine_left_out_are_no_failure(gaps: set[int]) -> None:
    keep = pl.Series([row not in gaps for row in range(ROWS)])
    assert [each for each in _future(keep).comparisons if each.failed] == []


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, ROWS - 1), max_size=4), st.sampled_from([-15, -3, -1, 1, 2, 7]))
def test_a_shift_is_found_whatever_rows_are_left_out(gaps: set[int], shift: int) -> None:
    keep = pl.Series([row not in gaps for row in range(ROWS)])
    by_feature = [each for each in _future(keep, shift).comparisons if each.other.startswith("base_bqx__bqx_")]
    assert all(each.failed for each in by_feature if each.provable)
    assert any(each.failed for each in by_feature)


@settings(deadline=None, max_examples=40)
@given(
    cuts=st.sets(st.integers(1, ROWS - 1), max_size=8),
    gaps=st.sets(st.integers(0, ROWS - 1), max_size=4),
    shift=st.sampled_from([0, 0, 1, -7]),
)
def test_row_groups_give_the_counts_of_the_same_rows_in_one(cuts: set[int], gaps: set[int], shift: int) -> None:
    """Every pair of rows is compared once, those across any number of boundaries included."""
    keep = pl.Series([row not in gaps for row in range(ROWS)])
    windows = {w: (_targets(w, shift).filter(keep), pl.Series(BQX[w][:ROWS]).filter(keep)) for w in (45, 90)}
    several = _entered(TargetComparer(KEYS.filter(keep), HORIZONS), windows, cuts)
    assert several.comparisons == _future(keep, shift).comparisons


def test_forgotten_columns_leave_no_comparison() -> None:
    future = _future()
    future.forget({"target_bqx45_h15", "base_bqx__bqx_90"})
    left = {name for each in future.comparisons for name in (each.column, each.other)}
    assert left == {"base_bqx__bqx_45", *(f"target_bqx{w}_h{h}" for w in (45, 90) for h in HORIZONS)} - {
        "target_bqx45_h15"
    }


def test_where_no_two_rows_follow_each_other_most_must_agree() -> None:
    """Bars with a gap between any two of them that a horizon spans: nothing is provable, a shift is still found."""
    times = np.cumsum(RNG.integers(60, 6_000, ROWS)) * 1_000_000
    keys = pl.Series("interval_time", times).cast(pl.Datetime("us", "UTC"))
    for shift, failed in ((0, False), (1, True)):
        future = _entered(TargetComparer(keys, HORIZONS), {45: (_targets(45, shift), pl.Series(BQX[45][:ROWS]))})
        assert {each.failed for each in future.comparisons if each.other == "base_bqx__bqx_45"} == {failed}


def test_a_comparison_reads_as_a_sentence() -> None:
    first = _future(shift=1).comparisons[0]
    assert str(first) == "target_bqx45_h15 differs from base_bqx__bqx_45 15 rows later on 585 of 585 rows"


@settings(deadline=None, max_examples=40)
@given(
    window=st.sampled_from([45, 90]),
    shift=st.integers(1, 105),
    sign=st.sampled_from([1, -1]),
    holes=st.sets(st.integers(0, ROWS - 1), max_size=550),
)
def test_a_leak_is_found_among_innocent_columns_however_many_holes_it_has(
    window: int, shift: int, sign: int, holes: set[int]
) -> None:
    leak = [None if row in holes else sign * BQX[window][row + shift] for row in range(ROWS)]
    features = pl.DataFrame(
        {
            "noise": RNG.standard_normal(ROWS),
            "leak": leak,
            "past": np.roll(BQX[window], 3)[:ROWS],
            "present": BQX[window][:ROWS],
            "flag": RNG.integers(0, 2, ROWS).astype(float),
            "count": RNG.integers(0, 9, ROWS),
            "nothing": [None] * ROWS,
        },
        schema_overrides={"leak": pl.Float64, "nothing": pl.Float64},
    )
    found = _future().look(features)
    assert found is not None
    assert found.keys() == {"leak"}
    assert f"bqx_{window} {shift} rows ahead" in found["leak"]


@pytest.mark.parametrize("rows", [0, 1, 20])
def test_too_few_rows_prove_nothing_and_raise_nothing(rows: int) -> None:
    future = _entered(
        TargetComparer(KEYS.head(rows), HORIZONS), {45: (_targets(45).head(rows), pl.Series(BQX[45][:rows]))}
    )
    assert not any(each.failed for each in future.comparisons)
    assert future.look(pl.DataFrame({"x": BQX[45][15 : 15 + rows]})) == {}
