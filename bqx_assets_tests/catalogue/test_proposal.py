"""A proposal is a section of a file for a person: nothing is in force before an approval, and nothing else changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.catalogue.expectations import PairFacts, TableFacts, parse_expectations
from bqx_assets.catalogue.proposal import with_approval, with_proposal

EURUSD, GBPUSD = parse_pair("eurusd"), parse_pair("gbpusd")
MOMENT = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)
OWN = """\
# Ours.
version = 4
min_rows = 5_000  # enough

[known_absent]
agg_eurusd = "retired"
"""


def _facts(matched: int = 900) -> PairFacts:
    return PairFacts(
        found='Found by a "test"',
        spine="s",
        rows=1_000,
        first=MOMENT,
        last=MOMENT,
        all_null=tuple(f"corr_etf_idx_ewa__column_{number}" for number in range(9)),
        constant=("agg__x",),
        absent={"cov_agg_eurusd_gbpusd": "not in the warehouse"},
        tables={"agg_eurusd": TableFacts(matched=matched, columns=3, nulls=300)},
    )


def _proposed(text: str, pair: Pair, facts: PairFacts, *, replace: bool = False) -> str:
    return with_proposal(text, pair, facts, where="own.toml", replace=replace)


def _approve(text: str, *pairs: Pair) -> str:
    return with_approval(text, pairs, by="ann", at=MOMENT, where="own.toml")[0]


def test_a_proposal_is_read_back_as_it_was_and_is_not_in_force() -> None:
    text = _proposed(OWN, EURUSD, _facts())
    found = parse_expectations(text, "own.toml")
    assert text.startswith(OWN)
    assert found.pair["eurusd"] == _facts()
    assert found.approved(EURUSD) is None
    assert (found.version, found.min_rows, found.known_absent) == (4, 5_000, {"agg_eurusd": "retired"})
    assert "# 90.0% of the rows, 10.0% null" in text


def test_several_pairs_stand_in_one_file_and_a_new_proposal_takes_its_own_place_alone() -> None:
    both = _proposed(_proposed("", EURUSD, _facts(1)), GBPUSD, _facts(2))
    again = _proposed(both, EURUSD, _facts(3))
    found = parse_expectations(again, "own.toml").pair
    assert [found[name].tables["agg_eurusd"].matched for name in ("eurusd", "gbpusd")] == [3, 2]
    assert again.count("[pair.eurusd]") == again.count("[pair.gbpusd]") == 1


def test_approval_says_when_and_by_whom_raises_the_version_and_changes_no_other_line() -> None:
    proposed = _proposed(_proposed(OWN, EURUSD, _facts()), GBPUSD, _facts())
    approved = _approve(proposed, EURUSD)
    found = parse_expectations(approved, "own.toml")
    facts = found.approved(EURUSD)
    assert facts is not None
    assert facts.approved == "2026-11-26 12:30 UTC by ann"
    assert found.approved(GBPUSD) is None
    assert found.version == 5
    changed = [(a, b) for a, b in zip(proposed.splitlines(), approved.splitlines(), strict=True) if a != b]
    assert [b for _, b in changed] == ["version = 5", 'approved = "2026-11-26 12:30 UTC by ann"']
    assert parse_expectations(_approve(approved), "own.toml").approved(GBPUSD) is not None


def test_an_approval_by_hand_counts_as_well() -> None:
    by_hand = _proposed(OWN, EURUSD, _facts()).replace('approved = ""', 'approved = "yesterday, Bob"')
    found = parse_expectations(by_hand, "own.toml").judged_by(EURUSD)
    assert (found.approval, found.approved) == ("approved", "yesterday, Bob")


def test_what_is_approved_is_replaced_by_an_explicit_word_only() -> None:
    approved = _approve(_proposed(OWN, EURUSD, _facts(1)))
    with pytest.raises(BadSetting, match="--replace"):
        _proposed(approved, EURUSD, _facts(2))
    found = parse_expectations(_proposed(approved, EURUSD, _facts(2), replace=True), "own.toml")
    assert found.pair["eurusd"].tables["agg_eurusd"].matched == 2
    assert found.approved(EURUSD) is None


@pytest.mark.parametrize("pairs", [(), (GBPUSD,)])
def test_where_nothing_waits_for_approval_the_cure_is_a_proposal(pairs: tuple[Pair, ...]) -> None:
    approved = _approve(_proposed(OWN, EURUSD, _facts()))
    with pytest.raises(BadSetting, match="approved: eurusd") as refused:
        _approve(approved, *pairs)
    assert "bqx expectations propose" in refused.value.cure


def test_a_table_behind_a_section_stays_where_it_is() -> None:
    text = _proposed(OWN, EURUSD, _facts(1)) + '\n[max_missing_fraction]\n"*" = 0.5\n'
    found = parse_expectations(_proposed(text, EURUSD, _facts(2)), "own.toml")
    assert found.max_missing_fraction == {"*": 0.5}
    assert found.pair["eurusd"].tables["agg_eurusd"].matched == 2


def test_a_file_that_is_none_is_refused_before_anything_is_written() -> None:
    with pytest.raises(BadSetting, match=r"own\.toml"):
        _proposed("<html>", EURUSD, _facts())
