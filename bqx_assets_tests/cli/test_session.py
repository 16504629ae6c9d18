"""Nothing that others wrote reaches the terminal as it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from bqx_assets.base.errors import TableDefect
from bqx_assets.cli.failures import show_failure
from bqx_assets.cli.progress import ConsoleProgress
from bqx_assets.cli.results import plain_table, report_line, verdict_table
from bqx_assets.cli.session import Session, console, invocation
from bqx_assets.quality.report import Report, Verdict

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202eb\r\n✓ published [red]x[/red]\udcff"
SHOWN = r"a\x1b[2J\x1b]0;title\x07\x9b31m\u202eb\r\n✓ published [red]x[/red]\udcff"


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("COLUMNS", "400")
    if request.param:
        monkeypatch.setenv("FORCE_COLOR", "1")
    made = console(stderr=False)
    made.file = io.StringIO()
    return made


def _written(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    text = made.file.getvalue()
    text.encode()
    return text


def _verdict() -> Verdict:
    return Verdict(
        rule="targets", passed=False, got=EVIL, expected=EVIL, cure=EVIL, evidence={"names": [EVIL, 1], "x": EVIL}
    )


def test_errors_tables_sentences_and_progress_show_a_name_escaped(made: Console) -> None:
    session = Session(out=made, err=made)
    show_failure(made, TableDefect(EVIL, got=EVIL, expected=EVIL, cure=EVIL))
    session.say(f"  1 quarantined: {EVIL}", verdict_table([_verdict()]))
    progress = ConsoleProgress(made)
    progress.start("merge", 1)
    progress.warn("merge", EVIL)
    progress.advance("merge", EVIL, EVIL)
    text = _written(made)
    assert "\x1b[2J" not in text
    assert not {"\x07", "\x9b", "\u202e", "\r", "\udcff"} & {*text}
    assert text.count(SHOWN) >= 4 + 1 + 3 + 1
    assert not any(line.lstrip().startswith("✓ published") for line in text.splitlines())


def test_what_was_not_escaped_before_is_stopped_by_the_console(made: Console) -> None:
    table = plain_table("name")
    table.add_row(Text(EVIL.replace("\udcff", "")))
    made.print(table, Text(EVIL.replace("\udcff", "")), EVIL.replace("\udcff", ""))
    assert "\x1b[2J" not in _written(made)
    assert not {"\x07", "\x9b", "\u202e"} & {*_written(made)}


@pytest.mark.parametrize(
    ("called", "path", "uv", "typed"),
    [
        ("{there}/bqx", "{there}", None, "bqx"),
        ("{there}/bqx", "/nowhere", None, "'{there}/bqx'"),
        ("{there}/bqx", "{there}", "1", "uv run bqx"),
        ("-c", "/nowhere", None, "bqx"),
    ],
)
def test_a_printed_command_starts_the_program_as_a_shell_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, path: str, uv: str | None, typed: str
) -> None:
    program = tmp_path / "a b" / "bqx"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setattr("sys.argv", [called.format(there=program.parent)])
    monkeypatch.setenv("PATH", path.format(there=program.parent))
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    if uv:
        monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", uv)
    assert invocation() == typed.format(there=program.parent)


def test_a_verdict_is_escaped_when_it_is_made_and_read_back_the_same() -> None:
    verdict = _verdict()
    assert (verdict.got, verdict.cure) == (SHOWN, SHOWN)
    assert verdict.evidence["names"] == [SHOWN, 1]
    assert "\x1b" not in str(verdict.evidence["x"])
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_file_of_such_a_name_is_shown_escaped(made: Console) -> None:
    facts = {"rows": 1, "columns": 1, "deep": True, "seconds": 1.0, "peak_bytes": 1, "verdicts": []}
    report = Report.model_validate({"pair": "eurusd", "file": f"{EVIL[:-1]}", "created_at": "2026-01-01", **facts})
    made.print(report_line(report))
    assert SHOWN.removesuffix(r"\udcff") in _written(made)


@pytest.mark.parametrize("word", ["a\x1b[31m.parquet", "a\nb.parquet", "a\udcff.parquet", "\x9b"])
def test_a_word_of_the_command_line_that_would_act_on_the_terminal_is_refused(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from bqx_assets.cli.main import app  # noqa: PLC0415 -- the command line, for this test alone

    with pytest.raises(SystemExit) as caught:
        app(["validate", word, "--pair", "eurusd"])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert "BadSetting" in told
    assert word not in told
