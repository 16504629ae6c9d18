"""Shows a failure as one block, or as JSON: class, subject, got, expected, cure."""

from __future__ import annotations

import re

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bqx_assets.base.errors import BqxError

_COMMAND = re.compile(r"(?<![\w./-])bqx (?=[a-z-])")
_SHOWN_CHARACTERS = 2_000
"""Of one part: a failure that names 667 tables still fits on a screen or two."""


def show_failure(console: Console, error: BqxError, bqx: str = "bqx") -> None:
    """Print a failure as one red block; ``bqx`` is what starts the program, for the commands of its cure."""
    console.print(
        Text.assemble((f"✗ {type(error).__name__}", "bold red"), "  ", (error.subject, "bold")), soft_wrap=True
    )
    parts = Table.grid(padding=(0, 2))
    parts.add_column(style="red", no_wrap=True)
    parts.add_column(overflow="fold")
    for name, text in (("got", error.got), ("expected", error.expected), ("cure", pasteable(error.cure, bqx))):
        parts.add_row(name, Text(_cut(text)))
    console.print(Padding(parts, (0, 0, 0, 2), expand=False))


def pasteable(cure: str, bqx: str) -> str:
    """Return a cure whose commands start the program as ``bqx`` does, with the same home."""
    return _COMMAND.sub(lambda _: f"{bqx} ", cure)


def failure_facts(error: BqxError) -> dict[str, object]:
    """Return a failure as JSON has it, whole."""
    return {
        "error": type(error).__name__,
        "subject": error.subject,
        "got": error.got,
        "expected": error.expected,
        "cure": error.cure,
        "exit_code": error.exit_code,
    }


def _cut(text: str) -> str:
    more = len(text) - _SHOWN_CHARACTERS
    return text if more <= 0 else f"{text[:_SHOWN_CHARACTERS]} ... and {more:,} characters more (--json has all)"
