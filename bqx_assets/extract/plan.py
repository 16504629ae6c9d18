"""Plans an extraction without reading a row: tables, periods, bytes, cost; refuses one over its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from bqx_assets.base.artifacts import FailedTable, Quarantined, Record, Spine
from bqx_assets.base.costs import query_usd, storage_read_usd
from bqx_assets.base.errors import BudgetExceeded
from bqx_assets.catalogue.discovery import PairCatalogue
from bqx_assets.catalogue.families import family_names
from bqx_assets.extract.job import Extraction, SourceStates
from bqx_assets.extract.memory import fits, refuse_too_long, row_bytes
from bqx_assets.extract.periods import longest_rows
from bqx_assets.extract.plan_periods import (
    PlannedPeriod,
    PlannedTable,
    planned_periods,
    planned_spine,
    planned_tables,
    spine_there,
)
from bqx_assets.extract.spine import spine_columns


class FamilyPlan(Record):
    """One family's share of the plan."""

    family: str
    tables: int
    columns: int
    read_bytes: int
    """The estimate by ``ReadCost`` as if none of the family's tables were fresh."""
    read_usd: float
    fresh: int
    stale: int
    missing: int


PeriodState = Literal["fresh", "changed", "new"]


class PeriodPlan(Record):
    """One period's share of the plan, the targets included."""

    period: str
    state: PeriodState
    """``new``: the spine has no rows of it yet. ``changed``: a table's rows in it, its columns or the settings did."""
    stale_tables: int
    """Number of tables whose piece is made anew."""
    read_bytes: int
    read_usd: float


class PeriodCounts(Record):
    """The number of periods in each state."""

    fresh: int
    changed: int
    new: int


class PairPlan(Record):
    """The work that ``bqx extract`` would do for a pair."""

    pair: str
    warehouse: str
    families: tuple[FamilyPlan, ...]
    columns: int
    """Number of columns of the training file: key, targets and features."""
    read_bytes: int
    """Bytes of the pieces that are not fresh."""
    read_usd: float
    """Price of those bytes in BigQuery: of reading them, or of queries (``BQX_WAY``)."""
    total_bytes: int
    """Bytes of all pieces, as if none were fresh."""
    periods: PeriodCounts
    by_period: tuple[PeriodPlan, ...]
    quarantined: tuple[Quarantined, ...]
    left_out: tuple[str, ...]
    problems: tuple[FailedTable, ...]
    unexpected: tuple[str, ...]
    known_absent: dict[str, str]


def plan_pair(job: Extraction) -> PairPlan:
    """Return the plan of a pair's extraction. Raises what ``discover`` raises.

    A piece counts as fresh by its recorded fingerprint; its bytes are checked when it is used. Where the targets of a
    period have another number of rows than before, its keys are another period's: every piece of it counts as stale.
    """
    catalogue = job.catalogue()
    return _plan(job, catalogue, job.states(catalogue))


def refuse_over_budget(
    job: Extraction, catalogue: PairCatalogue, states: SourceStates, tables: Collection[str] | None = None
) -> None:
    """Refuse an extraction of the pair, or of only ``tables``, that would read more than ``max_bytes``.

    Raises:
        BudgetExceeded: by the plan's estimate it would. Nothing was read.
    """
    if job.settings.max_bytes:
        refuse_plan_over_budget(_plan(job, _only(catalogue, tables), states), job.settings.max_bytes)


