"""How long a read waits, for an answer and between tries.

Belongs here: deadlines, tries, waits with jitter. Does not: which failures are worth another try (``failures``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bqx_assets.extract.bigquery.failures import refusal_of


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines and waits of one read."""

    deadline_seconds: float = 60.0
    """Of one call. A stream that is still flowing then is resumed at its offset, so this bounds a hang, not a read."""
    tries: int = 6
    """In a row without a row arriving."""
    session_seconds: float = 600.0
    """Of opening a session: Google's own deadline, for a table of many partitions takes minutes to plan."""
    beside_seconds: float = 60.0
    """Until a second request is made beside a session that does not open: the first may have been lost."""
    silent_seconds: float = 28.0
    """Of metadata and queries, where nobody answers: with them and its start, ``bqx plan`` ends within a minute."""
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 32.0
    longest_asked_seconds: float = 120.0
    """Of a wait that the server asks for. One of hours is an outage, which the run has to end at, and not sleep out."""

    def wait_seconds(self, failures: int, error: BaseException | None) -> float:
        """Return the wait before the next try: random up to a bound that doubles, at least what the server asks for.

        What it asks for counts up to ``longest_asked_seconds``. The randomness keeps many readers that failed together
        from coming back together.
        """
        bound = min(self.longest_wait_seconds, self.first_wait_seconds * 2 ** (failures - 1))
        asked = refusal_of(error).wait_seconds if error else 0.0
        return max(random.uniform(0, bound), min(asked, self.longest_asked_seconds))  # noqa: S311 (no secret)
