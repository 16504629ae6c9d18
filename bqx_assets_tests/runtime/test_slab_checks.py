"""What extraction says of its tables: failures and drift by name, in a bounded event."""

from __future__ import annotations

import dagster as dg

from bqx_assets.base.artifacts import ExtractionRecord, FailedTable
from bqx_assets.runtime.slab_checks import slab_results
from bqx_assets_tests.release.training import extraction, slab


def _results(record: ExtractionRecord, *changes: str) -> tuple[dg.AssetCheckResult, dg.AssetCheckResult]:
    complete, drift = slab_results(record, changes)
    return complete, drift


def test_all_tables_and_no_change_pass() -> None:
    complete, drift = _results(extraction([slab("a", b"1"), slab("b", b"2")]))
    assert complete.passed
    assert drift.passed


def test_a_failed_table_is_named_with_its_error() -> None:
    failed = FailedTable(table="c", error="DuplicateKeys", message="76 surplus rows")
    complete, _ = _results(extraction([slab("a", b"1")]).model_copy(update={"failed": (failed,)}))
    assert not complete.passed
    assert complete.severity == dg.AssetCheckSeverity.ERROR
    assert complete.metadata["evidence/first_errors"].value == "c: DuplicateKeys: 76 surplus rows"
    assert complete.metadata["cure"].value == "Mend the tables and run again: bqx extract eurusd"


def test_unknown_tables_and_columns_and_changes_warn() -> None:
    one = slab("a", b"1")
    odd = one.model_copy(update={"provenance": one.provenance.model_copy(update={"left_out": ("new",)})})
    record = extraction([odd]).model_copy(update={"unexpected": ("agg_new_eurusd",)})
    _, drift = _results(record, "a: column x changed")
    assert (drift.passed, drift.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert drift.metadata["evidence/unknown_tables"].value == "agg_new_eurusd"
    assert drift.metadata["evidence/unknown_columns"].value == "a.new"
    assert drift.metadata["evidence/changes"].value == "a: column x changed"


def test_667_failed_tables_are_a_small_event_that_says_how_many() -> None:
    failed = tuple(FailedTable(table=f"table_{n}", error="OSError", message="m" * 5_000) for n in range(667))
    complete, _ = _results(extraction().model_copy(update={"failed": failed}))
    assert "and 647 more" in str(complete.metadata["evidence/failed"].value)
    assert sum(len(str(value.value)) for value in complete.metadata.values()) < 20_000
