"""Which row groups of a table's Parquet file a request needs.

Belongs here: that choice, by the bounds of the key. Does not: reading the groups, or filtering their rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import pyarrow.parquet as pq

from bqx_assets.base.names import KEY
from bqx_assets.extract.warehouse import ReadRequest


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """The first and last key of a row group that has a key on every row."""

    first: datetime
    last: datetime


def wanted_groups(bounds: Iterable[KeyBounds | None], request: ReadRequest) -> list[int]:
    """Return the row groups that may hold a row of the request's range: always those without bounds."""
    return [number for number, each in enumerate(bounds) if each is None or _overlaps(each, request)]


def stated_bounds(file: pq.FileMetaData) -> list[KeyBounds | None]:
    """Return each row group's bounds as the file's statistics state them: to be trusted in files of our own only."""
    return [_stated(file.row_group(number)) for number in range(file.num_row_groups)]


def as_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stated(group: pq.RowGroupMetaData) -> KeyBounds | None:
    chunks = (group.column(position) for position in range(group.num_columns))
    stated = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == KEY), None)
    if stated is None or not stated.has_min_max or stated.null_count != 0:
        return None
    return KeyBounds(*(as_utc(cast("datetime", bound)) for bound in (stated.min, stated.max)))


def _overlaps(bounds: KeyBounds, request: ReadRequest) -> bool:
    late = request.start is not None and bounds.last < as_utc(request.start)
    early = request.end is not None and bounds.first > as_utc(request.end)
    return not (late or early)
