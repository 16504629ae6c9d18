"""What a warehouse says of its tables.

Belongs here: the description of one table. Does not: which tables a pair needs (``discovery``), reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bqx_assets.base.column_types import standard_type


@dataclass(frozen=True, slots=True)
class TableDescription:
    """One table as the warehouse's own catalogue describes it: no row is read to learn this."""

    dataset: str
    table: str
    columns: tuple[tuple[str, str], ...]
    """(name, BigQuery type) in the table's order, key and ``pair`` column included."""
    rows: int
    size_bytes: int
    last_modified: datetime
    etag: str
    defect: str | None = None
    """Why the table cannot be described; its columns are then unknown and reading it would fail."""

    def types(self) -> dict[str, str]:
        """Return column name to BigQuery type, by the type's own name."""
        return {name: standard_type(kind) for name, kind in self.columns}
