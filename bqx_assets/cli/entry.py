"""Starts ``bqx``, and makes Ctrl-C end it with 130 and a sentence before anything heavy is imported."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
"""Exit code that a shell reports for a program that SIGINT ended."""
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Variables that libraries read when they are imported, and glibc when a program starts.

``bqx`` and the container give them these values unless they are set.

Arrow's own allocator returns freed memory to the kernel, which clears each page before it gives it out again. With the
system's allocator an extraction takes 0.88 to 0.96 times the processor time and 0.8 times the memory, a raw merge 0.94
times the processor time (``python -m benchmarks.extract``, 40 tables; ``benchmarks.merge``, 60 tables). Arrow lets a
program choose only in this way: its parquet writer ignores ``pyarrow.set_memory_pool``.

glibc gives threads arenas of their own, up to eight a processor, and what is free in one is of no use to the others.
With two arenas an extraction takes 0.72 times the memory, 640 in place of 870 MB, in 0.97 times the processor time
(``benchmarks.extract``, 40 tables, in turns), and a raw merge 0.93 times the memory."""
_ARENA_MAX = -8
"""The number of ``MALLOC_ARENA_MAX`` for ``mallopt``."""
SENTENCE = "interrupted: finished work is kept, and the same command continues from there"


def main() -> None:
    """Run ``bqx``. The second Ctrl-C ends the process at once, and so does one outside of a command's work."""
    _limit_arenas()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
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


def _limit_arenas() -> None:
    """Do for this process what the variable does for those that it starts; nothing where the libc is not glibc."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, int(ENVIRONMENT["MALLOC_ARENA_MAX"]))


def _commands(interrupt: Callable[[int, FrameType | None], None] | None = None) -> None:
    from bqx_assets.cli.main import main as run  # noqa: PLC0415 -- takes a second, after the handler is set

    if interrupt is not None:
        signal.signal(signal.SIGINT, interrupt)
    run()


def _end(_number: int, _: FrameType | None) -> None:
    os.write(2, f"{SENTENCE}\n".encode())
    os._exit(INTERRUPTED)