def _only(catalogue: PairCatalogue, tables: Collection[str] | None) -> PairCatalogue:
    wanted = [each for each in catalogue.tables if tables is None or each.description.table in tables]
    return replace(catalogue, tables=tuple(wanted))


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
    job: Extraction,
    catalogue: PairCatalogue,
    states: SourceStates,
    tables: Collection[str] | None = None,
    spine: Spine | None = None,
) -> None:
    """Refuse an extraction of the pair, or of only ``tables``, that would take more memory than there is.

    Tables whose pieces are all fresh are not counted. Without a ``spine`` the number of rows is that of the catalogue.
    The catalogue cannot count the rows of a time range: then the keys are read first, 16 bytes a row, and this is
    called with the spine.

    Raises:
        NotEnoughMemory: by the estimate it would.
    """
    rows = _rows_asked(job, catalogue) if spine is None else spine.rows
    if rows is None:
        return
    longest = max(spine.row_groups) if spine is not None else longest_rows(rows, job.settings.period)
    wanted, spine_width = _only(catalogue, tables), row_bytes(catalogue.targets, spine_columns(job.expectations))
    every = [row_bytes(each.description, each.columns) for each in wanted.tables]
    if fits(job, rows, longest, [*every, spine_width]):
        return  # without looking which are fresh: that may read the records of all tables
    record = spine_there(job)
    periods = planned_periods(job, catalogue, states, record)
    planned = planned_tables(job, wanted, states, periods, record)
    widths = [width for width, each in zip(every, planned, strict=True) if each.stale]
    if planned_spine(job, catalogue, states, periods).stale:
        widths.append(spine_width)
    refuse_too_long(job, rows, longest, widths)


def _rows_asked(job: Extraction, catalogue: PairCatalogue) -> int | None:
    settings, targets = job.settings, catalogue.targets
    last = settings.last_span
    if settings.start is not None or settings.end is not None or (last is not None and last.unit == "days"):
        return None
    return targets.rows if last is None else min(last.count, targets.rows)


def _plan(job: Extraction, catalogue: PairCatalogue, states: SourceStates) -> PairPlan:
    record = spine_there(job)
    periods = planned_periods(job, catalogue, states, record)
    tables = planned_tables(job, catalogue, states, periods, record)
    every = [planned_spine(job, catalogue, states, periods), *tables]
    read_bytes = sum(each.read_bytes for each in every)
    priced = query_usd if job.settings.way == "query" else storage_read_usd
    by_period = [_period_plan(period, every, priced) for period in periods]
    count = Counter(each.state for each in by_period)
    return PairPlan(
        pair=job.pair.name,
        warehouse=job.warehouse.name,
        families=tuple(
            _family_plan(family, [each for each in tables if each.table.family == family], priced)
            for family in family_names()
        ),
        columns=catalogue.column_count,
        read_bytes=read_bytes,
        read_usd=priced(read_bytes),
        total_bytes=sum(sum(each.bytes.values()) for each in every),
        periods=PeriodCounts(fresh=count["fresh"], changed=count["changed"], new=count["new"]),
        by_period=tuple(by_period),
        quarantined=tuple(column for each in catalogue.tables for column in each.quarantined),
        left_out=tuple(f"{each.description.table}.{name}" for each in catalogue.tables for name in each.left_out),
        problems=tuple(
            FailedTable(table=name, error=type(error).__name__, message=str(error))
            for name, error in catalogue.problems.items()
        ),
        unexpected=catalogue.unexpected,
        known_absent=dict(catalogue.known_absent),
    )


def _period_plan(period: PlannedPeriod, tables: Iterable[PlannedTable], priced: Callable[[int], float]) -> PeriodPlan:
    stale = [each for each in tables if period.name in each.stale]
    read_bytes = sum(each.bytes[period.name] for each in stale)
    state: PeriodState = "new" if period.is_new else "changed" if stale else "fresh"
    return PeriodPlan(
        period=period.name,
        state=state,
        stale_tables=len(stale),
        read_bytes=read_bytes,
        read_usd=priced(read_bytes),
    )


def _family_plan(family: str, tables: Sequence[PlannedTable], priced: Callable[[int], float]) -> FamilyPlan:
    read_bytes = sum(sum(each.bytes.values()) for each in tables)
    return FamilyPlan(
        family=family,
        tables=len(tables),
        columns=sum(len(each.table.columns) for each in tables),
        read_bytes=read_bytes,
        read_usd=priced(read_bytes),
        fresh=sum(not each.stale for each in tables),
        stale=sum(bool(each.stale) and each.has_pieces for each in tables),
        missing=sum(bool(each.stale) and not each.has_pieces for each in tables),
    )
