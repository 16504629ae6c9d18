"""What needs attention comes in the order of its weight, each matter with a sentence and a command."""

from __future__ import annotations

import pytest

from bqx_assets.fleet.attention import attention, summary
from bqx_assets.fleet.state import PairState
from bqx_assets_tests.fleet.states import fleet, good, stage, untouched, with_status


def test_the_worst_comes_first_and_each_pair_once() -> None:
    found = attention(fleet())
    assert [(each.pair, each.kind) for each in found] == [
        ("eurusd", "damaged"),
        ("usdcad", "unreadable"),
        ("gbpusd", "failed check"),
        ("usdjpy", "failed table"),
        ("usdchf", "failed run"),
        ("", "budget"),
        ("audusd", "stale"),
        ("nzdusd", "unfinished"),
        ("", "missing"),
    ]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("eurusd", "the published file is not as its manifest states"),
        ("gbpusd", "failed 1 check, completeness; an earlier file is published"),
        ("usdjpy", "no slab of agg_usdjpy and mkt_vol"),
        ("usdchf", "slabs failed on 27 Nov: WarehouseError, the role was revoked"),
        ("audusd", "its data are 12.0 days old, 8 are allowed"),
        ("usdcad", "usdcad: gs://b/extraction.json: format 99"),
    ],
)
def test_a_sentence_says_what_is_wrong(pair: str, words: str) -> None:
    (matter,) = [each for each in attention(fleet()) if each.pair == pair]
    assert words in matter.sentence.replace(", mkt_vol", " and mkt_vol")
    assert pair in matter.command or matter.kind == "unreadable"


@pytest.mark.parametrize(
    ("pair", "kind", "words"),
    [
        (with_status(good("eurusd"), merged="stale"), "unfinished", "its slabs are newer than its file"),
        (good("eurusd", stages=(stage("slabs", 301, outcome="began"),)), "failed run", "never ended: killed"),
        (good("eurusd", source_error="the role was revoked\nmore"), "unfinished", "not known: the role was revoked"),
        (with_status(untouched("eurusd"), spine="done"), "missing", "not published: it stopped at its spine"),
        (
            with_status(untouched("eurusd"), spine="done", slabs="partial", slabs_done=9),
            "missing",
            "not published: 9 of 667 slabs are made",
        ),
        (with_status(untouched("eurusd"), spine="done", merged="done"), "missing", "not published: it is merged"),
    ],
)
def test_a_pair_that_stopped_on_its_way_says_where(pair: PairState, kind: str, words: str) -> None:
    (matter,) = attention(fleet(pairs=(pair,), month_budget_usd=None))
    assert (matter.pair, matter.kind) == ("eurusd", kind)
    assert words in matter.sentence
    assert matter.command.endswith("eurusd")


def test_a_stage_at_work_needs_no_attention() -> None:
    at_work = good("eurusd", stages=(stage("slabs", 299, outcome="began"),))
    assert attention(fleet(pairs=(at_work,), month_budget_usd=None)) == []


def test_pairs_that_were_never_run_are_one_matter() -> None:
    pairs = (good("eurusd"), *(untouched(name) for name in ("gbpusd", "usdjpy", "usdchf", "audusd")))
    (matter,) = attention(fleet(pairs=pairs, month_budget_usd=None))
    assert matter.sentence.startswith("4 pairs never run: gbpusd, usdjpy")


@pytest.mark.parametrize(("usd", "words"), [(3.1, None), (3.2, "nearly spent"), (4.0, "is spent: no further run")])
def test_a_budget_is_a_matter_from_four_fifths_on(usd: float, words: str | None) -> None:
    found = [each.sentence for each in attention(fleet(pairs=(), month_usd=usd))]
    assert len(found) == (words is not None)
    assert all(words in sentence for sentence in found if words)


@pytest.mark.parametrize(("usd", "words"), [(0.9, None), (1.0, "is nearly spent"), (1.8, "will be spent: no")])
def test_stages_without_an_end_count_against_the_budget_as_when_a_run_begins(usd: float, words: str | None) -> None:
    state = fleet(pairs=(), month_usd=2.2, month_unended_usd=usd)
    found = [each.sentence for each in attention(state)]
    assert len(found) == (words is not None)
    assert all(words in each and f"about {usd:.2f} of stages without an end" in each for each in found if words)
    assert state.is_spent is (usd == 1.8)


def test_an_unreadable_ledger_is_told_before_what_is_only_old() -> None:
    (matter,) = attention(fleet(pairs=(), month_usd=0.0, unread=("ledger/2026-11.parquet",)))
    assert (matter.kind, matter.pair) == ("unreadable", "")
    assert "1 object of the ledger cannot be read, ledger/2026-11.parquet; no run begins" in matter.sentence


def test_a_good_fleet_needs_nothing() -> None:
    state = fleet(pairs=(good("eurusd"), good("gbpusd")), month_usd=0.0)
    assert attention(state) == []
    assert summary(state) == "2 of 2 pairs published, verified and fresh in gs://bqx-ml-output"


def test_the_summary_counts_what_is_good_and_names_the_worst() -> None:
    assert summary(fleet()).startswith(
        "21 of 28 pairs published, verified and fresh in gs://bqx-ml-output; first: eurusd"
    )
