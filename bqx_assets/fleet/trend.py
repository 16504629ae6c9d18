"""Keeps the fleet's trend: one small point for each published report, in one object of the output store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bqx_assets.base.artifacts import FORMAT_VERSION, FormatVersion, Record, load_record
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat, PreconditionFailed
from bqx_assets.base.store.protocol import ObjectStore, version_of
from bqx_assets.fleet.state import FleetState

TREND_NAME = "fleet/trend.json"
_MOST_POINTS = 730
"""Two years of daily reports."""
_TRIES = 5


class Point(Record):
    """The fleet's totals at one moment. **Units** are in the names."""

    at: datetime
    pairs: int
    published: int
    good: int
    failed: int
    """Pairs with a failed check, failed tables, a damaged file or unreadable records."""
    rows: int
    size_bytes: int
    seconds: float
    """Of the last stages of all pairs."""
    month_usd: float

    @classmethod
    def of(cls, state: FleetState) -> Point:
        """Return the totals of a state."""
        return cls(
            at=state.at,
            pairs=len(state.pairs),
            published=sum(pair.status.published not in {"none", "failed"} for pair in state.pairs),
            good=sum(pair.is_good for pair in state.pairs),
            failed=sum(pair.has_failed for pair in state.pairs),
            rows=sum(pair.status.rows or 0 for pair in state.pairs),
            size_bytes=sum(pair.status.size_bytes or 0 for pair in state.pairs),
            seconds=round(sum(stage.seconds for pair in state.pairs for stage in pair.stages), 1),
            month_usd=state.month_usd,
        )


class _Trend(Record):
    format_version: FormatVersion = FORMAT_VERSION
    points: tuple[Point, ...] = ()


def load_trend(store: ObjectStore) -> Sequence[Point]:
    """Return the points so far, oldest first; none if there are none, or they cannot be read."""
    try:
        return load_record(store, TREND_NAME, _Trend).points
    except CheckpointCorrupt:
        return ()


def add_point(store: ObjectStore, point: Point, *, tries: int = _TRIES) -> Sequence[Point]:
    """Add a point, and return all that can be read. Reports that are published at the same time lose none.

    Raises:
        StoreError: the store refuses.
        PreconditionFailed: others wrote it each time.
    """
    before = store.head(TREND_NAME)
    try:
        earlier = load_record(store, TREND_NAME, _Trend).points
    except NewerFormat:
        return (point,)  # it is not replaced: the later version that wrote it adds its own points
    except CheckpointCorrupt:
        earlier = ()
    points = (*earlier, point)[-_MOST_POINTS:]
    try:
        store.put_bytes(TREND_NAME, _Trend(points=points).as_json(), only_if=version_of(before))
    except PreconditionFailed:
        if tries == 1:
            raise
        return add_point(store, point, tries=tries - 1)
    return points
