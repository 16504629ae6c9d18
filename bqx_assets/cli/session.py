"""Holds what every command needs: settings, consoles for results and for progress, and the cost of its work."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import BadSetting
from bqx_assets.base.printable import printable
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.settings import Settings
from bqx_assets.cli.progress import ConsoleProgress

_UV_RUN = "UV_RUN_RECURSION_DEPTH"
"""A variable that ``uv run`` sets for what it starts."""
_PLAIN_WIDTH = 140
"""Width of a line in a file or a pipe, where a table must not break at 80 characters."""


@dataclass(slots=True)
class Cost:
    """The time and the memory that a command's work took."""

    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(slots=True)
class Session:
    """One call of ``bqx`` with its global options. Results go to ``out``, progress and failures to ``err``."""

    home: Path | None = None
    debug: bool = False
    as_json: bool = False
    out: Console = field(default_factory=lambda: console(stderr=False))
    err: Console = field(default_factory=lambda: console(stderr=True))

    @property
    def bqx(self) -> str:
        """Return what starts another command in the same home."""
        return f"{invocation()} --home {shlex.quote(str(self.home))}" if self.home else invocation()

    def settings(self, **overrides: object) -> Settings:
        """Return the settings of the environment, replaced by the options that were given.

        Raises:
            BadSetting: a ``BQX_*`` variable outside its allowed values.
        """
        given: dict[str, Any] = {"home": self.home} | overrides
        stated = {name: value for name, value in given.items() if value is not None}
        try:
            return Settings(**stated)
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(["BQX", *(str(word).upper() for word in first["loc"])])
            raise BadSetting(
                name, got=repr(first["input"]), expected=first["msg"], cure="Correct the environment variable."
            ) from error

    @contextmanager
    def work(self) -> Generator[tuple[ConsoleProgress, Cost]]:
        """Return a context with a progress on ``err`` and a cost that is filled in when the context ends."""
        cost = Cost()
        began = time.perf_counter()
        with PeakMemory() as memory:
            try:
                with ConsoleProgress(self.err) as progress:
                    yield progress, cost
            finally:
                cost.seconds = time.perf_counter() - began
                cost.peak_bytes = max(cost.peak_bytes, memory.peak_bytes)
        cost.peak_bytes = max(cost.peak_bytes, memory.peak_bytes)

    def say(self, *lines: object) -> None:
        """Print results for people; nothing under ``--json``."""
        if not self.as_json:
            for line in lines:
                if isinstance(line, str | Text):
                    self.out.print(Text(printable(line)) if isinstance(line, str) else line, soft_wrap=True)
                else:
                    self._draw(line)

    def _draw(self, drawn: object) -> None:
        """Print a table. One whose columns may not be broken is never made narrower: the terminal wraps its lines."""
        width = self.out.width
        if isinstance(drawn, Table) and all(column.no_wrap for column in drawn.columns):
            whole = Measurement.get(self.out, self.out.options.update(width=_PLAIN_WIDTH), drawn).maximum
            self.out.width = max(width, whole)
        if self.out.is_terminal:
            self.out.print(drawn)
        else:
            self.out.print(Text(_without_padding(self.out, drawn)), soft_wrap=True)
        self.out.width = width

    def suggest(self, *words: object) -> None:
        """Print the command to type next, quoted for a shell, in the same home."""
        self.say(f"next: {self.bqx} {shlex.join(map(str, words))}")

    def answer(self, facts: dict[str, object] | Record) -> None:
        """Print the one JSON document of a command under ``--json``; nothing otherwise."""
        if self.as_json:
            plain = facts.model_dump(mode="json") if isinstance(facts, Record) else facts
            sys.stdout.write(json.dumps(plain, indent=1, default=str) + "\n")


def invocation() -> str:
    """Return what starts this program again in a shell: ``bqx`` if PATH leads to it, else the path it was called by."""
    if _UV_RUN in os.environ:
        return "uv run bqx"  # PATH leads to it for this process alone
    called = Path(sys.argv[0])
    if called.name != "bqx" or not called.is_file():
        return "bqx"
    found = shutil.which("bqx")
    return "bqx" if found is not None and called.samefile(found) else shlex.quote(sys.argv[0])


def _without_padding(out: Console, drawn: object) -> str:
    """Return a drawn table as text, without the blanks that fill each line up to the table's width."""
    with out.capture() as captured:
        out.print(drawn)
    return "\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n"))


class _EscapingConsole(Console):
    """A console that escapes control characters in all text, as a last defence against text that was not escaped."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the base's segments, escaped; Rich's own control segments, which move the cursor, stay as they are."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                lines = "\n".join(map(printable, segment.text.split("\n")))
                yield Segment(lines, segment.style)


def console(*, stderr: bool) -> Console:
    """Return a console on stdout or stderr; Rich chooses colours by the terminal and NO_COLOR."""
    made = _EscapingConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PLAIN_WIDTH
    return made
