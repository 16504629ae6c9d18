"""Runs every command: a failure becomes one block and an exit code, Ctrl-C ends it without a traceback."""

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
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bqx_assets.base.errors import BadSetting, BqxError, NotEnoughMemory, SystemRefused, Unforeseen
from bqx_assets.base.printable import first_line
from bqx_assets.cli.failures import failure_facts, show_failure
from bqx_assets.cli.session import Session, console

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PANIC = "PanicException"
INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended; ``entry`` has it for the rest of the process."""


class Commands(TyperGroup):
    """Exit codes: 0 done, 1 failed, 2 wrongly called, 130 interrupted."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:  # noqa: ANN401 -- the base's
        """Refuse words that would act on the terminal they are shown on, then run as the base does."""
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
            console(stderr=True).print("interrupted: what is finished stays, the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from error
        except (TyperException, typer.Exit, typer.Abort):
            raise
        except MemoryError as error:
            _tell(ctx, _out_of_memory(error))
            raise typer.Exit(1) from error
        except BaseException as error:
            # A panic of a library in Rust is no Exception; each such library has a class of its own by this name.
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
    """The last resort: a traceback helps whoever mends the program, so it is kept in a file and not shown."""
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
        cure=f"{kept}; bqx --debug, with the same words behind it, shows it here.",
    )


def _called() -> str:
    return shlex.join(["bqx", *sys.argv[1:]])


def _tell(ctx: typer.Context, error: BqxError) -> None:
    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    if session.debug:
        session.err.print_exception()
    show_failure(session.err, error, session.bqx)
    session.answer(failure_facts(error))
    sys.stdout.flush()
