"""A verdict passes through Dagster unchanged."""

from __future__ import annotations

import dagster as dg
import pytest

from bqx_assets.quality.report import Verdict
from bqx_assets.runtime.checks import check_result, check_spec, verdict_of
from bqx_assets.runtime.keys import TRAINING

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
    assert facts["evidence/names"] == dg.MetadataValue.text((", ".join(["x" * 50] * 1_000))[:4_000])


def test_only_an_error_blocks() -> None:
    assert check_spec("a", TRAINING, "", severity="error").blocking
    assert not check_spec("a", TRAINING, "", severity="warn").blocking
