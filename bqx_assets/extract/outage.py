"""Whether a warehouse answers at all: known to all reads of one warehouse object, and the one place where they end.

Belongs here: the time since rows last arrived from anywhere, and ending every read at once. Does not: which failures
may pass, or how often one read is tried (the adapter), what becomes of the run (``pair``).

A network that is gone is gone for all 667 tables of a pair. Each for itself would find that out in 97 seconds.
"""

from __future__ import annotations

import threading
import time

from bqx_assets.base.errors import ReadsEnded

FIRST_SECONDS = 30.0
"""Without an answer before any row has arrived. A run that has nothing yet loses nothing by ending."""
LASTING_SECONDS = 150.0
"""Without a row from any table, while every call fails: longer than any passing fault of BigQuery's that was seen."""
_FEWEST_FAILURES = 2
"""Of one read: the first of them may have been a request that hung."""


class Outage:
    """What the reads of a warehouse know of each other. For several threads."""

    def __init__(self, *, first_seconds: float = FIRST_SECONDS, lasting_seconds: float = LASTING_SECONDS) -> None:
        self._first_seconds, self._lasting_seconds = first_seconds, lasting_seconds
        self._arrived: float | None = None
        self._since: float | None = None
        self._why = ""
        self._lasts = False
        self._ended = threading.Event()

    @property
    def lasts(self) -> bool:
        """Whether nothing arrived for so long that it is taken as lasting."""
        return self._lasts

    @property
    def now(self) -> bool:
        """Whether a call has failed since anything last arrived from anywhere."""
        return self._since is not None

    def words(self) -> str:
        """Return for how long nothing has arrived, and why by the last failure; empty while rows flow."""
        since = self._since
        return "" if since is None else f"nothing arrived for {time.monotonic() - since:.0f} s ({self._why})"

    def arrived(self) -> None:
        """Rows arrived, from any table: whatever failed before has passed."""
        self._arrived = time.monotonic()
        self._since = None

    def answered(self) -> None:
        """A call was answered that brings no rows: it ends a silence, and does not make one to come last longer."""
        self._since = None

    def failed(self, why: str, *, began: float, failures: int, busy: bool = False) -> bool:
        """Note the failure of a call that ``began`` then (monotonic); return whether the outage is a lasting one.

        ``failures`` counts those of this read in a row. ``busy``: the service answers, and asks to be called less
        often. Its limits are counted by the minute, so this may last longer than ``FIRST_SECONDS`` and pass.
        """
        self._why = why
        if self._since is None:
            self._since = max(began, self._arrived or began)
        limit = self._first_seconds if self._arrived is None and not busy else self._lasting_seconds
        if failures >= _FEWEST_FAILURES and time.monotonic() - self._since >= limit:
            self._lasts = True
        return self._lasts

    def end(self) -> None:
        """End every read, wherever it waits; no further one begins."""
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Wait before a next try. Raises ReadsEnded as :meth:`go_on` does, at once."""
        self._ended.wait(seconds)
        self.go_on()

    def go_on(self) -> None:
        """Do nothing while reads may go on.

        Raises:
            ReadsEnded: the run ends.
        """
        if self._ended.is_set():
            raise ReadsEnded(
                "warehouse",
                got="the run ends, by a refusal that holds for all its tables or by an interruption",
                expected="a run that goes on",
                cure="What is finished is saved; run the same command again.",
            )
