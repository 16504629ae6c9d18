"""Shows progress to people: as bars on a terminal, as a line now and then anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from bqx_assets.base.printable import printable
from bqx_assets.base.process import resident_bytes
from bqx_assets.base.progress import QUIET_SECONDS

_LINE_SECONDS = 5.0
_LINE_SHARE = 10
"""Outside of a terminal a stage prints a line after each tenth of its steps, or after 5 s: not one line per table."""
_ITEM_WIDTH = 34


class ElapsedColumn(ProgressColumn):
    """A column with the seconds of a stage, to one decimal."""

    def render(self, task: Task) -> Text:
        """Return the time so far; the final time of a finished stage."""
        seconds = task.finished_time if task.finished else task.elapsed
        return Text(f"{seconds or 0:6.1f} s", style="dim")


class ConsoleProgress:
    """A ``Progress`` on a console, and a context manager that ends the bars.

    Safe to call from several threads.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}
        self._said = clock()
        self._bars: Bars | None = _bars(console) if console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""
        with self._lock:
            self._stages[stage] = _Stage(total, self._clock())
            if self._bars:
                old = self._tasks.pop(stage, None)
                if old is not None:
                    self._bars.remove_task(old)
                self._tasks[stage] = self._bars.add_task(stage, total=total, item="")
            elif total > 1:
                self._line(f"{stage:<9} 0/{total:,}")

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Count one step and show the item it was about."""
        with self._lock:
            state = self._stages.setdefault(stage, _Stage(0, self._clock()))
            state.done += 1
            subject = printable(f"{item} ({note})" if note else item)
            if self._bars and stage in self._tasks:
                self._said = self._clock()  # a moving bar needs no line
                self._bars.update(self._tasks[stage], advance=1, item=subject[:_ITEM_WIDTH])
            elif state.due(self._clock()):
                self._line(state.line(stage, subject, self._clock()))

    def warn(self, stage: str, message: str) -> None:
        """Show a warning above the bars."""
        with self._lock:
            self._line(f"! {stage}: {printable(message)}", style="yellow")

    def wait(self, stage: str, message: str) -> None:
        """Say what the program waits for, unless it said something within the last seconds."""
        with self._lock:
            if self._clock() - self._said >= QUIET_SECONDS * 7 / 8:
                self._line(f"  {stage}: {printable(message)}", style="dim")

    def _line(self, text: str, style: str = "") -> None:
        self._said = self._clock()
        console = self._bars.console if self._bars else self._console
        console.print(Text(text, style=style), soft_wrap=True)


class _Stage:
    """The progress of one stage, and the time of its last line."""

    def __init__(self, total: int, now: float) -> None:
        self.total, self.done, self.began, self.said, self.tenth = total, 0, now, now, 0

    def due(self, now: float) -> bool:
        """Return whether it is time for a line, and if so count it as printed."""
        tenth = self.done * _LINE_SHARE // self.total if self.total else 0
        if tenth == self.tenth and now - self.said < _LINE_SECONDS:
            return False
        self.tenth, self.said = tenth, now
        return True

    def line(self, stage: str, subject: str, now: float) -> str:
        """Return the line: steps done, seconds, memory, and the item."""
        memory = f"{resident_bytes() / 1e6:,.0f} MB resident"
        return f"{stage:<9} {self.done:,}/{self.total:,}  {now - self.began:.1f} s  {memory}  {subject}"


class _MemoryColumn(ProgressColumn):
    """A column with the resident memory of this process."""

    def render(self, task: Task) -> Text:
        return Text("" if task.finished else f"{resident_bytes() / 1e6:,.0f} MB", style="dim")


class _ItemColumn(ProgressColumn):
    """A column with the item of the last step, cut where the line ends."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["item"], style="dim", no_wrap=True, overflow="ellipsis")


def _bars(console: Console) -> Bars:
    return Bars(
        SpinnerColumn(finished_text=Text("✓", style="green")),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=16),
        # In a narrow terminal the bar and the item become shorter, and the numbers stay on one line.
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        ElapsedColumn(table_column=Column(no_wrap=True)),
        _MemoryColumn(table_column=Column(no_wrap=True)),
        _ItemColumn(),
        console=console,
        refresh_per_second=8,
    )
