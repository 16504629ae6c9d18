"""Starts ``bqx``, and makes Ctrl-C end it with 130 and a sentence before anything heavy is imported."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""Exit code that a shell reports for a program that SIGINT ended."""
SENTENCE = "interrupted: finished work is kept, and the same command continues from there"


def main() -> None:
    """Run ``bqx``. The second Ctrl-C ends the process at once, and so does one outside of a command's work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Latin-1 terminal has no ✓, which must not end the program
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # the caller ignores Ctrl-C, as nohup does
        _commands()
        return
    signal.signal(signal.SIGINT, _end)
    heard: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        heard.append(number)
        signal.signal(signal.SIGINT, _end)
        raise KeyboardInterrupt

    try:
        _commands(interrupt)
    except KeyboardInterrupt:
        _end(signal.SIGINT, None)
    except SystemExit as ending:
        signal.signal(signal.SIGINT, _end)
        if heard:
            sys.stdout.flush()
            if ending.code != INTERRUPTED:  # a library caught the interrupt and gave it another exit code
                _end(signal.SIGINT, None)
            # A normal exit would wait up to two minutes for threads whose server does not answer.
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


def _commands(interrupt: Callable[[int, FrameType | None], None] | None = None) -> None:
    from bqx_assets.cli.main import main as run  # noqa: PLC0415 -- takes a second, after the handler is set

    if interrupt is not None:
        signal.signal(signal.SIGINT, interrupt)
    run()


def _end(_number: int, _: FrameType | None) -> None:
    os.write(2, f"{SENTENCE}\n".encode())
    os._exit(INTERRUPTED)
