"""Each rule: break exactly one thing, and exactly the rules it breaks fail, naming the culprit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.artifacts import FailedTable, RowAccount, SlabRecord
from bqx_assets.base.names import KEY
from bqx_assets.quality.rules import RULES
from bqx_assets_tests.quality.training import Training, rewritten, verdict_of

FEATURE = "agg__agg_mean_45"
Change = Callable[[pl.DataFrame], pl.DataFrame]


def _set(name: str, value: pl.Expr | None) -> Change:
    made = pl.lit(None, dtype=pl.Float64) if value is None else value
    return lambda frame: frame.with_columns(made.alias(name))


def _at_row(name: str, row: int, value: float) -> Change:
    return lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(pl.col(name)).alias(name)
    )


def _swapped(frame: pl.DataFrame) -> pl.DataFrame:
    names = frame.columns
    names[60], names[61] = names[61], names[60]
    return frame.select(names)


def _extra_row(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame.tail(1).select(pl.col(KEY).dt.offset_by("1m"))], how="diagonal")


def _duplicated(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame.head(6), frame.slice(5)])


def _zero(frame: pl.DataFrame) -> pl.DataFrame:
    numbers = [n for n in frame.columns if "__" in n and frame.schema[n].is_numeric() and not n.startswith("base_")]
    dropped = [n for n in frame.columns if n.startswith("base_")]
    return frame.drop(dropped).with_columns(pl.col(numbers) * 0)


COLUMNS, SPINE, KEYS = "columns_equal_catalogue", "rows_equal_spine", "key_unique_and_ascending"
FORWARD, FUTURE, NAN = "no_feature_looks_forward", "targets_are_the_future", "no_nan_or_infinity"
ENDS = "target_ends"

MUTATIONS: dict[str, tuple[Change, set[str], str, str]] = {
    # the change, all rules that fail, and what the first one's got or evidence names
    "column lost": (lambda f: f.drop(FEATURE), {COLUMNS}, COLUMNS, f"1 missing: {FEATURE}"),
    "column added": (_set("agg__new", pl.col(FEATURE) * 2), {COLUMNS}, COLUMNS, "1 not in the catalogue: agg__new"),
    "column renamed": (lambda f: f.rename({FEATURE: "agg__x"}), {COLUMNS}, COLUMNS, "agg__x"),
    "columns swapped": (_swapped, {COLUMNS}, COLUMNS, "2 out of order"),
    "type changed": (_set("tmp__month", pl.col(FEATURE)), {COLUMNS}, COLUMNS, "tmp__month is FLOAT64, not INT64"),
    "target lost": (
        lambda f: f.drop("target_bqx90_h60"), {COLUMNS, "targets_complete"}, "targets_complete", "target_bqx90_h60",
    ),
    "key lost": (lambda f: f.drop(KEY), {COLUMNS, KEYS}, KEYS, "no column interval_time"),
    "row added": (_extra_row, {SPINE, ENDS, FUTURE}, SPINE, "401 rows"),
    "row lost": (lambda f: f.head(399), {SPINE, "dimensions"}, SPINE, "399 rows"),
    # Lesson 1: 76 repeated keys once made 177,748 rows of 100,000, and every check passed.
    "row duplicated": (_duplicated, {SPINE, KEYS}, KEYS, "1 surplus row for 1 repeated key"),
    "rows reversed": (lambda f: f.reverse(), {SPINE, KEYS, FUTURE, FORWARD}, KEYS, "399 rows earlier"),
    "key null": (
        lambda f: f.with_columns(pl.when(pl.int_range(pl.len()) != 3).then(pl.col(KEY)).alias(KEY)),
        {SPINE, KEYS}, KEYS, "1 row without key",
    ),
    "key moved": (
        lambda f: f.with_columns(pl.col(KEY).dt.offset_by("1s")), {SPINE}, SPINE, "with other keys",
    ),
    "NaN": (_at_row(FEATURE, 7, float("nan")), {NAN}, NAN, f"1 NaN, 0 infinite in {FEATURE}"),
    "infinity": (_at_row(FEATURE, 7, float("-inf")), {NAN}, NAN, f"0 NaN, 1 infinite in {FEATURE}"),
    "NaN in a target": (_at_row("target_bqx45_h15", 7, float("nan")), {NAN}, NAN, "target_bqx45_h15"),
    "only NaN": (_set(FEATURE, pl.lit(float("nan"))), {NAN}, NAN, f"400 NaN, 0 infinite in {FEATURE}"),
    "constant": (_set(FEATURE, pl.lit(2.5)), {"no_unexpected_constant"}, "no_unexpected_constant", FEATURE),
    "constant text": (
        _set("mkt_vol__scope", pl.lit("all")), set(), "no_unexpected_constant", "beyond the 1 allowed",
    ),
    "all null": (_set(FEATURE, None), {"no_unexpected_all_null"}, "no_unexpected_all_null", FEATURE),
    "half null": (
        lambda f: f.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("^agg__.*$"))),
        {"completeness"}, "completeness", "agg__",
    ),
    "features zero": (
        _zero, {"features_non_zero", "no_unexpected_constant", COLUMNS}, "features_non_zero", "zero throughout",
    ),
    "target shifted": (
        lambda f: f.with_columns(pl.col("target_bqx180_h45").shift(-1)), {FUTURE, ENDS}, FUTURE, "target_bqx180_h45",
    ),
    "window shifted": (
        lambda f: f.with_columns(pl.col("^target_bqx360_h.*$").shift(-3)), {FUTURE, ENDS}, FUTURE, "bqx360",
    ),
    "target with a hole": (
        lambda f: f.with_columns(pl.when(pl.int_range(pl.len()) // 4 != 50).then(pl.col("target_bqx90_h60"))),
        {FUTURE}, FUTURE, "target_bqx90_h60",
    ),
    "feature shifted": (
        lambda f: f.with_columns(pl.col("base_bqx__bqx_45").shift(2)), {FUTURE}, FUTURE, "base_bqx__bqx_45",
    ),
    "leak": (
        _set(FEATURE, pl.col("target_bqx720_h30")), {FORWARD}, FORWARD, f"{FEATURE}: equals bqx_720 30 rows ahead",
    ),
    "leak with holes": (
        _set(FEATURE, pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.col("target_bqx720_h30"))),
        {FORWARD}, FORWARD, f"{FEATURE}: equals bqx_720 30 rows ahead",
    ),
    "negative leak": (
        _set(FEATURE, -pl.col("target_bqx45_h15").shift(-2)), {FORWARD}, FORWARD, "the negative of bqx_45 17 rows",
    ),
    "leak by name": (
        lambda f: f.rename({FEATURE: "agg__Target_45"}), {COLUMNS, FORWARD}, FORWARD, "agg__Target_45: named target*",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_defect_fails_its_rules_and_no_other(tmp_path: Path, training: Training, name: str) -> None:
    change, broken, rule, culprit = MUTATIONS[name]
    report = rewritten(training, change(training.frame()), tmp_path).report()
    assert {verdict.rule for verdict in report.verdicts if not verdict.passed} == broken
    verdict = verdict_of(report, rule)
    assert culprit in f"{verdict.got} {verdict.evidence}"
    assert bool(verdict.cure) == (not verdict.passed)


def test_features_that_look_forward_only_warn_where_they_were_asked_for(tmp_path: Path, training: Training) -> None:
    leaking = rewritten(training, MUTATIONS["leak"][0](training.frame()), tmp_path)
    assert verdict_of(leaking.report(), FORWARD).severity == "error"
    assert leaking.manifest is not None
    asked_for = leaking.manifest.extraction.model_copy(update={"forward_looking_included": True})
    manifest = leaking.manifest.model_copy(update={"extraction": asked_for})
    verdict = verdict_of(replace(leaking, manifest=manifest).report(), FORWARD)
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert "BQX_INCLUDE_FORWARD_LOOKING" in verdict.cure


@pytest.mark.parametrize("name", ["target shifted", "feature shifted", "leak", "half null", "infinity"])
def test_row_groups_change_no_verdict(tmp_path: Path, training: Training, name: str) -> None:
    frame = MUTATIONS[name][0](training.frame())
    one, several = (
        rewritten(training, frame, tmp_path, row_group_rows=rows).report().verdicts for rows in (frame.height, 130)
    )
    # Its bytes are others, and its row groups are not the spine's.
    apart = {"file_exists", "checksum", "footer_checksum", SPINE}
    assert [v for v in one if v.rule not in apart] == [v for v in several if v.rule not in apart]


def test_a_rewritten_good_file_passes(tmp_path: Path, training: Training) -> None:
    assert rewritten(training, training.frame(), tmp_path).failed() == set()


@pytest.mark.parametrize("least", ["min_rows", "min_columns"])
def test_thresholds_are_gates_of_at_least(training: Training, least: str) -> None:
    there = {"min_rows": 400, "min_columns": training.frame().width}[least]
    for bound, broken in ((there, set()), (there + 1, {"dimensions"})):
        asked = replace(training, expectations=training.expectations.model_copy(update={least: bound}))
        assert asked.failed() == broken
        assert asked.failed(deep=False) == broken


def test_too_few_columns_name_those_that_extraction_left_out(training: Training) -> None:
    asked = training.expectations.model_copy(update={"min_columns": training.frame().width + 1})
    found = verdict_of(replace(training, expectations=asked).report(deep=False), "dimensions")
    assert "extraction left out 7 that look forward: base_bqx_eurusd.target_" in found.got
    left_out = found.evidence["quarantined"]
    assert isinstance(left_out, list)
    assert len(left_out) == 7
    assert "quarantined" not in verdict_of(training.report(deep=False), "dimensions").evidence


def test_fewer_required_horizons_are_enough(training: Training) -> None:
    least = training.expectations.model_copy(update={"horizons": training.expectations.horizons[:3]})
    assert replace(training, expectations=least).failed() == set()


def test_seven_of_49_targets_are_not_all(tmp_path: Path, training: Training) -> None:
    """Lesson 4: a file with 7 targets was reused for hours as "CACHED"."""
    kept = [name for name in training.frame().columns if not re.fullmatch(r"target_bqx\d+_h(?!15$)\d+", name)]
    few = rewritten(training, training.frame().select(kept), tmp_path)
    found = verdict_of(few.report(), "targets_complete")
    assert not found.passed
    assert found.got.startswith("7 of 49")


@pytest.mark.parametrize("deep", [True, False])
def test_another_pairs_file_is_refused(tmp_path: Path, training: Training, *, deep: bool) -> None:
    """Lesson 7: a default pair made one pair's file under another's name."""
    other = rewritten(training, training.frame(), tmp_path, metadata={"bqx.pair": "gbpusd"})
    assert other.failed(deep=deep) == {"file_is_of_pair"}
    assert "file: gbpusd" in verdict_of(other.report(deep=deep), "file_is_of_pair").got
    manifest = training.manifest
    assert manifest is not None
    foreign = replace(training, manifest=manifest.model_copy(update={"pair": "gbpusd"}))
    assert foreign.failed(deep=deep) == {"file_is_of_pair"}


def _without_mkt_vol(training: Training, tmp_path: Path) -> Training:
    manifest = training.manifest
    assert manifest is not None
    kept = tuple(slab for slab in manifest.extraction.slabs if slab.table != "mkt_vol")
    frame = training.frame().select(column.name for slab in kept for column in slab.provenance.columns)
    without = rewritten(training, frame, tmp_path)
    assert without.manifest is not None
    extraction = manifest.extraction.model_copy(update={"slabs": kept})
    return replace(without, manifest=without.manifest.model_copy(update={"extraction": extraction}))


def test_a_table_left_out_of_file_and_manifest_alike_is_missed(tmp_path: Path, training: Training) -> None:
    """Lessons 2 and 8: 93% of the tables were skipped once, and 600 of 667 were accepted."""
    without = _without_mkt_vol(training, tmp_path)
    assert without.failed() == {"tables_equal_catalogue"}
    assert verdict_of(without.report(), "tables_equal_catalogue").evidence["missing"] == ["mkt_vol"]


def test_a_number_of_absent_tables_excuses_only_those_that_the_warehouse_was_found_to_lack(
    tmp_path: Path, training: Training
) -> None:
    """A folder of raw checkpoints was held against no warehouse: with 13 tables gone it once passed."""
    without = _without_mkt_vol(training, tmp_path)
    excusing = without.expectations.model_copy(update={"max_absent_tables": {"mkt_*": 13}})
    assert replace(without, expectations=excusing).failed() == {"tables_equal_catalogue"}
    assert without.manifest is not None
    listed = without.manifest.extraction.model_copy(update={"known_absent": {"mkt_vol": "not in the warehouse"}})
    counted = replace(without, manifest=without.manifest.model_copy(update={"extraction": listed}))
    assert replace(counted, expectations=excusing).failed() == set()
    assert counted.failed() == {"tables_equal_catalogue"}


def test_a_table_that_failed_at_extraction_is_named(training: Training) -> None:
    manifest = training.manifest
    assert manifest is not None
    failed = (FailedTable(table="agg_eurusd", error="TableMissing", message="no such table"),)
    extraction = manifest.extraction.model_copy(update={"failed": failed})
    report = replace(training, manifest=manifest.model_copy(update={"extraction": extraction})).report()
    assert [verdict.rule for verdict in report.failures()] == ["tables_equal_catalogue"]
    assert "1 failed at extraction: agg_eurusd" in report.failures()[0].got


def test_all_null_stops_a_release_until_it_is_allowed_and_a_constant_only_warns(
    tmp_path: Path, training: Training
) -> None:
    frame = training.frame().with_columns(
        pl.lit(None, dtype=pl.Float64).alias(FEATURE), (pl.col("tmp__month") * 0).alias("tmp__month")
    )
    broken = rewritten(training, frame, tmp_path)
    report = broken.report()
    assert [verdict.rule for verdict in report.failures()] == ["no_unexpected_all_null"]
    assert verdict_of(report, "no_unexpected_constant").severity == "warn"
    known = {"allowed_all_null": ("agg__agg_mean_*",), "allowed_constant": ("*__month",)}
    allowed = replace(broken, expectations=broken.expectations.model_copy(update=known))
    assert allowed.failed() == set()
    assert allowed.failed(deep=False) == set()


def _lost(training: Training, **missing: int) -> Training:
    """The file with a manifest that tells of so many missing rows of these tables."""
    assert training.manifest is not None
    extraction = training.manifest.extraction
    slabs = [
        slab.model_copy(update={"provenance": slab.provenance.model_copy(update={"rows": _rows(slab, missing)})})
        for slab in extraction.slabs
    ]
    changed = extraction.model_copy(update={"slabs": tuple(slabs)})
    return replace(training, manifest=training.manifest.model_copy(update={"extraction": changed}))


def _rows(slab: SlabRecord, missing: Mapping[str, int]) -> RowAccount:
    rows, lost = slab.provenance.rows, missing.get(slab.table, 0)
    less = {"read": rows.read - lost, "matched": rows.matched - lost, "missing": rows.missing + lost}
    return rows.model_copy(update=less)


@pytest.mark.parametrize(
    ("table", "most"),
    [("agg_eurusd", 4), ("corr_ibkr_eurusd_ewa", 248), ("cov_lag_eurusd_usdjpy", 60), ("mkt_vol", 40)],
)
def test_a_table_may_lack_the_rows_that_its_name_lets_expect_and_none_more(
    training: Training, table: str, most: int
) -> None:
    """Of 400 rows."""
    for deep in (True, False):
        assert "tables_cover_spine" not in _lost(training, **{table: most}).failed(deep=deep)
    verdict = verdict_of(_lost(training, **{table: most + 1}).report(deep=False), "tables_cover_spine")
    assert not verdict.passed
    assert verdict.severity == "error"
    assert f"{table} has {400 - most - 1} of 400 and may lack {most}" in verdict.got
    assert f"bqx extract eurusd --table {table}" in verdict.cure


def test_each_table_that_lost_rows_is_named(training: Training) -> None:
    lost = {"agg_eurusd": 397, "tmp_eurusd": 397, "base_bqx_eurusd": 5, "mkt_vol": 300}
    verdict = verdict_of(_lost(training, **lost).report(deep=False), "tables_cover_spine")
    told = verdict.evidence["lost_rows"]
    assert isinstance(told, list)
    assert [str(each).split()[0] for each in told] == ["agg_eurusd", "tmp_eurusd", "mkt_vol", "base_bqx_eurusd"]


@pytest.mark.parametrize("field", ["read", "extra", "duplicates", "missing"])
def test_an_account_of_rows_that_does_not_add_up_is_named(training: Training, field: str) -> None:
    assert training.manifest is not None
    extraction = training.manifest.extraction
    slab = next(slab for slab in extraction.slabs if slab.table == "mkt_vol")
    rows = slab.provenance.rows.model_copy(update={field: getattr(slab.provenance.rows, field) + 1})
    other = slab.model_copy(update={"provenance": slab.provenance.model_copy(update={"rows": rows})})
    slabs = tuple(other if each is slab else each for each in extraction.slabs)
    changed = extraction.model_copy(update={"slabs": slabs})
    wrong = replace(training, manifest=training.manifest.model_copy(update={"extraction": changed}))
    verdict = verdict_of(wrong.report(deep=False), "tables_cover_spine")
    assert not verdict.passed
    assert "mkt_vol accounts for" in verdict.got


def test_a_name_that_no_pattern_fits_must_have_all_rows(training: Training) -> None:
    strict = training.expectations.model_copy(update={"max_missing_fraction": {"mkt_*": 0.5}})
    assert "tables_cover_spine" in replace(_lost(training, agg_eurusd=1), expectations=strict).failed(deep=False)
    assert "tables_cover_spine" not in replace(_lost(training, mkt_vol=200), expectations=strict).failed(deep=False)


def test_statistics_alone_show_null_constant_and_incomplete_columns(tmp_path: Path, training: Training) -> None:
    for name in ("constant", "all null", "half null"):
        change, broken, _, _ = MUTATIONS[name]
        assert rewritten(training, change(training.frame()), tmp_path).failed(deep=False) == broken


def test_every_rule_has_a_stable_name_and_a_sentence() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names) == 23
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
    assert all(rule.description.endswith(".") and rule.severity in ("error", "warn") for rule in RULES)


def test_evidence_stays_small_when_everything_is_wrong(tmp_path: Path, training: Training) -> None:
    frame = training.frame()
    wrong = frame.rename({name: f"x{place}__y" for place, name in enumerate(frame.columns) if "__" in name})
    report = rewritten(training, wrong, tmp_path).report()
    sizes = [
        len(value) for verdict in report.verdicts for value in verdict.evidence.values() if isinstance(value, list)
    ]
    assert max(sizes) == 21  # twenty names, and how many more there are
    assert max(len(verdict.got) for verdict in report.verdicts) < 400
