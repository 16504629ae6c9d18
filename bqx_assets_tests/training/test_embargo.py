from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting
from bqx_assets.training.embargo import embargo_rows, reach


def facts(*windows: int | None) -> pl.DataFrame:
    names = [f"agg__mean_{number}" for number in range(len(windows))]
    return pl.DataFrame(
        {"column": names, "kind": ["feature"] * len(names), "window": pl.Series(windows, dtype=pl.Int64)}
    )


def test_the_embargo_is_the_longest_look_back_and_the_horizon() -> None:
    assert embargo_rows(facts(1, 45, 2880), "target_bqx45_h15") == 2879 + 15
    assert embargo_rows(facts(1, 45), (2880, 15)) == 2880 - 15 + 15  # the target's own window reaches further back
    assert embargo_rows(facts(1), [(45, 15), "target_bqx90_h360"]) == 30 + 360
    assert embargo_rows(facts(1), (45, 60)) == 60  # the target's whole window lies behind the row
    assert reach(facts(7, 90), (45, 15)) == (89, 15, "agg__mean_1")


@given(
    windows=st.lists(st.integers(1, 30), min_size=1, max_size=4), window=st.integers(1, 30), horizon=st.integers(0, 20)
)
def test_with_it_rows_share_no_bar_and_with_a_row_less_they_do(windows: list[int], window: int, horizon: int) -> None:
    def bars(row: int) -> set[int]:
        features = {bar for size in windows for bar in range(row - size + 1, row + 1)}
        return features | set(range(row + horizon - window, row + horizon + 1))

    embargo = embargo_rows(facts(*windows), (window, horizon))
    last, first = 100, 100 + embargo + 1
    assert all(max(bars(last - back)) < min(bars(first + ahead)) for back in range(20) for ahead in range(20))
    # The span between the first and the last bar of a row counts, also where no window covers all of it.
    assert embargo == 0 or max(bars(last)) >= min(bars(first - 1))


def test_features_that_are_left_out_keys_and_targets_do_not_count() -> None:
    chosen = facts(45, 2880).with_columns(left_out=pl.Series([None, "constant"]))
    others = pl.DataFrame(
        {"column": ["k"], "kind": ["key"], "window": [9_000], "left_out": pl.Series([None], dtype=pl.String)}
    )
    assert embargo_rows(pl.concat([chosen, others]), (45, 15)) == 44 + 15


def test_a_window_that_is_not_known_must_be_given() -> None:
    with pytest.raises(BadSetting, match=r"agg__mean_1.*unknown_window=ROWS"):
        embargo_rows(facts(45, None), (45, 15))
    assert embargo_rows(facts(45, None), (45, 15), unknown_window=100) == 99 + 15


@pytest.mark.parametrize("target", ["agg__mean_45", [], (0, 15), (45, -1)])
def test_what_is_no_target_is_refused(target: str | tuple[int, int]) -> None:
    with pytest.raises(BadSetting, match="target_bqx45_h15"):
        embargo_rows(facts(45), target)


def test_an_unknown_window_counts_at_least_the_row_itself() -> None:
    for rows in (0, -5):
        with pytest.raises(BadSetting, match="1 or more"):
            embargo_rows(facts(45, None), (45, 15), unknown_window=rows)
