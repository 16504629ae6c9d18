"""States of fleets as data, with a pair for each thing that can be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.fleet.state import FamilyState, FleetState, PairState, StageState
from bqx_assets.quality.report import Verdict
from bqx_assets.release.status import PairStatus

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RULES = ("shape", "completeness", "no_nan_or_infinity", "targets_are_the_future", "content_digest")
FAMILIES = ("agg", "align", "base", "corr", "csi", "lag", "mkt", "reg", "tri", "var")


def verdicts(*failed: str, warned: tuple[str, ...] = ()) -> tuple[Verdict, ...]:
    """One verdict for each rule."""
    return tuple(
        Verdict(
            rule=rule,
            passed=rule not in {*failed, *warned},
            severity="warn" if rule in warned else "error",
            got="3 columns <b>wrong</b>" if rule in failed else "as expected",
            expected="none",
            cure="Mend the source." if rule in failed else "",
            evidence={"columns": ["agg__agg_mean_45: 12%", "<script>alert(1)</script>"]} if rule in failed else {},
        )
        for rule in RULES
    )


def stage(name: str, minutes_ago: float, **facts: Any) -> StageState:
    """A stage of the ledger, done unless told otherwise."""
    known: dict[str, Any] = {"outcome": "done", "seconds": 41.5, "peak_bytes": 900 << 20, "usd": 0.012}
    return StageState(stage=name, began_at=NOW - timedelta(minutes=minutes_ago), **(known | facts))


def good(name: str, **changed: Any) -> PairState:
    """A pair that is published, verified and fresh."""
    status = PairStatus(
        pair=name,
        spine="done",
        slabs="done",
        slabs_done=667,
        slabs_expected=667,
        periods=("2026-Q3", "2026-Q4"),
        merged="done",
        validated="done",
        published="done",
        verified_at=NOW - timedelta(hours=5),
        verified_by="store checksum",
        rows=177_748 + 11 * len(name) * ord(name[0]),
        columns=17_038,
        size_bytes=1_234_567_890,
        content_digest="ab" * 16,
        uri=f"gs://bqx-ml-output/training_{name}.parquet",
    )
    facts: dict[str, Any] = {
        "status": status,
        "rows_until": NOW - timedelta(days=1),
        "snapshot_time": NOW - timedelta(hours=6),
        "published_at": NOW - timedelta(hours=5),
        "fresh": True,
        "source": "unchanged",
        "source_error": "",
        "verdicts": verdicts(),
        "families": tuple(
            FamilyState(
                family=word,
                tables=10 + place,
                columns=200 + 31 * place,
                null_share=0.004 * place + (ord(name[3]) - 97) / 4_000,
                matched_share=1 - 0.0007 * place,
            )
            for place, word in enumerate(FAMILIES)
        ),
        "drift": (),
        "stages": tuple(
            stage(each, 400 - 20 * place)
            for place, each in enumerate(("spine", "slabs", "plan", "merge", "validate", "publish"))
        ),
        "usd": 0.072,
        "seconds": 249.0,
    }
    return PairState(**(facts | changed))


def with_status(pair: PairState, **facts: Any) -> PairState:
    """The pair with other facts of its stages."""
    return pair.model_copy(update={"status": pair.status.model_copy(update=facts)})


def untouched(name: str) -> PairState:
    """A pair of which nothing exists."""
    nothing: dict[str, Any] = {"rows_until": None, "snapshot_time": None, "published_at": None, "fresh": None}
    nothing |= {"verdicts": (), "families": (), "stages": (), "usd": None, "seconds": None, "source": "not asked"}
    return good(name, status=PairStatus(pair=name, slabs_expected=667), **nothing)


def troubled() -> dict[str, PairState]:
    """One pair for each kind of trouble, by pair."""
    failed_stage = stage("slabs", 30, outcome="failed", error="WarehouseError", message="the role was revoked")
    stale = good("audusd", fresh=False, snapshot_time=NOW - timedelta(days=12), source="changed")
    return {
        "eurusd": with_status(good("eurusd"), published="failed"),
        "gbpusd": with_status(
            good("gbpusd", verdicts=verdicts("completeness", warned=("shape",))),
            validated="failed",
            failed_checks=("completeness",),
        ),
        "usdjpy": with_status(
            good("usdjpy", stages=(stage("spine", 31), failed_stage)),
            slabs="partial",
            slabs_done=665,
            failed_tables=("agg_usdjpy", "mkt_vol"),
            failed_why="TableMissing: agg_usdjpy: no such file. Restore the table, then extract again.",
            published="none",
        ),
        "usdchf": good("usdchf", stages=(stage("spine", 31), failed_stage)),
        "audusd": stale,
        "usdcad": good("usdcad", status=PairStatus(pair="usdcad", problem="gs://b/extraction.json: format 99\nmore")),
        "nzdusd": with_status(good("nzdusd"), published="unverified", verified_at=None, verified_by=None),
        "eurgbp": good("eurgbp", drift=("table mkt_<new> appeared", "column agg_eurgbp.x vanished")),
        "chfjpy": untouched("chfjpy"),
        "cadchf": untouched("cadchf"),
    }


def fleet(at: datetime = NOW, **changed: Any) -> FleetState:
    """A fleet of 28 pairs, of which nine are in trouble."""
    known = troubled()
    facts: dict[str, Any] = {
        "at": at,
        "output": "gs://bqx-ml-output",
        "origin": "BigQuery project bqx-ml",
        "pairs": tuple(known.get(pair.name) or good(pair.name) for pair in ALL_PAIRS),
        "fresh_days": 8.0,
        "month_usd": 3.4,
        "month_budget_usd": 4.0,
    }
    return FleetState(**(facts | changed))
