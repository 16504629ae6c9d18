"""Approved facts of a pair: equality on the same rows, shares with room for drift on others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bqx_assets.catalogue.pair_facts import PairFacts, TableFacts

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
FACTS = PairFacts(
    approved="2026-11-26 by ann",
    found="a test",
    spine="same",
    rows=1_000,
    first=MOMENT,
    last=MOMENT,
    drift=0.02,
    tables={
        "etf": TableFacts(matched=500, columns=8, nulls=4_400),
        "agg": TableFacts(matched=1_000, columns=4, nulls=0),
    },
)


def test_on_the_same_rows_every_number_is_exact() -> None:
    assert FACTS.matched_range("etf", "same", 1_000) == (500, 500)
    assert FACTS.null_range("etf", "same", 1_000, 8) == (4_400, 4_400)


@pytest.mark.parametrize(("rows", "least", "most_nulls"), [(1_000, 480, 4_560), (100, 48, 456), (2_000, 960, 9_120)])
def test_on_other_rows_a_share_may_be_worse_by_the_drift_and_better_by_anything(
    rows: int, least: int, most_nulls: int
) -> None:
    assert FACTS.matched_range("etf", "other", rows) == (least, rows)
    assert FACTS.null_range("etf", "other", rows, 8) == (0, most_nulls)


def test_another_number_of_columns_is_compared_by_share() -> None:
    assert FACTS.null_range("agg", "same", 1_000, 5) == (0, 100)


def test_of_a_table_that_was_not_there_nothing_is_known() -> None:
    assert FACTS.matched_range("new", "same", 1_000) is None
    assert FACTS.null_range("new", "same", 1_000, 3) is None
