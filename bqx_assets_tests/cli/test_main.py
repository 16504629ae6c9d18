"""``bqx`` as a user calls it: strict arguments, exit codes, one block a failure, JSON, and the stages end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bqx_assets.base.artifacts import ExtractionRecord, Manifest
from bqx_assets.base.checksums import crc32c
from bqx_assets.cli.main import app
from bqx_assets.sandbox.faults import FAULTS

ROWS, TABLES = 3_600, 9
"""The longest window and horizon together are 2,985 rows: fewer would leave targets without a value."""


class Outcome(Protocol):
    """What a call left; the class itself is private to Typer."""

    exit_code: int

    @property
    def output(self) -> str: ...

    @property
    def stdout(self) -> str: ...

    @property
    def stderr(self) -> str: ...


class Bqx:
    """``bqx --home HOME`` in this process."""

    def __init__(self, home: Path, done: dict[tuple[str, ...], Path] | None = None) -> None:
        self.home = home
        self._done = {} if done is None else done
        """Homes in which these stages are done, to be copied."""

    def __call__(self, *words: object) -> Outcome:
        return CliRunner().invoke(app, ["--home", str(self.home), *(str(word) for word in words)])

    def json(self, *words: object, exit_code: int = 0) -> dict[str, Any]:
        result = self(*words, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def made(self, *stages: str) -> Bqx:
        """Have these stages of eurusd done: run in the first home that needs them, each to end with 0, then copied."""
        if stages in self._done:
            shutil.rmtree(self.home)
            shutil.copytree(self._done[stages], self.home)
            return self
        for stage in stages:
            result = self(stage, "eurusd")
            assert result.exit_code == 0, result.output
        kept = self._done[()].with_name("-".join(stages))
        self._done[stages] = Path(shutil.copytree(self.home, kept))
        return self

    @property
    def training_file(self) -> Path:
        return self.home / "training" / "training_eurusd.parquet"

    @property
    def slabs(self) -> Path:
        return self.home / "checkpoints" / "eurusd"


@pytest.fixture(scope="session")
def warehouse_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cli") / "home"
    result = Bqx(home)(
        "warehouse", "create", home / "warehouse", "--pairs", "eurusd", "--rows", ROWS, "--tables", TABLES
    )
    assert result.exit_code == 0, result.output
    return home


@pytest.fixture(scope="session")
def done(warehouse_home: Path) -> dict[tuple[str, ...], Path]:
    """A home by the stages that are done in it; not to be changed."""
    return {(): warehouse_home}


@pytest.fixture
def bqx(done: dict[tuple[str, ...], Path], tmp_path: Path) -> Bqx:
    return Bqx(Path(shutil.copytree(done[()], tmp_path / "home")), done)


@pytest.mark.parametrize(
    "words",
    [
        ["plan"],
        ["extract", "--workers", "2"],
        ["extract", "eurusd", "--checkpoint-mode", "x"],
        ["extract", "eurusd", "--workers", "many"],
        ["extract", "eurusd", "extra"],
        ["extract", "EURUSD"],
        ["extract", "usdeur"],
        ["extract", "eurusd", "--table", "../../etc/passwd"],
        ["merge", "eurusd", "--engine", "magic"],
        ["validate", "x.parquet"],
        ["validate", "x.parquet", "--pair", "eurusd", "--min-rows", "0"],
        ["validate", "x.parquet", "--pair", "eurusd", "--required-targets", "8"],
        ["warehouse", "create", "w", "--rows", "300"],
        ["warehouse", "create", "w", "--pairs", "eurusd,eurusd"],
        ["warehouse", "create", "w", "--pairs", "eurusd", "--tables", "0"],
        ["warehouse", "create", "w", "--pairs", "eurusd", "--spoil", "nonsense"],
        ["warehouse", "spoil", "w", "nonsense", "--pair", "eurusd"],
        ["status", "eurusd"],
        ["delete-everything"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_exits_with_2_says_why_and_does_nothing(bqx: Bqx, words: Sequence[str]) -> None:
    """Lesson 5: flags parsed by hand were ignored in silence. Lesson 7: a missing pair became eurusd."""
    result = bqx(*words)
    assert result.exit_code == 2
    assert result.stderr.strip()
    assert "Traceback" not in result.output
    assert not bqx.training_file.parent.exists()
    assert not Path("w").exists()


def test_an_unknown_pair_is_answered_with_the_nearest(bqx: Bqx) -> None:
    assert "Did you mean eurusd?" in bqx("plan", "usdeur").stderr


def test_an_unknown_spoil_mode_is_refused_with_the_command_that_lists_all(bqx: Bqx) -> None:
    stderr = bqx("warehouse", "spoil", bqx.home / "warehouse", "?", "--pair", "eurusd").stderr
    assert "warehouse spoil --list" in stderr
    lines = bqx("warehouse", "spoil", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*FAULTS]
    assert json.loads(bqx("warehouse", "spoil", "--list", "--json").stdout) == {"modes": dict(FAULTS)}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_exit_with_0(bqx: Bqx, option: str) -> None:
    assert bqx(option).exit_code == 0


@pytest.mark.parametrize(
    "command",
    ["plan", "extract", "merge", "validate", "publish", "run", "status", "diff", "warehouse create", "warehouse spoil"],
)
def test_every_command_explains_itself(bqx: Bqx, command: str) -> None:
    result = bqx(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_every_command_but_ui_takes_json() -> None:
    commands = dict(_commands(get_command(app)))
    without = [name for name, command in commands.items() if not any("--json" in each.opts for each in command.params)]
    assert len(commands) > 15
    assert without == ["ui"]


def _commands(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, *words, name)
    else:
        yield " ".join(words), command


def test_a_bad_environment_variable_is_named(bqx: Bqx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQX_WORKERS", "many")
    result = bqx("status")
    assert result.exit_code == 2
    assert "BQX_WORKERS" in result.stderr


def test_without_a_warehouse_the_failure_says_how_to_make_one_of_the_pair(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    result = Bqx(home)("plan", "eurusd")
    assert result.exit_code == 1
    assert "warehouse create" in result.stderr
    assert result.stdout == ""
    for stage in ("plan", "extract", "run"):
        cure = str(Bqx(home).json(stage, "gbpjpy", exit_code=1)["cure"])
        assert cure == f"Make one: bqx warehouse create {home / 'warehouse'} --pairs gbpjpy"


def test_to_publish_what_was_never_merged_is_refused_with_the_command_that_merges(tmp_path: Path) -> None:
    facts = Bqx(tmp_path / "empty").json("publish", "gbpjpy", exit_code=1)
    assert (facts["got"], facts["cure"]) == ("no such file, and no training file", "Merge first: bqx merge gbpjpy")


def test_under_json_a_failure_is_a_document_too(tmp_path: Path) -> None:
    facts = Bqx(tmp_path / "empty").json("plan", "eurusd", exit_code=1)
    assert {"error", "subject", "got", "expected", "cure", "exit_code"} == facts.keys()


def test_only_debug_shows_a_traceback(tmp_path: Path) -> None:
    words = ["--home", str(tmp_path / "empty"), "plan", "eurusd"]
    assert "Traceback" not in CliRunner().invoke(app, words).output
    debugged = CliRunner().invoke(app, ["--debug", *words])
    assert "Traceback" in debugged.stderr
    assert debugged.exit_code == 1


def test_the_systems_own_refusal_is_a_failure_with_a_cure(bqx: Bqx) -> None:
    (bqx.home / "checkpoints").write_text("a file where a folder must be")
    result = bqx("extract", "eurusd")
    assert result.exit_code == 1
    assert "cure" in result.stderr
    assert "Traceback" not in result.output


def test_a_plan_counts_what_is_missing_then_what_is_fresh(bqx: Bqx) -> None:
    before = bqx.json("plan", "eurusd")
    after = bqx.made("extract").json("plan", "eurusd")
    families = [after["families"], before["families"]]
    fresh, missing = ([sum(family[state] for family in each) for state in ("fresh", "missing")] for each in families)
    assert fresh == [TABLES, 0]
    assert missing == [0, TABLES]
    assert after["read_bytes"] == 0
    again = bqx.json("extract", "eurusd")
    assert (again["made_pieces"], again["pieces"]) == (0, TABLES * len(after["by_period"]))
    assert before["read_bytes"] == before["total_bytes"] > 0
    assert before["periods"] == {"fresh": 0, "changed": 0, "new": len(before["by_period"])}
    assert after["periods"] == {"fresh": len(after["by_period"]), "changed": 0, "new": 0}
    (pair, *_) = bqx.json("status")["pairs"]
    assert pair["periods"] == [each["period"] for each in after["by_period"]]


def test_output_dir_workers_and_table_are_all_heeded(bqx: Bqx, tmp_path: Path) -> None:
    """Lesson 5 and 6: the writer and the reader of checkpoints must mean one folder."""
    table = _tables(bqx.made("extract"))[0]
    folder = tmp_path / "elsewhere"
    facts = bqx.json("extract", "eurusd", "--output-dir", folder, "--workers", 1, "--table", table)
    assert (facts["tables"], facts["folder"]) == (1, str(folder / "eurusd"))
    assert ExtractionRecord.load(folder / "eurusd" / "extraction.json").features()[0].table == table
    assert bqx("merge", "eurusd", "--checkpoint-dir", folder).exit_code == 1
    assert bqx.json("extract", "eurusd", "--output-dir", folder)["resumed_tables"] == 1
    merged = bqx.json("merge", "eurusd", "--checkpoint-dir", folder, "--output", tmp_path / "mine.parquet")
    assert merged["tables"] == TABLES
    assert pl.scan_parquet(tmp_path / "mine.parquet").select(pl.len()).collect().item() == merged["rows"]


def test_a_second_extraction_reads_nothing_again(bqx: Bqx) -> None:
    bqx.made("extract")
    assert bqx.json("extract", "eurusd")["resumed_tables"] == TABLES


def test_a_checkpoint_dir_may_hold_the_checkpoints_itself(bqx: Bqx, tmp_path: Path) -> None:
    bqx.made("extract")
    file = tmp_path / "direct.parquet"
    assert bqx("merge", "eurusd", "--checkpoint-dir", bqx.slabs, "--output", file).exit_code == 0
    assert file.is_file()


def test_a_checkpoint_dir_with_nothing_in_it_is_refused(bqx: Bqx, tmp_path: Path) -> None:
    result = bqx("merge", "eurusd", "--checkpoint-dir", tmp_path)
    assert result.exit_code == 1
    assert "MergeRefused" in result.stderr


def test_join_and_splice_give_equal_files(bqx: Bqx, tmp_path: Path) -> None:
    bqx.made("extract")
    for engine in ("join", "splice"):
        facts = bqx.json("merge", "eurusd", "--engine", engine, "--output", tmp_path / f"{engine}.parquet")
        assert facts["engine"] == engine
    assert pl.read_parquet(tmp_path / "join.parquet").equals(pl.read_parquet(tmp_path / "splice.parquet"))


def test_validate_exits_with_0_for_a_good_file_and_1_for_one_below_a_threshold(bqx: Bqx) -> None:
    file = bqx.made("extract", "merge").training_file
    good = bqx("validate", file, "--pair", "eurusd", "--required-targets", 7)
    assert good.exit_code == 0, good.output
    assert "PASS" in good.stdout
    bad = bqx.json("validate", file, "--pair", "eurusd", "--min-rows", 10**9, exit_code=1)
    assert bad["passed"] is False


def test_validate_uses_the_manifest_beside_the_file_to_find_a_flipped_byte(bqx: Bqx) -> None:
    file = bqx.made("extract", "merge").training_file
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    result = bqx("validate", file, "--pair", "eurusd")
    assert result.exit_code == 1
    assert re.search("crc|checksum", result.output, re.IGNORECASE)


@pytest.mark.parametrize("name", ["none.parquet", "other.parquet"])
def test_validate_exits_with_1_for_what_is_no_training_file(bqx: Bqx, name: str) -> None:
    (bqx.home / "other.parquet").write_bytes(b"PAR1 but no more")
    result = bqx("validate", bqx.home / name, "--pair", "eurusd")
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_diff_exits_with_0_for_the_same_values_1_for_others_and_2_where_it_cannot_say(bqx: Bqx, tmp_path: Path) -> None:
    """Two merges of the same tables, a join among them, differ in every checksum and in no value."""
    bqx.made("extract", "merge")
    joined = tmp_path / "joined.parquet"
    assert bqx("merge", "eurusd", "--engine", "join", "--output", joined).exit_code == 0
    same = bqx.json("diff", bqx.training_file, joined)
    assert (same["same"], same["by"]) == (True, "digests")
    assert same["a"]["content_digest"] == bqx.json("status")["pairs"][0]["content_digest"]
    other = tmp_path / "other.parquet"
    pl.read_parquet(joined).with_columns(target_bqx45_h15=0.0)[5:].write_parquet(other)
    found = bqx.json("diff", joined, other, exit_code=1)
    assert (found["by"], found["rows_only_in_a"]["count"]) == ("values", 5)
    assert [(each["column"], each["table"]) for each in found["columns"]] == [("target_bqx45_h15", "targets_eurusd")]
    assert "target_bqx45_h15" in bqx("diff", joined, other).stdout
    (tmp_path / "text.parquet").write_text("no parquet")
    for wrong in ("gone.parquet", "text.parquet"):
        assert bqx("diff", joined, tmp_path / wrong).exit_code == 2


def test_publish_puts_file_and_manifest_in_the_store_and_twice_is_once(bqx: Bqx) -> None:
    facts = bqx.made("extract", "merge").json("publish", "eurusd")
    assert Path(str(facts["uri"])).read_bytes() == bqx.training_file.read_bytes()
    assert Manifest.load(Path(str(facts["manifest_uri"]))).file.crc32c == facts["crc32c"]
    assert bqx.json("publish", "eurusd")["already_there"] is True


def test_publish_never_trusts_a_report_made_under_looser_thresholds(bqx: Bqx) -> None:
    bqx.made("extract", "merge")
    (bqx.home / "strict.toml").write_text("min_rows = 1_000_000_000\n" + _without(bqx, "min_rows"))
    strict = ["--pair", "eurusd", "--min-rows", 1]
    runner = CliRunner(env={"BQX_EXPECTATIONS": str(bqx.home / "strict.toml")})
    words = ["--home", str(bqx.home), "validate", str(bqx.training_file), *(str(word) for word in strict)]
    assert runner.invoke(app, words).exit_code == 0
    refused = runner.invoke(app, ["--home", str(bqx.home), "publish", "eurusd"])
    assert refused.exit_code == 1
    assert "ValidationFailed" in refused.stderr
    assert not (bqx.home / "bqx-ml-output" / "training_eurusd.parquet").exists()


@pytest.mark.parametrize("edit", ["flipped", "removed"])
def test_publish_never_trusts_a_report_found_on_disk(bqx: Bqx, edit: str) -> None:
    bqx.made("extract", "merge")
    (bqx.home / "strict.toml").write_text("min_rows = 1_000_000_000\n" + _without(bqx, "min_rows"))
    runner = CliRunner(env={"BQX_EXPECTATIONS": str(bqx.home / "strict.toml")})
    home = ["--home", str(bqx.home)]
    assert runner.invoke(app, [*home, "validate", str(bqx.training_file), "--pair", "eurusd"]).exit_code == 1
    kept = bqx.training_file.with_suffix(".report.json")
    facts = json.loads(kept.read_text())
    verdicts = facts["report"]["verdicts"]
    good = [each | {"passed": True} for each in verdicts] if edit == "flipped" else [v for v in verdicts if v["passed"]]
    kept.write_text(json.dumps(facts | {"report": facts["report"] | {"verdicts": good}}))
    refused = runner.invoke(app, [*home, "publish", "eurusd"])
    assert refused.exit_code == 1
    assert "dimensions" in refused.stderr
    assert not (bqx.home / "bqx-ml-output" / "training_eurusd.parquet").exists()


def test_a_file_exchanged_after_its_validation_is_not_published_whatever_lies_beside_it(bqx: Bqx) -> None:
    bqx.made("extract", "merge")
    assert bqx("validate", bqx.training_file, "--pair", "eurusd").exit_code == 0
    data = bytearray(bqx.training_file.read_bytes())
    before = crc32c(bytes(data))
    data[len(data) // 3] ^= 1
    bqx.training_file.write_bytes(data)
    for kind in ("manifest", "report"):
        beside = bqx.training_file.with_suffix(f".{kind}.json")
        beside.write_text(beside.read_text().replace(f": {before}", f": {crc32c(bytes(data))}"))
    assert bqx.json("publish", "eurusd", exit_code=1)["error"] == "ValidationFailed"


def test_verify_finds_rot_and_publishing_again_mends_it(bqx: Bqx) -> None:
    bqx.made("extract", "merge", "publish")
    assert bqx.json("verify", "--all")["verified"] is True
    published = bqx.home / "bqx-ml-output" / "training_eurusd.parquet"
    copy = Path(bqx.json("fetch", "eurusd")["path"])
    assert [each["state"] for each in bqx.json("verify", copy, published, "eurusd")["pairs"]] == ["done"] * 3
    copy.write_bytes(copy.read_bytes()[:-1])
    cure = bqx.json("verify", copy, exit_code=1)["pairs"][0]["cure"]
    assert cure == f"Copy it again: bqx fetch eurusd --pin {copy.parent.name} --to {copy.parent.parent}"
    bqx.json(*cure.partition("bqx ")[2].split())
    assert bqx.json("verify", copy)["verified"] is True
    assert bqx.json("verify", copy.with_name("gone.parquet"), exit_code=1)["pairs"][0]["got"] == "no such file"
    copy.with_suffix(".manifest.json").unlink()
    assert bqx.json("verify", copy, exit_code=1)["pairs"][0]["got"] == "no manifest beside it"
    done = bqx("validate", published, "--pair", "eurusd")
    assert done.exit_code == 0, done.output  # and leaves the published report as it is
    assert bqx.json("status")["pairs"][0]["published"] == "done"
    times = published.stat()
    data = bytearray(published.read_bytes())
    data[len(data) // 3] ^= 1
    published.write_bytes(data)
    os.utime(published, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert bqx.json("status")["pairs"][0]["published"] == "failed"
    assert bqx.json("verify", "eurusd", exit_code=1)["pairs"][0]["state"] == "failed"
    cure = bqx.json("verify", published, exit_code=1)["pairs"][0]["cure"]
    assert cure == "Publish it again: bqx publish eurusd", "fetching would only find the same bytes"
    assert "publish eurusd" in " ".join(bqx("verify", "eurusd").stdout.split())  # a narrow cell wraps its words
    assert bqx.json("publish", "eurusd")["already_there"] is False
    assert bqx.json("verify", "eurusd")["pairs"][0]["verified_by"] == "reading"
    assert bqx("verify").exit_code == 2


def test_checkpoints_are_cleaned_only_when_asked_and_published(bqx: Bqx) -> None:
    """Lesson 15: never before a verified copy, never a validated file."""
    bqx.made("extract", "merge", "publish")
    before = sorted(bqx.slabs.glob("*/*.parquet"))
    assert len(before) == TABLES + 1
    assert bqx("publish", "eurusd", "--clean-checkpoints").exit_code == 0
    assert list(bqx.slabs.glob("*/*.parquet")) == []
    assert bqx.training_file.is_file()


def test_status_shows_the_pairs_with_tables_and_their_stages(bqx: Bqx) -> None:
    facts = bqx.made("extract", "merge", "publish").json("status")
    pairs = {pair["pair"]: pair for pair in facts["pairs"]}
    assert {*pairs} == {"eurusd"}, "the pairs that have tables"
    stages = ("spine", "slabs", "merged", "validated", "published")
    assert {pairs["eurusd"][stage] for stage in stages} == {"done"}
    assert facts["published"] == 1
    assert "1 of 1 pairs published" in bqx("status").stdout


def test_a_missing_table_fails_extraction_by_name_and_keeps_the_rest(bqx: Bqx) -> None:
    assert bqx("warehouse", "spoil", bqx.home / "warehouse", "missing-table", "--pair", "eurusd").exit_code == 0
    facts = bqx.json("extract", "eurusd", exit_code=1)
    assert facts["error"] == "ExtractionIncomplete"
    assert bqx.json("status")["pairs"][0]["slabs_done"] == TABLES - 1
    assert bqx("merge", "eurusd").exit_code == 1


def test_colours_are_off_in_a_pipe_and_under_no_color(bqx: Bqx, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in bqx.made("extract")("status").output
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", bqx("status").output)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", bqx("status").output)


def _tables(bqx: Bqx) -> list[str]:
    return [slab.table for slab in ExtractionRecord.load(bqx.slabs / "extraction.json").features()]


def _without(bqx: Bqx, key: str) -> str:
    lines = (bqx.home / "warehouse" / "expectations.toml").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith(key))
