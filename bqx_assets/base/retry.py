"""The table of retry policies: how often, with which waits and for how long each caller repeats a failed call.

Which failures are repeated is decided elsewhere, by the reason of a refusal (``base/refusals``). A lease is not in the
table: its renewals are regular writes, of which three in a row may fail (``base/store/lease``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

_JITTER = random.Random()  # noqa: S311 (no secret)
"""A source of its own: drawn from in any thread, it leaves alone the global one, which a program may have seeded."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits and waits of one kind of call. A limit of 0 does not apply."""

    first_wait_seconds: float = 0.0
    """Bound of the random first wait; 0 means that the call is repeated at once."""
    longest_wait_seconds: float = 0.0
    """Largest bound of a wait."""
    factor: float = 2.0
    """Factor by which the bound grows after each further failure."""
    attempts: int = 0
    """Number of attempts, the first one included."""
    patience_seconds: float = 0.0
    """Time after which a call that still fails, or is not answered, counts as failed."""
    call_seconds: float = 0.0
    """Deadline of a single attempt."""
    longest_asked_seconds: float = 0.0
    """Longest wait that is accepted from the server. A wait of hours is an outage: the run ends and does not sleep."""

    def wait_seconds(self, failures: int, asked_seconds: float = 0.0) -> float:
        """Return the wait before the next attempt: random up to the bound, and at least what the server asks for.

        The server's own wait counts up to ``longest_asked_seconds``. Randomness keeps many callers that failed at the
        same time from returning at the same time.
        """
        bound = min(self.longest_wait_seconds, self.first_wait_seconds * self.factor ** (failures - 1))
        return max(_JITTER.uniform(0, bound), min(asked_seconds, self.longest_asked_seconds))


Caller = Literal[
    "cloud_storage", "upload_session", "bigquery", "read_session", "table_read", "cloud_run", "step", "alert"
]

RETRIES: Final[dict[Caller, RetryPolicy]] = {
    # A call that stalls is given up after 25 s: the patience allows for four of them.
    "cloud_storage": RetryPolicy(0.5, 8.0, patience_seconds=120.0, call_seconds=25.0),
    # A resumable upload whose session the server has lost starts over.
    "upload_session": RetryPolicy(attempts=3),
    # Attempts count in a row, without any new row or answer. The deadline is that of a ReadRows call: a stream that
    # still flows is resumed at its offset, so that only a hang is limited. The patience is for metadata calls and
    # queries that nobody answers: ``bqx plan`` then ends within a minute, start included.
    "bigquery": RetryPolicy(
        1.0, 32.0, attempts=6, patience_seconds=28.0, call_seconds=60.0, longest_asked_seconds=120.0
    ),
    # A read whose session expired before its first row opens another one.
    "read_session": RetryPolicy(attempts=3),
    # A whole table, after the calls above have failed for good.
    "table_read": RetryPolicy(0.5, 30.0, attempts=5),
    # The quotas of the Cloud Run Admin API are counted by the minute.
    "cloud_run": RetryPolicy(1.0, 30.0, patience_seconds=180.0, call_seconds=20.0),
    # A sensor's evaluation ends after 60 s, and may have two receivers; what is not delivered is sent at its next look.
    "alert": RetryPolicy(0.5, 2.0, attempts=3, patience_seconds=15.0, call_seconds=7.0, longest_asked_seconds=4.0),
    # A Dagster step whose error may pass; what it finished is not done again.
    "step": RetryPolicy(2.0, 2.0, factor=1.0, attempts=3),
}
"""The policy of each caller."""
