"""A good file passes every rule, a bad one never raises, and a wide one is never held whole (lesson 10: 35 GB)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality import validate as validation
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.quality.rules import RULES, one_for_each_rule
from bqx_assets.quality.scan import stated_groups
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.forgery import exchange, restore_crc32c, writer_name
from bqx_assets_tests.frames import EURUSD, minutes
from bqx_assets_tests.quality.training import Training, content_of, earlier, rewritten, verdict_of
from bqx_assets_tests.release.training import MOMENT

NEEDS_VALUES = {"target_ends",
    "checksum", "slabs_intact", "key_unique_and_ascending", "no_nan_or_infinity", "statistics_equal_values",
    "no_feature_looks_forward", "targets_are_the_future", "content_digest",
}  # fmt: skip
NEEDS_MANIFEST = {
    "checksum", "footer_checksum", "slabs_intact", "rows_equal_spine", "tables_equal_catalogue",
    "tables_cover_spine",
}  # fmt: skip
FUZZ = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def copy(tmp_path: Path, training: Training) -> Training:
    """The good file, free to be changed."""
    return replace(training, file=Path(shutil.copy(training.file, tmp_path)))


def test_a_good_file_passes_every_rule(training: Training) -> None:
    report = training.report()
    assert [verdict.rule for verdict in report.verdicts] == [rule.name for rule in RULES]
    assert [verdict for verdict in report.verdicts if not verdict.passed] == []
    assert report.passed
    assert not report.not_checked
    assert all(verdict.got and verdict.expected and not verdict.cure for verdict in report.verdicts)
    assert (report.pair, report.rows, report.columns) == ("eurusd", 400, training.frame().width)
    assert report.peak_bytes > 0 < report.seconds


def test_a_good_file_of_several_periods_passes_every_rule(grouped: Training) -> None:
    assert grouped.failed() == set()


def test_a_file_of_slabs_of_an_earlier_version_passes_every_rule_by_its_own_manifest(tmp_path: Path) -> None:
    made = earlier(tmp_path)
    report = made.report()
    assert [verdict for verdict in report.verdicts if not verdict.passed] == []
    assert not report.not_checked
    content = bytearray(made.file.read_bytes())
    content[100] ^= 1
    made.file.write_bytes(content)
    assert verdict_of(made.report(), "slabs_intact").evidence["damaged"] == ["targets_eurusd"]


def test_a_report_survives_json(training: Training) -> None:
    report = training.report()
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_shallow_pass_gives_no_verdict_that_needs_values(training: Training) -> None:
    report = training.report(deep=False)
    assert report.passed
    assert set(report.not_checked) == NEEDS_VALUES
    assert not {verdict.rule for verdict in report.verdicts} & NEEDS_VALUES


def test_without_a_manifest_what_it_would_prove_warns_and_the_rest_is_judged(training: Training) -> None:
    report = replace(training, manifest=None).report()
    unproven = [verdict for verdict in report.verdicts if not verdict.passed]
    assert {verdict.rule for verdict in unproven} == NEEDS_MANIFEST
    assert {verdict.severity for verdict in unproven} == {"warn"}
    assert report.passed
    assert not report.not_checked


def test_progress_tells_the_steps_it_announced(training: Training) -> None:
    @dataclass
    class Told(Silent):
        totals: list[int] = field(default_factory=list)
        steps: list[str] = field(default_factory=list)

        def start(self, stage: str, total: int) -> None:
            assert stage == "validate"
            self.totals.append(total)

        def advance(self, stage: str, item: str, note: str = "") -> None:
            assert stage == "validate"
            assert not note
            self.steps.append(item)

    told = Told()
    validate(StoredFile.at(training.file), EURUSD, training.expectations, manifest=training.manifest, progress=told)
    assert told.totals[-1] == len(told.steps)


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"hello", b"PAR1" + bytes(60) + b"PAR1"])
@pytest.mark.parametrize("deep", [True, False])
def test_a_missing_or_foreign_file_ends_as_failed_verdicts(
    tmp_path: Path, training: Training, content: bytes | None, *, deep: bool
) -> None:
    file = tmp_path / "training_eurusd.parquet"
    if content is not None:
        file.write_bytes(content)
    report = replace(training, file=file).report(deep=deep)
    assert (report.rows, report.columns, report.passed) == (0, 0, False)
    assert verdict_of(report, "file_exists").passed == (content is not None)
    assert not verdict_of(report, "file_readable").passed
    assert "dimensions" in report.not_checked


def test_a_folder_is_no_file(tmp_path: Path, training: Training) -> None:
    assert not verdict_of(replace(training, file=tmp_path).report(), "file_exists").passed


@FUZZ
@given(data=st.data())
def test_any_single_flipped_bit_is_caught_with_the_manifest(
    copy: Training, training: Training, data: st.DataObject
) -> None:
    content = bytearray(training.file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    copy.file.write_bytes(content)
    report = copy.report()
    assert not report.passed
    assert not verdict_of(report, "checksum").passed


@FUZZ
@given(data=st.data())
def test_no_damage_raises_even_without_a_manifest(copy: Training, training: Training, data: st.DataObject) -> None:
    content = bytearray(training.file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    copy.file.write_bytes(content)
    for deep in (True, False):
        assert replace(copy, manifest=None).report(deep=deep).verdicts


@FUZZ
@given(data=st.data())
def test_a_file_cut_short_or_with_bytes_behind_its_end_never_passes(
    copy: Training, training: Training, data: st.DataObject
) -> None:
    """Lesson 19: a half-written parquet once counted as done."""
    content = training.file.read_bytes()
    kept = data.draw(st.integers(0, len(content) - 1))
    copy.file.write_bytes(data.draw(st.sampled_from([content[:kept], content + content[: kept + 1]])))
    for deep in (True, False):
        report = copy.report(deep=deep)
        assert not report.passed
        assert not verdict_of(report, "checksum").passed


def test_a_damaged_slab_is_named_and_its_columns_are_not_decoded(copy: Training) -> None:
    assert copy.manifest is not None
    *before, damaged = copy.manifest.extraction.slabs[:4]
    content = bytearray(copy.file.read_bytes())
    content[sum(slab.size_bytes for slab in before) + 100] ^= 1
    copy.file.write_bytes(content)
    report = copy.report()
    assert {verdict.rule for verdict in report.failures()} == {"file_readable", "checksum", "slabs_intact"}
    assert damaged.table in verdict_of(report, "slabs_intact").got
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == [damaged.table]
    lost = verdict_of(report, "file_readable")
    assert lost.evidence["columns"] == [column.name for column in damaged.provenance.columns][:20]
    # What the damage hides is not given as passed.
    assert "completeness" in report.not_checked


@pytest.mark.parametrize(
    ("row_group", "name", "unjudged"),
    [
        (0, "agg__agg_mean_45", {"no_feature_looks_forward", "completeness"}),
        (2, "target_bqx90_h45", {"no_feature_looks_forward", "completeness", "target_ends"}),
        (1, KEY, {"key_unique_and_ascending", "targets_are_the_future", "target_ends", "no_feature_looks_forward"}),
        (1, "base_bqx__bqx_90", {"no_feature_looks_forward", "completeness"}),
    ],
)
def test_a_chunk_damaged_in_one_period_loses_its_column_and_no_other(
    tmp_path: Path, grouped: Training, row_group: int, name: str, unjudged: set[str]
) -> None:
    footer = read_footer(grouped.file)
    content = bytearray(grouped.file.read_bytes())
    start = stated_groups(footer)[row_group].start[footer.columns.index(name)]
    content[start : start + 12] = b"\xff" * 12
    file = tmp_path / grouped.file.name
    file.write_bytes(content)
    report = replace(grouped, file=file, manifest=None).report()
    assert verdict_of(report, "file_readable").evidence["columns"] == [name]
    assert {verdict.rule for verdict in report.failures()} == {"file_readable"}
    of_every_column = {"content_digest", "no_nan_or_infinity", "no_unexpected_all_null", "no_unexpected_constant"}
    assert {*report.not_checked} == unjudged | of_every_column | {"statistics_equal_values"}


def test_what_was_decoded_of_a_slab_before_its_damage_was_known_is_forgotten(
    copy: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are read once, in groups that end anywhere: a slab is judged when its last byte is there."""
    assert copy.manifest is not None
    monkeypatch.setattr(validation, "GROUP_BYTES", 8 * 400)
    *before, damaged = copy.manifest.extraction.slabs[:4]
    content = bytearray(copy.file.read_bytes())
    content[sum(slab.size_bytes for slab in [*before, damaged]) - 9] ^= (
        1  # in the slab's own footer, behind all columns
    )
    copy.file.write_bytes(content)
    report = copy.report()
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == [damaged.table]
    lost = verdict_of(report, "file_readable")
    assert lost.evidence["columns"] == [column.name for column in damaged.provenance.columns][:20]
    assert "completeness" in report.not_checked


