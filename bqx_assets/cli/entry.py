"""Starts ``bqx``: from here on Ctrl-C ends it with 130 and a sentence; nothing heavy is imported before."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended."""
SENTENCE = "interrupted: what is finished stays, the same command goes on from there"


def main() -> None:
    """Run ``bqx``. The second Ctrl-C, and one outside of a command's work, end the process at once."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of Latin-1 has no ✓, and is no reason to fail
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as after nohup: not ours to change
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
            if ending.code != INTERRUPTED:  # something below took the interrupt for its own, as a parser does
                _end(signal.SIGINT, None)
            # Python would wait for threads that still ask a server that does not answer: for two minutes.
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


def _commands(interrupt: Callable[[int, FrameType | None], None] | None = None) -> None:
    from bqx_assets.cli.main import main as run  # noqa: PLC0415 -- a second of imports, after the handler is set

    if interrupt is not None:
        signal.signal(signal.SIGINT, interrupt)
    run()


def _end(_number: int, _: FrameType | None) -> None:
    os.write(2, f"{SENTENCE}\n".encode())
    os._exit(INTERRUPTED)
