"""A verdict passes through Dagster unchanged."""

from __future__ import annotations

import json

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from bqx_assets.base.artifacts import ExtractionRecord, FailedTable
from bqx_assets.base.errors import ExtractionIncomplete
from bqx_assets.quality.report import Verdict
from bqx_assets.quality.slab_rules import slab_verdicts
from bqx_assets.runtime.checks import check_result, check_spec, offenders_table, verdict_of
from bqx_assets.runtime.keys import TRAINING
from bqx_assets.runtime.step import failure

EVENT_BYTES = 64 * 1024
FAILED = Verdict(rule="dimensions", passed=False, severity="error", got="3", expected="4", cure="Extract again.")
WARNED = Verdict(rule="dimensions", passed=False, severity="warn", got="3", expected="4", cure="Look.")
PASSED = Verdict(rule="dimensions", passed=True, got="4", expected="4")


def _evaluated(verdict: Verdict) -> dg.AssetCheckEvaluation:
    """The verdict as an event of a real run has it."""

    @dg.asset(key=TRAINING)
    def made() -> None: ...

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec(verdict.rule, asset=TRAINING)])
    def judged() -> dg.AssetCheckResult:
        return check_result(TRAINING, verdict)

    checks = dg.define_asset_job("checks", selection=dg.AssetSelection.all())
    defs = dg.Definitions([made], asset_checks=[judged], jobs=[checks])
    return defs.resolve_job_def("checks").execute_in_process().get_asset_check_evaluations()[0]


@pytest.mark.parametrize("verdict", [FAILED, WARNED, PASSED])
def test_a_verdict_comes_back_as_it_went_in(verdict: Verdict) -> None:
    assert verdict_of(_evaluated(verdict)) == verdict


def test_evidence_is_metadata_of_the_right_kind_and_cut_to_size() -> None:
    evidence = {"rows": 3, "share": 0.5, "whole": True, "none": None, "names": ["x" * 50] * 1_000}
    facts = check_result(TRAINING, FAILED.model_copy(update={"evidence": evidence})).metadata
    assert facts["evidence/rows"] == dg.MetadataValue.int(3)
    assert facts["evidence/share"] == dg.MetadataValue.float(0.5)
    assert facts["evidence/whole"] == dg.MetadataValue.bool(True)
    assert "evidence/none" not in facts
    table = str(facts["evidence/names"].value)
    assert table.startswith("| | names |\n|---:|---|\n| 1 | `" + "x" * 50 + "` |\n| 2 |")
    assert table.endswith(" more |")
    assert len(table) < 4_100


def test_a_name_with_markup_stays_in_its_cell() -> None:
    assert offenders_table("columns", ["a|b`c"]).splitlines()[2] == "| 1 | `` a\\|b`c `` |"


def test_the_results_of_all_offending_columns_with_hostile_names_make_small_events() -> None:
    hostile = ["'`|\u202e\u6f22" * 100 + str(number) for number in range(17_038)]
    evidence = {"missing": hostile, "extra": hostile, "columns": hostile}
    told = ", ".join(hostile)
    verdict = FAILED.model_copy(update={"got": told, "expected": told, "cure": told, "evidence": evidence})
    assert len(serialize_value(_evaluated(verdict))) < EVENT_BYTES


def test_the_failure_of_all_667_tables_with_hostile_names_makes_small_events() -> None:
    names = ["\u6f22" * 1_000 + str(number) for number in range(667)]
    failed = tuple(FailedTable(table=name, error="TableUnreadable", message=name) for name in names)
    record = ExtractionRecord.model_construct(pair="eurusd", slabs=(), failed=failed, changes=tuple(names))
    for verdict in slab_verdicts(record):
        assert len(serialize_value(_evaluated(verdict))) < EVENT_BYTES
    told = failure(ExtractionIncomplete(str(names), got=str(names), expected=str(names), cure=str(names)))
    metadata = {name: str(value.value) for name, value in told.metadata.items()}
    assert len(json.dumps([told.description, metadata])) < EVENT_BYTES


def test_only_an_error_blocks() -> None:
    assert check_spec("a", TRAINING, "", severity="error").blocking
    assert not check_spec("a", TRAINING, "", severity="warn").blocking
