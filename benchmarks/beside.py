"""Runs a server in a process of its own beside what is measured, and asks it for its counts."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Counts = dict[str, float]
"""The counts of a server, by name."""
Running = tuple[str, Callable[[], Counts]]
"""A server's address, and the function that returns its counts since its start."""
_START_SECONDS = 600
_STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Beside:
    """A running server, and the pipe to its process."""

    address: str
    _pipe: Any

    def counts(self) -> Counts:
        """Return the server's counts since its start, with the processor seconds it has used."""
        self._pipe.send("counts")
        return self._pipe.recv()


@contextmanager
def beside(make: Callable[..., AbstractContextManager[Running]], *arguments: object) -> Generator[Beside]:
    """Run ``make(*arguments)`` in a process of its own for the block; ``make`` is a function of a module."""
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
        here.close()  # ends the process
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
