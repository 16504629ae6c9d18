"""A server in a process of its own beside what is measured: its address, and its counts when asked.

Belongs here: that process and the talk with it. Does not: any server.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Counts = dict[str, float]
"""What a server counts, by name."""
Running = tuple[str, Callable[[], Counts]]
"""A server's address, and what gives its counts since its start."""
_START_SECONDS = 600
_STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Beside:
    """A running server."""

    address: str
    _pipe: Any

    def counts(self) -> Counts:
        """Return its counts since its start, its processor seconds among them."""
        self._pipe.send("counts")
        return self._pipe.recv()


@contextmanager
def beside(make: Callable[..., AbstractContextManager[Running]], *arguments: object) -> Generator[Beside]:
    """Run ``make(*arguments)`` in a process of its own for the block. ``make`` is a module's function."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there, make, arguments), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(_START_SECONDS):
            raise TimeoutError(f"{make.__name__} did not start")
        yield Beside(here.recv(), here)
    finally:
        here.close()  # ends it
        process.join(_STOP_SECONDS)
        process.kill()


def _run(pipe: Connection, make: Callable[..., AbstractContextManager[Running]], arguments: tuple[object, ...]) -> None:
    with make(*arguments) as (address, counts):
        pipe.send(address)
        while True:
            try:
                pipe.recv()
            except (EOFError, OSError):
                return
            pipe.send({**counts(), "cpu_seconds": sum(os.times()[:2])})
