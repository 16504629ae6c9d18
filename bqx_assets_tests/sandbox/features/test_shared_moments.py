"""Moments over members of which some are silent equal numpy's over those that are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.sandbox.features.shared_moments import Moments, Sums

VALUES = st.one_of(st.just(float("nan")), st.floats(-1e3, 1e3))


@settings(deadline=None)
@given(st.lists(st.lists(VALUES, min_size=4, max_size=4), max_size=8))
def test_mean_and_variance_equal_those_of_the_known_values(members: list[list[float]]) -> None:
    moments, sums = Moments(4), Sums(4)
    for member in members:
        moments.add(np.array(member))
        sums.add(np.array(member))
    for row in range(4):
        known = [member[row] for member in members if not np.isnan(member[row])]
        mean = np.mean(known) if known else np.nan
        variance = np.var(known, ddof=1) if len(known) > 1 else np.nan
        np.testing.assert_allclose(moments.mean()[row], mean, atol=1e-9)
        np.testing.assert_allclose(sums.mean()[row], mean, atol=1e-9)
        np.testing.assert_allclose(moments.variance()[row], variance, atol=1e-6)
        np.testing.assert_allclose(moments.deviation()[row] ** 2, variance, atol=1e-6)
