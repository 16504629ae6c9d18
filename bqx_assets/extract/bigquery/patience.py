"""How long a read waits, for an answer and between tries.

Belongs here: deadlines, tries, waits with jitter. Does not: which failures are worth another try (``failures``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bqx_assets.extract.bigquery.failures import asked_wait_seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines and waits of one read."""

    deadline_seconds: float = 60.0
    """Of one call. A stream that is still flowing then is resumed at its offset, so this bounds a hang, not a read."""
    tries: int = 6
    """In a row without a row arriving."""
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 32.0

    def wait_seconds(self, failures: int, error: BaseException | None) -> float:
        """Return the wait before the next try: random up to a bound that doubles, at least what the server asked for.

        The randomness keeps many readers that failed together from coming back together.
        """
        bound = min(self.longest_wait_seconds, self.first_wait_seconds * 2 ** (failures - 1))
        return max(random.uniform(0, bound), asked_wait_seconds(error))  # noqa: S311 (no secret)
