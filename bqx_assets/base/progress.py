"""How a stage tells that it is moving: a protocol the command line and Dagster each implement.

Belongs here: the protocol and the silent default. Does not: drawing or logging.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives a stage's steps, from any thread."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage ("extract", "merge", "validate", "publish", ...) of ``total`` steps."""
        ...

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """One step is done: ``item`` is its subject (a table), ``note`` what is worth saying ("resumed")."""
        ...

    def warn(self, stage: str, message: str) -> None:
        """Something a user should see, that stops nothing."""
        ...


class Silent:
    """Progress that goes nowhere."""

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, stage: str, item: str, note: str = "") -> None:
        """Ignore."""

    def warn(self, stage: str, message: str) -> None:
        """Ignore."""