@pytest.mark.parametrize(
    ("first", "second"), [("agg__agg_mean_45", "agg__agg_mean_90"), ("agg__agg_mean_45", "base_bqx__bqx_90")]
)
def test_columns_exchanged_under_the_files_own_crc32c_are_found(copy: Training, first: str, second: str) -> None:
    """A footer whose columns find each other's values, four bytes of a slab's own footer making up for it."""
    assert copy.manifest is not None
    exchange(copy.file, first, second, writer_name(copy.file))
    assert copy.file.stat().st_size == copy.manifest.file.size_bytes
    report = copy.report()
    assert verdict_of(report, "checksum").passed
    assert {"footer_checksum", "slabs_intact"} <= {verdict.rule for verdict in report.failures()}
    assert "footer_checksum" in copy.failed(deep=False)


def test_values_changed_under_their_slabs_own_crc32c_are_found(copy: Training) -> None:
    assert copy.manifest is not None
    first, second = copy.manifest.extraction.slabs[:2]
    data = bytearray(copy.file.read_bytes())
    slab = data[first.size_bytes : first.size_bytes + second.size_bytes]
    slab[60:64] = b"\x00\x01\x02\x03"
    restore_crc32c(slab, slab.rindex(b"parquet-cpp") + 4, second.crc32c)
    data[first.size_bytes : first.size_bytes + second.size_bytes] = slab
    copy.file.write_bytes(data)
    report = copy.report()
    assert verdict_of(report, "checksum").passed
    assert verdict_of(report, "footer_checksum").passed
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == [second.table]


