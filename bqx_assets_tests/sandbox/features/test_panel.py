"""Moments skip silent pairs as numpy does, and a pair seen from its quote currency is its mirrored series."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features.panel import RULES, Moments, Sums, needed, seen_from_quote
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import Source

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


FEATURES = {
    (table.kind.split("_")[1], name.removeprefix("csi_"))
    for table in expected_tables(parse_pair("eurusd"))
    if table.family == "currency_strength"
    for name, kind in table.columns
    if kind != "STRING"
}
"""(kind, feature) of every strength."""


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in FEATURES}))
def test_every_feature_of_bqx_turns_as_that_of_the_mirrored_series_does(kind: str) -> None:
    random = np.random.default_rng(5)
    values, above, below = np.cumsum(random.normal(size=3200)), *random.exponential(0.1, (2, 3200))
    source = Source(values, values + above, values - below, percent=True)
    mirrored = Source(-values, below - values, -above - values, percent=True)
    names = sorted(name for of_kind, name in FEATURES if of_kind == kind)
    found = series_features(kind, source, [*dict.fromkeys([*names, *map(needed, names)])])
    for name, expected in series_features(kind, mirrored, names).items():
        turned = seen_from_quote(name, found, "bqx")
        np.testing.assert_allclose(turned, expected, rtol=1e-6, atol=1e-9, err_msg=name)


def test_every_strength_has_exactly_one_rule() -> None:
    for _, name in FEATURES:
        stem = re.sub(r"(_\d+)+$", "", name)
        assert sum(re.fullmatch(pattern, stem) is not None for pattern, _ in RULES) == 1, name


def test_an_index_is_mirrored_at_100() -> None:
    found = {"agg_mean_45": np.array([103.0]), "agg_min_45": np.array([90.0]), "agg_sum_45": np.array([45 * 103.0])}
    assert seen_from_quote("agg_mean_45", found, "idx") == [97.0]
    assert seen_from_quote("agg_max_45", found, "idx") == [110.0]
    assert seen_from_quote("agg_sum_45", found, "idx") == [45 * 97.0]


def test_a_feature_without_a_rule_is_refused() -> None:
    with pytest.raises(KeyError, match="agg_new_45"):
        seen_from_quote("agg_new_45", {"agg_new_45": np.zeros(1)}, "idx")
