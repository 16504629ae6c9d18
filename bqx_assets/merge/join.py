"""The oracle: the merge as everybody would write it, by chained left joins on the key. For small data.

Belongs here: the readable truth that the splice is tested against. Does not: speed, or bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Progress
from bqx_assets.merge.plan import MergePlan
from bqx_assets.merge.written import Written, own_metadata

_CELL_BYTES = 8
_COPIES = 3
"""Both sides of a join and its result."""


class Join:
    """The engine for reading, and for small pairs."""

    name = "join"

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return what the whole table takes, three times."""
        encoded_bytes = sum(part.size_bytes for part in plan.parts)
        return _COPIES * max(plan.extraction.spine.rows * plan.column_count * _CELL_BYTES, encoded_bytes)

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> Written:
        """Join all parts and write the result. **Cost**: the whole table in memory, about three times."""
        spine_part, *others = plan.parts
        merged, record = spine_part.frame()
        keys = merged.get_column(KEY)
        records: list[SlabRecord] = [record]
        progress.advance("merge", record.table)
        for part in others:
            table, record = part.frame()
            merged = merged.join(table.with_columns(keys), on=KEY, how="left", maintain_order="left")
            records.append(record)
            progress.advance("merge", record.table)
        _write(merged, target, plan, records)
        return Written(*sums_of_files([(target, 0)]), merged.width, tuple(records))


def _write(merged: pl.DataFrame, target: Path, plan: MergePlan, records: Sequence[SlabRecord]) -> None:
    merged.write_parquet(
        target,
        compression="zstd",
        row_group_size=max(plan.extraction.spine.row_groups),
        metadata=own_metadata(plan.extraction, Join.name, records),
    )
