"""Examines a pair's tables in either warehouse: expectations, catalogue, one row a family, and what a run will read.

BigQuery's own calls are in ``bigquery``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from bqx_assets.base.artifacts import Column
from bqx_assets.base.costs import query_usd, storage_read_usd
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.catalogue.discovery import TableDescription, discover
from bqx_assets.catalogue.families import PAIR_COLUMN, family_names, is_shared
from bqx_assets.doctor.case import Case, Finding, Probe, missing, noted, passed, skipped
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.job import SourceStates
from bqx_assets.extract.plan_periods import ReadCost, unknown_period
from bqx_assets.extract.spine import spine_columns
from bqx_assets.extract.warehouse import ReadRequest

THEME = "tables"
EXPECTATIONS, WAREHOUSE, CATALOGUE, PAIR_TABLES = "expectations", "warehouse", "catalogue", "tables of the pair"
READS = "reads"
PARTS = ("targets", *family_names())
"""The targets and all families. One row of one table of each is read."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """The quantities of one measured run of a pair: estimates of time and size, and ``bqx cost``, are made from them.

    **Source**: docs/performance-pair.md, a run under a hard limit of 2 GiB on two processors.
    """

    seconds: float
    storage_read_bytes: int
    """Logical bytes that BigQuery bills."""
    kept_bytes: int
    """Size of the training file."""


MEASURED_PAIR = MeasuredPair(seconds=166, storage_read_bytes=24_900_000_000, kept_bytes=9_690_000_000)


def expectations_probe(_: Case) -> Probe:
    """Return the probe of the expectations in force."""
    return Probe(THEME, EXPECTATIONS, _expectations, service="cloud_storage")


def folder_probes(_: Case) -> Iterator[Probe]:
    """Yield the probes of an embedded warehouse, up to its catalogue."""
    yield Probe(THEME, WAREHOUSE, _open_folder)
    yield Probe(THEME, CATALOGUE, describe, needs=(WAREHOUSE,))


def pair_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of the pair's own tables, for either warehouse."""
    yield Probe(THEME, PAIR_TABLES, _fit, needs=(CATALOGUE, EXPECTATIONS))
    if case.settings.bigquery_project is None:
        for part in PARTS:
            yield Probe(THEME, row_of(part), partial(_read_folder, part=part), needs=(PAIR_TABLES,))
    yield Probe("pair", READS, _reads, needs=(PAIR_TABLES,))


def row_of(part: str) -> str:
    """Return the name of the probe that reads one row of a family's table."""
    return f"row: {part}"


def request_of(case: Case, part: str) -> ReadRequest | None:
    """Return the request by which a run reads the part's smallest table; None if the pair has no table of that part."""
    chosen = _chosen(case, part)
    if chosen is None:
        return None
    table, columns = chosen
    return ReadRequest(
        table=table,
        columns=tuple(dict.fromkeys((KEY, *(column.source for column in columns)))),
        snapshot_time=case.snapshot,
        start=case.settings.start,
        end=case.settings.end,
        pair=case.pair.name if PAIR_COLUMN in table.types() else None,
    )


def _chosen(case: Case, part: str) -> tuple[TableDescription, Sequence[Column]] | None:
    """Return the part's smallest table and its columns; None if the pair has no table of that part."""
    if part == "targets":
        return case.catalogue.targets, spine_columns(case.expectations)
    tables = [each for each in case.catalogue.tables if each.family == part]
    if not tables:
        return None
    smallest = min(tables, key=lambda each: (each.description.size_bytes, each.description.table))
    return smallest.description, smallest.columns


def _expectations(case: Case) -> Finding:
    case.expectations = case.pipeline.expectations(case.pair)
    place = case.pipeline.expectations_place(case.pair) or "packaged"
    return passed(f"version {case.expectations.version}, {place}")


def _open_folder(case: Case) -> Finding:
    case.warehouse = LocalWarehouse(case.settings.warehouse_dir, case.pair)
    case.snapshot = case.warehouse.snapshot()
    return passed(f"{case.settings.warehouse_dir}, embedded")


def describe(case: Case) -> Finding:
    """List all tables of the warehouse, as every run does."""
    case.described = case.warehouse.describe()
    size = sum(each.size_bytes for each in case.described)
    return passed(f"{len(case.described):,} tables, {sized(size)}")


def _fit(case: Case) -> Finding:
    """Compare the listed tables with the expectations of the pair."""
    forward = case.settings.include_forward_looking
    found = discover(case.pair, case.described, case.expectations, include_forward_looking=forward)
    case.catalogue = found
    if found.problems:
        names = sorted(found.problems)
        first = found.problems[names[0]]
        return missing(f"{len(names):,} do not fit: {some_of(names, _SHOWN)}; first: {first.got}", first.cure)
    said = f"{len(found.tables):,} of {case.pair}, {found.column_count:,} columns"
    if found.known_absent:
        said += f"; {len(found.known_absent)} known to be absent"
    if found.unexpected:
        names = some_of(found.unexpected, _SHOWN)
        return noted(f"{said}; not expected, and left out: {names}", "Name them under accepted_tables to read them.")
    return passed(said)


def _read_folder(case: Case, part: str) -> Finding:
    request = request_of(case, part)
    if request is None:
        return skipped("the pair has no such table")
    rows = cast("Any", case.warehouse.read(request))  # a generator; closing it closes its file
    with closing(rows):
        first = next(iter(rows), None)
    return read_finding(request, 0 if first is None else first.num_rows)


def read_finding(request: ReadRequest, rows: int) -> Finding:
    """Return the finding of a table that was read as a run reads it, by the number of rows that arrived."""
    table = f"{request.table.table}, {len(request.columns)} columns"
    if rows:
        return passed(table)
    return noted(f"{table}: no row in the range of the settings", "Widen the range: BQX_START, BQX_END or BQX_LAST.")


def _reads(case: Case) -> Finding:
    """Estimate, as the plan does, what a run reads for which no slab is stored yet."""
    cost, all_rows = ReadCost(case.warehouse, SourceStates({})), unknown_period(case.settings)
    targets = cost.of(case.catalogue.targets, spine_columns(case.expectations), all_rows)
    each = {
        table.description.table: cost.of(table.description, table.columns, all_rows) for table in case.catalogue.tables
    }
    own = targets + sum(each[t.description.table] for t in case.catalogue.tables if not is_shared(t.family))
    total = targets + sum(each.values())
    case.read_bytes = total
    seconds = _seconds(total)
    cap = case.settings.max_bytes
    priced = query_usd if case.settings.way == "query" else storage_read_usd
    usd = f", {priced(total):,.2f} USD" if case.settings.bigquery_project else ""
    said = f"at most {sized(total)}{usd}, about {_duration(seconds)}; {sized(own)} of it from tables of this pair alone"
    if cap and total > cap:
        return missing(
            f"{said}; over the budget of {sized(cap)}",
            "Raise BQX_MAX_BYTES, or narrow BQX_LAST, or else BQX_START and BQX_END.",
            reason="budget",
        )
    return passed(said)


def _seconds(read_bytes: int) -> float:
    """Return about how long a run takes that reads so many bytes."""
    return MEASURED_PAIR.seconds / MEASURED_PAIR.storage_read_bytes * read_bytes


def sized(count: float) -> str:
    """Return a number of bytes in GB or MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"  # noqa: PLR2004 -- a thousand MB


def _duration(seconds: float) -> str:
    return f"{max(seconds, 1):,.0f} s" if seconds < 300 else f"{seconds / 60:,.0f} min"  # noqa: PLR2004 -- five minutes
