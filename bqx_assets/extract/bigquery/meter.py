"""What reading has cost so far, and the cap on it.

Belongs here: bytes as BigQuery bills them, counted and capped per warehouse object. Does not: prices.
"""

from __future__ import annotations

import threading

from bqx_assets.base.errors import BudgetExceeded


class Meter:
    """Counts the bytes of read sessions; refuses the session that would go over the cap. For several threads."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._lock = threading.Lock()

    @property
    def read_bytes(self) -> int:
        """Bytes of all sessions admitted so far."""
        return self._read_bytes

    def admit(self, session_bytes: int, subject: str) -> None:
        """Count a session that has not been read from yet.

        ``session_bytes`` is the server's own estimate of what the session scans, after partition pruning: the plan's
        estimate rests on table metadata, so a table that grew since is caught here.

        Raises:
            BudgetExceeded: it would go over the cap. Creating a session is free, so nothing was spent on it.
        """
        with self._lock:
            total = self._read_bytes + session_bytes
            if self._max_bytes and total > self._max_bytes:
                raise BudgetExceeded(
                    subject,
                    got=f"{session_bytes:,} bytes to read after {self._read_bytes:,}",
                    expected=f"at most {self._max_bytes:,} bytes in all (BQX_MAX_BYTES)",
                    cure="Raise the cap, or narrow BQX_LAST, BQX_START, BQX_END; what is saved is not read again.",
                )
            self._read_bytes = total
