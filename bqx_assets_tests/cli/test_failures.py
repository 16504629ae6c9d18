"""A failure, foreseen or not, is one block: class, subject, got, expected, cure."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bqx_assets.base.errors import CheckpointMismatch
from bqx_assets.cli.failures import Commands, failure_facts, show_failure
from bqx_assets.cli.main import app
from bqx_assets.cli.session import Session

ERROR = CheckpointMismatch(
    "eurusd/corr_bqx",
    got="99,998 rows [of list[f64]]",
    expected="100,000",
    cure="Re-extract with: bqx extract eurusd --table corr_bqx",
)


def _shown(error: CheckpointMismatch, **options: object) -> str:
    text = io.StringIO()
    show_failure(Console(file=text, width=100, **options), error)  # type: ignore[arg-type]
    return text.getvalue()


def test_a_failure_shows_its_class_and_four_parts_without_a_traceback() -> None:
    assert [line.rstrip() for line in _shown(ERROR).splitlines()] == [
        "✗ CheckpointMismatch  eurusd/corr_bqx",
        "  got       99,998 rows [of list[f64]]",
        "  expected  100,000",
        "  cure      Re-extract with: bqx extract eurusd --table corr_bqx",
    ]


def test_a_failure_is_red_on_a_terminal_and_plain_under_no_color() -> None:
    assert "\x1b[1;31m" in _shown(ERROR, force_terminal=True, color_system="standard")
    assert "31m" not in _shown(ERROR, force_terminal=True, color_system="standard", no_color=True)


def test_a_failure_that_names_hundreds_of_tables_stays_readable_and_whole_in_json() -> None:
    names = ", ".join(f"table_{number}" for number in range(667))
    error = CheckpointMismatch("eurusd", got=names, expected="none", cure="Mend them.")
    assert len(_shown(error)) < 4_000
    assert failure_facts(error)["got"] == names


def _panic() -> None:
    """As a library in Rust ends where a check of its own fails."""
    raise pl.exceptions.PanicException("called unwrap on None\nin decode")


def _fail() -> None:
    raise ZeroDivisionError


def _exhaust() -> None:
    raise MemoryError


def _app(work: Callable[[], None], *, as_json: bool = False) -> typer.Typer:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.callback()
    def options(ctx: typer.Context, *, debug: bool = False) -> None:
        ctx.obj = Session(debug=debug, as_json=as_json)

    @app.command(name="work")
    def command() -> None:
        work()

    assert options is not None
    assert command is not None
    return app


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tracebacks are kept."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("work", "got"),
    [(_panic, "PanicException: called unwrap on None"), (_fail, "ZeroDivisionError: ZeroDivisionError")],
)
def test_an_unforeseen_end_is_one_failure_and_its_traceback_is_in_the_file_it_names(
    kept: Path, work: Callable[[], None], got: str
) -> None:
    result = CliRunner().invoke(_app(work), ["work"])
    (file,) = kept.iterdir()
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert all(f"\n  {part}" in result.stderr for part in ("got", "expected", "cure"))
    assert got in result.stderr
    assert str(file) in "".join(result.stderr.split())
    assert "Traceback" in file.read_text()
    assert work.__name__ in file.read_text()


def test_debug_shows_the_traceback_of_an_unforeseen_end(kept: Path) -> None:
    assert "ZeroDivisionError" in CliRunner().invoke(_app(_fail), ["--debug", "work"]).stderr
    assert [path.suffix for path in kept.iterdir()] == [".txt"]


def test_without_a_place_for_the_traceback_the_failure_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    result = CliRunner().invoke(_app(_fail), ["work"])
    assert result.exit_code == 1
    assert "--debug" in result.stderr


@pytest.mark.parametrize(
    ("words", "error", "got"),
    [
        (["plan", "eurusx", "--json"], "UnknownPair", "eurusx"),
        (["merge", "eurusd", "--json", "--output", "gs://bucket/x"], "BadSetting", "gs://bucket/x"),
        (["merge", "eurusd", "--engine", "zip", "--json"], "UsageError", "zip"),
        (["validate", "x.parquet", "--json"], "UsageError", "--pair"),
        (["extract", "eurusd", "--workers=-1", "--json"], "UsageError", "--workers"),
    ],
)
def test_under_json_a_wrong_word_is_a_document_wherever_it_stands(words: list[str], error: str, got: str) -> None:
    result = CliRunner().invoke(app, words)
    document = json.loads(result.stdout)
    assert (document["error"], document["exit_code"], result.exit_code) == (error, 2, 2)
    assert got in document["got"]


def test_under_json_an_unforeseen_end_is_a_document(kept: Path) -> None:
    result = CliRunner().invoke(_app(_panic, as_json=True), ["work"])
    assert json.loads(result.stdout)["error"] == "Unforeseen"
    assert len([*kept.iterdir()]) == 1


def test_a_lack_of_memory_is_called_so(kept: Path) -> None:
    result = CliRunner().invoke(_app(_exhaust), ["work"])
    assert "NotEnoughMemory" in result.stderr
    assert result.exit_code == 1
    assert [*kept.iterdir()] == []


def test_a_wrong_word_is_still_typers_own_refusal(kept: Path) -> None:
    assert CliRunner().invoke(_app(_fail), ["other"]).exit_code == 2
    assert [*kept.iterdir()] == []
