"""Plans an extraction without reading a row: tables, columns, bytes, cost, fresh slabs; refuses one over its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bqx_assets.base.artifacts import Column, FailedTable, Quarantined, Record, Spine
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.errors import BudgetExceeded, CheckpointCorrupt
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, TableDescription
from bqx_assets.catalogue.families import family_names
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.memory import refuse_too_long, row_bytes
from bqx_assets.extract.spine import spine_columns
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.table import table_fingerprint
from bqx_assets.extract.warehouse import ReadRequest, Warehouse


class FamilyPlan(Record):
    """One family's share of the plan."""

    family: str
    tables: int
    columns: int
    read_bytes: int
    """The estimate by ``ReadCost`` as if none of the family's tables were fresh."""
    fresh: int
    stale: int
    missing: int


class PairPlan(Record):
    """The work that ``bqx extract`` would do for a pair."""

    pair: str
    warehouse: str
    families: tuple[FamilyPlan, ...]
    columns: int
    """Number of columns of the training file: key, targets and features."""
    read_bytes: int
    """Bytes of the tables that are not fresh."""
    read_usd: float
    """Price of reading those bytes by BigQuery's Storage Read API."""
    quarantined: tuple[Quarantined, ...]
    left_out: tuple[str, ...]
    problems: tuple[FailedTable, ...]
    unexpected: tuple[str, ...]
    known_absent: dict[str, str]


def plan_pair(job: Extraction) -> PairPlan:
    """Return the plan of a pair's extraction. Raises what ``discover`` raises.

    A slab counts as fresh by its recorded fingerprint; its bytes are checked when it is used.
    """
    return _plan(job, job.catalogue())


def refuse_over_budget(job: Extraction, catalogue: PairCatalogue, tables: Collection[str] | None = None) -> None:
    """Refuse an extraction of the pair, or of only ``tables``, that would read more than ``max_bytes``.

    Raises:
        BudgetExceeded: by the plan's estimate it would. Nothing was read.
    """
    if not job.settings.max_bytes:
        return
    wanted = [each for each in catalogue.tables if tables is None or each.description.table in tables]
    refuse_plan_over_budget(_plan(job, replace(catalogue, tables=tuple(wanted))), job.settings.max_bytes)


def refuse_plan_over_budget(plan: PairPlan, cap: int) -> None:
    """Refuse a plan that would read more than ``cap`` bytes; 0 is no cap. Raises BudgetExceeded."""
    if cap and plan.read_bytes > cap:
        raise BudgetExceeded(
            plan.pair,
            got=f"{plan.read_bytes:,} bytes to read, {plan.read_usd:,.4f} USD",
            expected=f"at most {cap:,} bytes (BQX_MAX_BYTES)",
            cure="Nothing was read. Raise the cap, narrow BQX_LAST, BQX_START or BQX_END, or name tables with --table.",
        )


def refuse_over_memory(
    job: Extraction, catalogue: PairCatalogue, tables: Collection[str] | None = None, spine: Spine | None = None
) -> None:
    """Refuse an extraction of the pair, or of only ``tables``, that would take more memory than there is.

    Fresh tables are not counted. Without a ``spine`` the number of rows is that of the catalogue. The catalogue cannot
    count the rows of a time range: then the keys are read first, 16 bytes a row, and this is called with the spine.

    Raises:
        NotEnoughMemory: by the estimate it would.
    """
    rows = _rows_asked(job, catalogue) if spine is None else spine.rows
    if rows is None:
        return
    known = spine or _spine(job)
    wanted = [each for each in catalogue.tables if tables is None or each.description.table in tables]
    widths = [row_bytes(each.description, each.columns) for each in wanted if _state(job, known, each) != "fresh"]
    if job.slabs.recorded_fingerprint(catalogue.targets.table) is None:
        widths.append(row_bytes(catalogue.targets, spine_columns(job.expectations)))
    refuse_too_long(job, rows, widths)


def _rows_asked(job: Extraction, catalogue: PairCatalogue) -> int | None:
    settings, targets = job.settings, catalogue.targets
    last = settings.last_span
    if settings.start is not None or settings.end is not None or (last is not None and last.unit == "days"):
        return None
    return targets.rows if last is None else min(last.count, targets.rows)


def _plan(job: Extraction, catalogue: PairCatalogue) -> PairPlan:
    spine = _spine(job)
    states = {each.description.table: _state(job, spine, each) for each in catalogue.tables}
    cost = ReadCost(job.settings, job.warehouse, spine)
    by_family = [
        _family_plan(family, [each for each in catalogue.tables if each.family == family], states, cost)
        for family in family_names()
    ]
    unread = [each for each in catalogue.tables if states[each.description.table] != "fresh"]
    read_bytes = sum(cost.of(each.description, each.columns) for each in unread)
    if spine is None or job.slabs.recorded_fingerprint(catalogue.targets.table) is None:
        read_bytes += cost.of(catalogue.targets, spine_columns(job.expectations))
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


def _state(job: Extraction, spine: Spine | None, table: FeatureTable) -> str:
    recorded = job.slabs.recorded_fingerprint(table.description.table)
    if recorded is None:
        return "missing"
    fresh = spine is not None and recorded == table_fingerprint(job, table, spine.fingerprint)
    return "fresh" if fresh else "stale"


def _spine(job: Extraction) -> Spine | None:
    """Return the existing spine, unless it is of another range: then none of its slabs will be kept."""
    try:
        found = job.slabs.load_spine()
    except CheckpointCorrupt:
        return None
    return found.spine if found.span == job.settings.span else None


def _family_plan(family: str, tables: Sequence[FeatureTable], states: dict[str, str], cost: ReadCost) -> FamilyPlan:
    count = Counter(states[each.description.table] for each in tables)
    return FamilyPlan(
        family=family,
        tables=len(tables),
        columns=sum(len(each.columns) for each in tables),
        read_bytes=sum(cost.of(each.description, each.columns) for each in tables),
        fresh=count["fresh"],
        stale=count["stale"],
        missing=count["missing"],
    )


_DAY_ROWS = 24 * 60
"""Largest number of rows of a pair in a day: the key is a minute."""


@dataclass(frozen=True, slots=True)
class ReadCost:
    """The bytes that BigQuery bills for an extraction's reads; ``spine`` is the pair's, if there is one already."""

    settings: Settings
    warehouse: Warehouse
    spine: Spine | None

    def of(self, table: TableDescription, columns: Sequence[Column]) -> int:
        """Return the bytes of the key and ``columns`` over the days in range; 0 where the table is staged already.

        Tables are partitioned by day and billed by whole days. Without bounds and before the spine is known the range
        is the table's whole history: an upper bound.
        """
        settings, spine = self.settings, self.spine
        start = spine.first if spine else settings.start
        end = spine.last if spine else settings.end
        request = ReadRequest(
            table=table,
            columns=tuple({KEY, *(column.source for column in columns)}),
            snapshot_time=table.last_modified,
            start=start,
            end=end,
        )
        if isinstance(self.warehouse, StagedWarehouse) and self.warehouse.holds(request):
            return 0
        rows = table.rows
        if start is not None and end is not None:
            rows = min(rows, ((end.date() - start.date()).days + 1) * _DAY_ROWS)
        elif (last := settings.last_span) is not None:
            rows = min(rows, (last.count if last.unit == "rows" else last.count * _DAY_ROWS) + 2 * _DAY_ROWS)
        return rows * (8 + sum(COLUMN_TYPES[column.type].billed_bytes for column in columns if column.source != KEY))
