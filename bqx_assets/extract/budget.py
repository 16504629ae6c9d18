"""A memory budget that lets tables in only while their estimated sizes fit.

Belongs here: the gate. Does not: estimating from a file, or measuring.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class MemoryBudget:
    """Admits work while the sum of admitted estimates stays within ``limit_bytes``; always admits one alone.

    Workers decide how many tables are in work at once, this how wide they may be together: two tables of 232 columns
    by 2.16 million rows would need 16 GB where two of 13 need 0.9.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._in_use_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, estimate_bytes: int) -> Generator[None]:
        """Wait until ``estimate_bytes`` fit, and hold them for the block."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._in_use_bytes or self._in_use_bytes + estimate_bytes <= self.limit_bytes
            )
            self._in_use_bytes += estimate_bytes
        try:
            yield
        finally:
            with self._changed:
                self._in_use_bytes -= estimate_bytes
                self._changed.notify_all()
