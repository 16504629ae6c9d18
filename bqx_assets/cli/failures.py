"""Turns what a command raises into an exit code and one block of text, or JSON: subject, got, expected, cure."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bqx_assets.base.errors import BadSetting, BqxError, NotEnoughMemory, SystemRefused, Unforeseen, UsageError
from bqx_assets.base.printable import first_line
from bqx_assets.cli.entry import INTERRUPTED, SENTENCE
from bqx_assets.cli.session import Session, console

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PANIC = "PanicException"
_COMMAND = re.compile(r"(?<![\w./-])bqx (?=[a-z-])")
_SHOWN_CHARACTERS = 2_000
"""Greatest length of one part of a failure that is shown: a failure that names 667 tables fits on two screens."""


class Commands(TyperGroup):
    """A group of commands that end with 0 (done), 1 (failed), 2 (wrong usage) or 130 (interrupted)."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:  # noqa: ANN401 -- the base's
        """Refuse words with control characters, which would act on the terminal, then run as the base does."""
        for word in sys.argv[1:] if args is None else args:
            if _UNFIT.search(word):
                error = BadSetting(
                    "command line",
                    got=repr(word[:80]),
                    expected="words without control characters, in UTF-8",
                    cure="Rename the file or folder.",
                )
                show_failure(console(stderr=True), error)
                sys.exit(error.exit_code)
        return super().main(args, *more, **options)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 -- the class of the base's context is private to Typer
        """Run the command; turn what it raises into a message and an exit code."""
        try:
            return super().invoke(ctx)
        except BqxError as error:
            _tell(ctx, error)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # `bqx status | head`: Typer ends quietly
        except OSError as error:
            _tell(ctx, SystemRefused.of(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            console(stderr=True).print(SENTENCE)
            raise typer.Exit(INTERRUPTED) from error
        except TyperException as error:  # Typer itself shows it to people
            facts = UsageError(
                "command line",
                got=error.format_message(),
                expected="words as --help shows them",
                cure="Add --help to the command.",
            )
            _session(ctx).answer(failure_facts(facts))
            raise
        except (typer.Exit, typer.Abort):
            raise
        except MemoryError as error:
            _tell(ctx, _out_of_memory(error))
            raise typer.Exit(1) from error
        except BaseException as error:
            # A panic of a Rust library is not an Exception; each such library has a class of its own with this name.
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            _tell(ctx, _unforeseen(error))
            raise typer.Exit(1) from error


def _out_of_memory(error: MemoryError) -> NotEnoughMemory:
    return NotEnoughMemory(
        _called(),
        got=f"the system gave no more memory: {first_line(error)}",
        expected="the memory that the work needs",
        cure="End other programs, or give this one more memory (a container's limit counts), then run again.",
    )


def _unforeseen(error: BaseException) -> Unforeseen:
    """Return the failure for an error that nothing expects; its traceback is kept in a file for the maintainers."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="bqx-", suffix=".traceback.txt", delete=False) as file:
            file.write(f"{_called()}\n{''.join(traceback.format_exception(error))}")
        kept = f"The traceback is in {Path(file.name)}: send it to the maintainers"
    except OSError:
        kept = "Send the traceback to the maintainers"
    return Unforeseen(
        _called(),
        got=f"{type(error).__name__}: {first_line(error)}",
        expected="an end that bqx foresees",
        cure=f"{kept}; bqx --debug, followed by the same words, shows it here.",
    )


def _called() -> str:
    return shlex.join(["bqx", *sys.argv[1:]])


def _tell(ctx: typer.Context, error: BqxError) -> None:
    session = _session(ctx)
    if session.debug:
        session.err.print_exception()
    show_failure(session.err, error, session.bqx)
    session.answer(failure_facts(error))
    sys.stdout.flush()


def _session(ctx: typer.Context) -> Session:
    return ctx.obj if isinstance(ctx.obj, Session) else Session()


def show_failure(out: Console, error: BqxError, bqx: str = "bqx") -> None:
    """Print a failure as one red block; ``bqx`` is what starts the program, for the commands of its cure."""
    out.print(Text.assemble((f"✗ {type(error).__name__}", "bold red"), "  ", (error.subject, "bold")), soft_wrap=True)
    parts = Table.grid(padding=(0, 2))
    parts.add_column(style="red", no_wrap=True)
    parts.add_column(overflow="fold")
    for name, text in (("got", error.got), ("expected", error.expected), ("cure", pasteable(error.cure, bqx))):
        parts.add_row(name, Text(_cut(text)))
    out.print(Padding(parts, (0, 0, 0, 2), expand=False))


def pasteable(cure: str, bqx: str) -> str:
    """Return a cure with its ``bqx`` commands as they must be typed here: by ``bqx``, which names the home as well."""
    return _COMMAND.sub(lambda _: f"{bqx} ", cure)


def failure_facts(error: BqxError) -> dict[str, object]:
    """Return a failure for ``--json``, uncut."""
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
