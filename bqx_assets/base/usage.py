"""Counts what this process reads, writes and calls where Google bills it; the ledger keeps differences of these counts.

The counts belong to the process and not to a store or warehouse, because a stage opens several of both. They are right
for a stage as long as the process works on one stage at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Quantities that are billed. **Units**: bytes and numbers of calls."""

    read_bytes: int = 0
    """Of the sessions of the Storage Read API, as BigQuery estimates and bills them."""
    queried_bytes: int = 0
    """Of queries, rounded up as BigQuery bills them."""
    written_bytes: int = 0
    """Uploaded to Cloud Storage."""
    class_a: int = 0
    class_b: int = 0
    """Operations of Cloud Storage by their price class."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Usage)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(Usage)))


class _Total:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.usage = Usage()


_TOTAL = _Total()
_MIB = 1 << 20
LEAST_BILLED_BYTES = 10 * _MIB
"""The least that a query is billed for, and each table in it. **Source**: cloud.google.com/bigquery/pricing."""


def count(usage: Usage) -> None:
    """Add to the counts of this process. Safe to use from several threads."""
    with _TOTAL.lock:
        _TOTAL.usage += usage


def used() -> Usage:
    """Return the counts of this process so far."""
    return _TOTAL.usage


def billed_bytes(processed_bytes: int) -> int:
    """Return what an on-demand query is billed for: whole MiB, at least ten of them; nothing if it reads no table."""
    return max(LEAST_BILLED_BYTES, -(-processed_bytes // _MIB) * _MIB) if processed_bytes else 0
