"""Shared rows are the intersection of the times, and results return to their own rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.sandbox.features.comparisons import joint_rows
from bqx_assets.sandbox.market.bars import Integers

_TIMES = st.sets(st.integers(0, 30)).map(lambda times: np.array(sorted(times), dtype=np.int64))


@given(own=_TIMES, other=_TIMES)
@settings(deadline=None)
def test_shared_rows_are_the_intersection(own: Integers, other: Integers) -> None:
    joint = joint_rows(own, other)
    shared, own_rows, other_rows = np.intersect1d(own, other, assume_unique=True, return_indices=True)
    np.testing.assert_array_equal(joint.own, own_rows)
    np.testing.assert_array_equal(joint.other, other_rows)
    spread = joint.spread({"time": shared.astype(np.float64)})["time"]
    np.testing.assert_array_equal(spread, np.where(np.isin(own, other), own, np.nan))
