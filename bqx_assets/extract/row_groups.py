"""Which row groups of a table's Parquet file a request needs.

Belongs here: that choice, by the key's statistics. Does not: reading them, or filtering their rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pyarrow.parquet as pq

from bqx_assets.base.names import KEY
from bqx_assets.extract.warehouse import ReadRequest


def wanted_groups(file: pq.FileMetaData, request: ReadRequest) -> list[int]:
    """Return the row groups that may hold a row of the request's range; rows without a key always count."""
    return [number for number in range(file.num_row_groups) if _may_hold(file.row_group(number), request)]


def as_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _may_hold(group: pq.RowGroupMetaData, request: ReadRequest) -> bool:
    chunks = (group.column(position) for position in range(group.num_columns))
    bounds = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == KEY), None)
    if bounds is None or not bounds.has_min_max or bounds.null_count != 0:
        return True
    first, last = (as_utc(cast("datetime", bound)) for bound in (bounds.min, bounds.max))
    return not ((request.start and last < as_utc(request.start)) or (request.end and first > as_utc(request.end)))
