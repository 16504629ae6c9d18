"""What an extraction would do: tables, columns, bytes, cost, and what is already fresh.

Belongs here: the plan as data, made without reading a row. Does not: printing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bqx_assets.base.artifacts import Column, FailedTable, Quarantined, Record
from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.catalogue.discovery import FeatureTable
from bqx_assets.catalogue.families import FAMILIES
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.slabs import SlabFolder
from bqx_assets.extract.spine import spine_columns
from bqx_assets.extract.table import table_fingerprint

_TYPE_BYTES = {"BOOL": 1, "STRING": 10}
"""BigQuery's logical sizes: 8 bytes a number or timestamp, 1 a flag, 2 + length a text (8 letters assumed)."""


class FamilyPlan(Record):
    """One family's share of the plan."""

    family: str
    tables: int
    columns: int
    read_bytes: int
    """Logical bytes of the selected columns over the tables' whole history: an upper bound."""
    fresh: int
    stale: int
    missing: int


class PairPlan(Record):
    """What ``bqx extract`` would do for a pair."""

    pair: str
    warehouse: str
    families: tuple[FamilyPlan, ...]
    columns: int
    """Of the training file: key, targets and features."""
    read_bytes: int
    """Of the tables that are not fresh."""
    read_usd: float
    """What reading those costs by BigQuery's Storage Read API."""
    quarantined: tuple[Quarantined, ...]
    left_out: tuple[str, ...]
    problems: tuple[FailedTable, ...]
    unexpected: tuple[str, ...]
    known_absent: dict[str, str]


def plan_pair(job: Extraction) -> PairPlan:
    """Return the plan of a pair's extraction. Raises what ``discover`` raises.

    A slab counts as fresh by its recorded fingerprint; its bytes are checked when it is used.
    """
    catalogue = job.catalogue()
    folder = SlabFolder(job.folder)
    states = {each.description.table: _state(job, folder, each) for each in catalogue.tables}
    by_family = [
        _family_plan(family, [each for each in catalogue.tables if each.family == family], states)
        for family in FAMILIES
    ]
    unread = [each for each in catalogue.tables if states[each.description.table] != "fresh"]
    read_bytes = sum(_read_bytes(each.description, each.columns) for each in unread)
    if folder.recorded_fingerprint(catalogue.targets.table) is None:
        read_bytes += _read_bytes(catalogue.targets, spine_columns(job))
    return PairPlan(
        pair=job.pair.name,
        warehouse=job.warehouse.name,
        families=tuple(by_family),
        columns=catalogue.column_count,
        read_bytes=read_bytes,
        read_usd=storage_read_usd(read_bytes),
        quarantined=tuple(column for each in catalogue.tables for column in each.quarantined),
        left_out=tuple(f"{each.description.table}.{name}" for each in catalogue.tables for name in each.left_out),
        problems=tuple(
            FailedTable(table=name, error=type(error).__name__, message=str(error))
            for name, error in catalogue.problems.items()
        ),
        unexpected=catalogue.unexpected,
        known_absent=dict(catalogue.known_absent),
    )


def _state(job: Extraction, folder: SlabFolder, table: FeatureTable) -> str:
    recorded = folder.recorded_fingerprint(table.description.table)
    if recorded is None:
        return "missing"
    try:
        spine = folder.load_spine().spine
    except CheckpointCorrupt:
        return "stale"
    return "fresh" if recorded == table_fingerprint(job, table, spine.fingerprint) else "stale"


def _family_plan(family: str, tables: Sequence[FeatureTable], states: dict[str, str]) -> FamilyPlan:
    count = Counter(states[each.description.table] for each in tables)
    return FamilyPlan(
        family=family,
        tables=len(tables),
        columns=sum(len(each.columns) for each in tables),
        read_bytes=sum(_read_bytes(each.description, each.columns) for each in tables),
        fresh=count["fresh"],
        stale=count["stale"],
        missing=count["missing"],
    )


def _read_bytes(description: TableDescription, columns: Sequence[Column]) -> int:
    row_bytes = 8 + sum(_TYPE_BYTES.get(column.type, 8) for column in columns)
    return description.rows * row_bytes
