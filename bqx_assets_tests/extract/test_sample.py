"""A sample tells how many values a column has, what repeats, and how its bytes and steps vary."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import polars as pl
import pytest

from bqx_assets.extract.sample import LEAST_PAIRS, sampled
from bqx_assets.extract.sample_facts import Facts

_ROWS = 100_000
_RNG = np.random.default_rng(3)
_NOISE = _RNG.standard_normal(_ROWS)


def _facts(values: Any) -> Facts:
    (found,) = sampled([pl.Series("x", values)])
    assert found is not None
    return found


@pytest.mark.parametrize("distinct", [1, 2, 40, 1_000, 20_000])
def test_distinct_values_are_counted_or_estimated(distinct: int) -> None:
    found = _facts(_RNG.integers(0, distinct, _ROWS).astype(np.float64))
    assert found.distinct == pytest.approx(min(distinct, _ROWS), rel=0.5)
    assert found.distinct_share == pytest.approx(found.distinct / _ROWS)


def test_noise_repeats_nowhere() -> None:
    found = _facts(_NOISE)
    assert (found.steady, found.fresh, found.equivalent_values, found.distinct_share) == (0.0, 1.0, inf, 1.0)


def test_values_that_hold_are_steady() -> None:
    found = _facts(_NOISE[: _ROWS // 20].repeat(20))
    assert found.steady == pytest.approx(0.95, abs=0.02)
    assert found.distinct == pytest.approx(_ROWS / 20, rel=0.3)


def test_a_value_between_all_others_is_a_mode() -> None:
    found = _facts(np.where(_RNG.random(_ROWS) < 0.1, _NOISE, 0.0))
    assert found.fresh == pytest.approx(0.1, abs=0.03)
    assert found.distinct == pytest.approx(_ROWS / 10, rel=0.3)


def test_the_bounds_that_values_are_clipped_to_are_modes_however_rare_they_are() -> None:
    found = _facts(np.clip(_NOISE, -2.5, 2.5))
    assert found.distinct == pytest.approx(_ROWS, rel=0.05)
    assert 0.9 < found.fresh < 1.0


def test_a_heavy_tail_has_more_values_than_its_frequent_ones_tell() -> None:
    values = _RNG.pareto(1.1, _ROWS) * 100
    found = _facts(values.astype(np.int64))
    assert found.distinct == pytest.approx(np.unique(values.astype(np.int64)).size, rel=0.6)


def test_decimals_of_few_digits_have_few_lower_bytes() -> None:
    by_digits = [_facts(np.round(_NOISE * 30, digits)).equivalent_low_halves for digits in (4, 5, 7)]
    assert by_digits == [pytest.approx(5**4, rel=0.2), pytest.approx(5**5, rel=0.3), pytest.approx(5**7, rel=0.9)]


def test_bytes_that_hardly_change_are_seen() -> None:
    planes = _facts(1.0 + np.arange(_ROWS) * 1e-9 + _NOISE * 1e-12).planes
    assert len(planes) == 8
    assert [plane.changing < 0.1 for plane in planes[5:]] == [True] * 3


def test_even_steps_take_few_bits() -> None:
    assert _facts(np.arange(_ROWS) * 60).step_bits == 0.0
    assert _facts(np.cumsum(_RNG.integers(-3, 4, _ROWS))).step_bits == pytest.approx(3, abs=0.2)
    assert _facts(_RNG.integers(0, 2**62, _ROWS)).step_bits > 60


def test_nulls_take_no_part_but_in_levels() -> None:
    values = pl.Series(_NOISE)
    late, scattered = (
        values.shift(5_000),
        pl.Series(np.where(_RNG.random(_ROWS) < 0.3, np.nan, _NOISE), nan_to_null=True),
    )
    assert _facts(values).levels == 0.0
    assert _facts(late).levels < 0.01
    assert _facts(scattered).levels == pytest.approx(0.125)
    assert _facts(scattered).packed_levels == pytest.approx(0.11, abs=0.01)
    assert _facts(scattered).distinct_share == _facts(late).distinct_share == 1.0


def test_a_column_of_few_values_among_nulls_is_sampled_from_them() -> None:
    few = np.where(np.arange(_ROWS) % 499 == 0, 1.5, np.nan)
    assert _facts(pl.Series(few, nan_to_null=True)).distinct == 1.0


@pytest.mark.parametrize("rows", [0, 1, 2, 2 * LEAST_PAIRS - 1])
def test_too_few_rows_tell_nothing(rows: int) -> None:
    assert sampled([pl.Series([1.5] * rows, dtype=pl.Float64)]) == [None]


def test_columns_give_the_same_facts_alone_and_together_whole_and_in_chunks() -> None:
    columns = [pl.Series(_NOISE), pl.Series(np.round(_NOISE, 2)), pl.Series(_NOISE).shift(9_000)]
    together = sampled(columns)
    assert [sampled([column])[0] for column in columns] == together
    in_chunks = [pl.concat([column.head(777), column.slice(777)], rechunk=False) for column in columns]
    assert sampled(in_chunks) == together


def test_a_type_of_four_bytes_is_described_as_well() -> None:
    found = _facts(pl.Series(np.arange(_ROWS) // 1_440).cast(pl.Int32).cast(pl.Date))
    assert found.distinct == pytest.approx(_ROWS / 1_440, rel=0.5)
