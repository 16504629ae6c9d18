"""A spine cut into stretches: what is read and aligned at once, so that memory does not grow with the history.

Belongs here: where stretches begin and end. Does not: reading one, row groups' boundaries (``spine``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

STRETCH_BYTES = 32 << 20
"""Decoded size of a stretch. Each is a read of its own, a second or two by itself in BigQuery: not too small."""
_TICK = timedelta(microseconds=1)
"""Of the key."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rows of a spine, and the range of keys that is read for them."""

    first_row: int
    keys: pl.Series
    start: datetime
    end: datetime
    """Inclusive: until just before the next stretch, so that every row of a table is in one."""


def stretches(keys: pl.Series, row_groups: Sequence[int], row_bytes: int) -> list[Stretch]:
    """Return the spine in stretches of at most ``STRETCH_BYTES``; a spine of one row group is one stretch.

    All rows of one key are in one stretch.
    """
    size = keys.len() if len(row_groups) == 1 else max(1, STRETCH_BYTES // row_bytes)
    found: list[Stretch] = []
    for first in range(0, keys.len(), size):
        after = first + size
        end = keys[after] - _TICK if after < keys.len() else keys[-1]
        found.append(Stretch(first, keys.slice(first, size), keys[first], end))
    return found
