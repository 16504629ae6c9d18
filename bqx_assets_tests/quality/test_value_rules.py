"""Nulls are judged by family as the users know them, and by table once a person approved a pair's own numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bqx_assets.base.names import output_column, table_prefix
from bqx_assets.catalogue.expectations import Expectations, family_word, load_expectations
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.quality.scan import ColumnFacts, Scan
from bqx_assets.quality.value_rules import judge_nulls
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.quality.training import Training, verdict_of

ROWS = 100_000
KNOWN = {
    # The users' own report, per cent of all values of a family.
    "corr": 53.35, "tri": 24.08, "cov": 10.38, "mkt": 8.18, "var": 7.53, "csi": 1.90, "der": 0.89, "regime": 0.68,
    "lag": 0.57, "mom": 0.44, "base": 0.37, "reg": 0.15, "align": 0.08, "tmp": 0.03, "agg": 0.02, "cyc": 0.0,
}  # fmt: skip


def _columns(shares: dict[str, float]) -> list[ColumnFacts]:
    names = [
        output_column(table_prefix(table.table, EURUSD), name)
        for table in expected_tables(EURUSD)
        for name, _ in table.columns
    ]
    return [
        ColumnFacts(name, "FLOAT64", "feature", ROWS, nulls=round(shares.get(family_word(name), 0) * ROWS / 100))
        for name in names
    ]


def _scan(expectations: Expectations | None = None) -> Scan:
    return Scan(EURUSD, expectations or load_expectations(), None, deep=False)


def test_the_nulls_that_the_users_know_pass_the_packaged_limits() -> None:
    found = judge_nulls(_scan(), _columns(KNOWN))
    assert found.beyond == []
    assert found.texts[:3] == ["corr 53.35%", "tri 24.08%", "cov 10.38%"]


@pytest.mark.parametrize("family", KNOWN)
def test_a_family_that_is_worse_than_known_is_named_and_no_other(family: str) -> None:
    worse = KNOWN | {family: KNOWN[family] + 6}
    (told,) = judge_nulls(_scan(), _columns(worse)).beyond
    assert told.startswith(f"{family} {worse[family]:.2f}%")


def test_one_number_holds_for_all_features_together() -> None:
    """As a warehouse's own file states it, or one that was written for an earlier version."""
    for limit, beyond in ((0.14, 0), (0.12, 1)):
        stated = load_expectations().model_copy(update={"max_feature_null_fraction": limit})
        assert len(judge_nulls(_scan(stated), _columns(KNOWN)).beyond) == beyond


def test_the_earlier_gates_are_shown_and_stop_nothing(training: Training) -> None:
    """One in ten values of the tests' features is null."""
    families = {"*": 0.2}
    asked = training.expectations.model_copy(update={"max_feature_null_fraction": families})
    verdict = verdict_of(replace(training, expectations=asked).report(deep=False), "completeness")
    assert verdict.passed
    first, second = [str(each) for each in (verdict.evidence["earlier_gates"] or ())]  # type: ignore[union-attr]
    assert "would have failed the earlier gate of 5%" in first
    assert "would have passed the earlier gate of 1%" in second
