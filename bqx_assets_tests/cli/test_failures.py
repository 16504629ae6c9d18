"""A failure is one block: class, subject, got, expected, cure."""

from __future__ import annotations

import io

from rich.console import Console

from bqx_assets.base.errors import CheckpointMismatch
from bqx_assets.cli.failures import failure_facts, show_failure

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
