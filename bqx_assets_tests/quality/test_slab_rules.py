"""An extraction's verdicts name failed tables and drift, in evidence of bounded size."""

from __future__ import annotations

from bqx_assets.base.artifacts import ExtractionRecord, FailedTable
from bqx_assets.quality.report import Verdict
from bqx_assets.quality.slab_rules import slab_verdicts
from bqx_assets_tests.release.training import extraction, slab


def _verdicts(record: ExtractionRecord) -> tuple[Verdict, Verdict]:
    complete, drift = slab_verdicts(record)
    return complete, drift


def test_all_tables_and_no_change_pass() -> None:
    complete, drift = _verdicts(extraction([slab("a", b"1"), slab("b", b"2")]))
    assert complete.passed
    assert drift.passed


def test_a_failed_table_is_named_with_its_error() -> None:
    failed = FailedTable(table="c", error="DuplicateKeys", message="76 surplus rows")
    complete, _ = _verdicts(extraction([slab("a", b"1")]).model_copy(update={"failed": (failed,)}))
    assert (complete.passed, complete.severity) == (False, "error")
    assert complete.evidence["first_errors"] == "c: DuplicateKeys: 76 surplus rows"
    assert complete.cure == "Mend the tables and run again: bqx extract eurusd"


def test_unknown_tables_and_columns_and_changes_warn() -> None:
    one = slab("a", b"1")
    odd = one.model_copy(update={"provenance": one.provenance.model_copy(update={"left_out": ("new",)})})
    found = {"unexpected": ("agg_new_eurusd",), "changes": ("a: column x changed",)}
    _, drift = _verdicts(extraction([odd]).model_copy(update=found))
    assert (drift.passed, drift.severity) == (False, "warn")
    assert drift.evidence["unknown_tables"] == ["agg_new_eurusd"]
    assert drift.evidence["unknown_columns"] == ["a.new"]
    assert drift.evidence["changes"] == ["a: column x changed"]


def test_667_failed_tables_are_little_evidence_that_says_how_many() -> None:
    failed = tuple(FailedTable(table=f"table_{n}", error="OSError", message="m" * 5_000) for n in range(667))
    complete, _ = _verdicts(extraction().model_copy(update={"failed": failed}))
    assert "and 647 more" in str(complete.evidence["failed"])
    assert len(complete.model_dump_json()) < 20_000