@pytest.mark.parametrize("grouping", ["training", "grouped"])
def test_values_are_those_digested_before_they_were_encoded_whatever_their_periods(
    grouping: str, request: pytest.FixtureRequest
) -> None:
    made: Training = request.getfixturevalue(grouping)
    verdict = verdict_of(made.report(), "content_digest")
    assert made.manifest is not None
    assert (verdict.passed, verdict.evidence["digest"]) == (True, made.manifest.file.content_digest)
    assert made.manifest.file.content_digest == content_of(made.file)
    alone = verdict_of(replace(made, manifest=None).report(), "content_digest")
    assert (alone.passed, alone.got) == (True, verdict.got)


@pytest.mark.parametrize(
    "change",
    [
        pl.when(pl.int_range(pl.len()) == 7).then(1e9).otherwise("agg__agg_mean_45").alias("agg__agg_mean_45"),
        pl.when(pl.int_range(pl.len()) != 7).then("agg__agg_mean_45").alias("agg__agg_mean_45"),
        pl.col("agg__agg_mean_90").alias("agg__agg_mean_45"),
    ],
)
def test_a_changed_value_is_another_content_though_all_checksums_vouch_for_its_bytes(
    tmp_path: Path, training: Training, change: pl.Expr
) -> None:
    changed = rewritten(training, training.frame().with_columns(change), tmp_path)
    assert changed.manifest is not None
    assert training.manifest is not None
    file = changed.manifest.file.model_copy(update={"content_digest": training.manifest.file.content_digest})
    report = replace(changed, manifest=changed.manifest.model_copy(update={"file": file})).report()
    verdict = verdict_of(report, "content_digest")
    assert not verdict.passed
    assert verdict.evidence["columns"] == ["agg__agg_mean_45"]


def test_a_manifest_of_an_earlier_version_warns_of_what_it_does_not_record(training: Training) -> None:
    assert training.manifest is not None
    old = [
        slab.model_copy(update={"pieces": tuple(each.model_copy(update={"sha256": None}) for each in slab.pieces)})
        for slab in training.manifest.extraction.slabs
    ]
    extraction = training.manifest.extraction.model_copy(update={"slabs": tuple(old)})
    file = training.manifest.file.model_copy(update={"end_sha256": None, "content_digest": None})
    manifest = training.manifest.model_copy(update={"extraction": extraction, "file": file})
    report = replace(training, manifest=manifest).report()
    assert report.passed
    unknown = {verdict.rule for verdict in report.verdicts if not verdict.passed}
    assert unknown == {"footer_checksum", "slabs_intact", "content_digest"}


ROWS, COLUMNS, GROUP_BYTES = 20_000, 2_000, 4 << 20
_FREED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""glibc then gives freed blocks back at once. By default it keeps 0 to 15 MB of them, by how the threads took turns."""
_VALIDATE = """
import sys
from pathlib import Path
from bqx_assets.base.process import resident_bytes
from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality import validate as validation
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD
validation.GROUP_BYTES = int(sys.argv[2])
read_footer(Path(sys.argv[1]))  # the first one loads libraries
before = resident_bytes()
report = validate(StoredFile.at(Path(sys.argv[1])), EURUSD, load_expectations(), manifest=None, progress=Silent())
print(report.rows, report.columns, report.peak_bytes - before)
"""


def test_peak_memory_follows_the_group_and_not_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(ROWS)
    frame = pl.DataFrame([minutes(ROWS), *(pl.Series(f"t__{i}", np.roll(values, i)) for i in range(COLUMNS))])
    frame.write_parquet(tmp_path / "wide.parquet", row_group_size=ROWS, compression="lz4")
    decoded_bytes = int(frame.estimated_size())
    done = subprocess.run(
        [sys.executable, "-c", _VALIDATE, str(tmp_path / "wide.parquet"), str(GROUP_BYTES)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | _FREED,
        timeout=120,
    )
    rows, columns, grown_bytes = map(int, done.stdout.split())
    assert (rows, columns) == (ROWS, COLUMNS + 1)
    # Three groups at a time read, copied and decoded, another one judged; the footer, and what allocators keep.
    assert grown_bytes < 10 * GROUP_BYTES + (50 << 20) < decoded_bytes / 3


def test_a_rule_that_could_not_judge_warns_and_never_passes() -> None:
    failed = Verdict(rule="dimensions", passed=False, severity="error", got="3", expected="4", cure="Extract again.")
    report = Report(
        pair="eurusd",
        file="f",
        rows=0,
        columns=0,
        deep=True,
        created_at=MOMENT,
        seconds=0,
        peak_bytes=0,
        verdicts=(failed,),
    )
    given = one_for_each_rule(report)
    assert [each.rule for each in given] == [rule.name for rule in RULES]
    assert failed in given
    assert {(each.passed, each.severity) for each in given if each != failed} == {(False, "warn")}
