"""The group that all commands run in: failures become one block and an exit code, Ctrl-C ends without a traceback.

Belongs here: what happens around every command. Does not: any command.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from bqx_assets.base.errors import BadSetting, BqxError, SystemRefused
from bqx_assets.console.failures import failure_facts, show_failure
from bqx_assets.console.session import Session, console

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
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


def _tell(ctx: typer.Context, error: BqxError) -> None:
    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    if session.debug:
        session.err.print_exception()
    show_failure(session.err, error)
    session.answer(failure_facts(error))
    sys.stdout.flush()
