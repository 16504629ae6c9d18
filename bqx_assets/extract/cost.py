"""How many bytes reading a table bills, before it is read.

Belongs here: BigQuery's logical sizes, and the rows in range. Does not: prices (``base/costs``), counting afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bqx_assets.base.artifacts import Column, Spine
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import ReadRequest

_TYPE_BYTES = {"BOOL": 1, "STRING": 10}
"""BigQuery's logical sizes: 8 bytes a number or timestamp, 1 a flag, 2 + length a text (8 letters assumed)."""
_DAY_ROWS = 24 * 60
"""Of one pair, at most: the key is a minute."""


@dataclass(frozen=True, slots=True)
class ReadCost:
    """What reads of one extraction bill; ``spine`` is the pair's where there is one already."""

    job: Extraction
    spine: Spine | None

    def of(self, table: TableDescription, columns: Sequence[Column]) -> int:
        """Return the bytes of the key and ``columns`` over the days in range; 0 where the table is staged already.

        Tables are partitioned by day and billed by whole days. Without bounds and before the spine is known the range
        is the table's whole history: an upper bound.
        """
        settings, spine = self.job.settings, self.spine
        start = spine.first if spine else settings.start
        end = spine.last if spine else settings.end
        request = ReadRequest(
            table=table,
            columns=tuple({KEY, *(column.source for column in columns)}),
            snapshot_time=table.last_modified,
            start=start,
            end=end,
        )
        if isinstance(self.job.warehouse, StagedWarehouse) and self.job.warehouse.holds(request):
            return 0
        rows = table.rows
        if start is not None and end is not None:
            rows = min(rows, ((end.date() - start.date()).days + 1) * _DAY_ROWS)
        elif (last := settings.last_span) is not None:
            rows = min(rows, (last.count if last.unit == "rows" else last.count * _DAY_ROWS) + 2 * _DAY_ROWS)
        return rows * (8 + sum(_TYPE_BYTES.get(column.type, 8) for column in columns if column.source != KEY))
