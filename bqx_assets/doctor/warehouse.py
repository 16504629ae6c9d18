"""The warehouse's tables: what is expected of them, whether they are there, and what a pair will read and cost.

Belongs here: what holds for BigQuery and the embedded warehouse alike. Does not: BigQuery's own calls (``bigquery``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, cast

from bqx_assets.base.artifacts import Column
from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.catalogue.discovery import TableDescription, discover
from bqx_assets.catalogue.families import PAIR_COLUMN, family_names, is_shared
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.report import Finding, missing, noted, passed, skipped
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.plan import ReadCost
from bqx_assets.extract.spine import spine_columns
from bqx_assets.extract.warehouse import ReadRequest

THEME = "tables"
EXPECTATIONS, WAREHOUSE, CATALOGUE, PAIR_TABLES = "expectations", "warehouse", "catalogue", "tables of the pair"
READS = "reads"
PARTS = ("targets", *family_names())
"""Of each, one row of one table is read."""
MEASURED_SECONDS, MEASURED_BYTES = 166.0, 24_900_000_000
"""The measured run of one pair on Cloud Run (``cli/ways.toml``): its seconds and the bytes it read."""
_SHOWN = 5


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
    """Return the read that a run would make of the part's smallest table; None where the pair has none of it."""
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
    case.warehouse = LocalWarehouse(case.settings.warehouse_dir)
    case.snapshot = case.warehouse.snapshot()
    return passed(f"{case.settings.warehouse_dir}, embedded")


def describe(case: Case) -> Finding:
    """List all tables of the warehouse, as each run does."""
    case.described = case.warehouse.describe()
    size = sum(each.size_bytes for each in case.described)
    return passed(f"{len(case.described):,} tables, {sized(size)}")


def _fit(case: Case) -> Finding:
    forward = case.settings.include_forward_looking
    found = discover(case.pair, case.described, case.expectations, include_forward_looking=forward)
    case.catalogue = found
    if found.problems:
        names = sorted(found.problems)
        first = found.problems[names[0]]
        return missing(f"{len(names)} do not fit: {some_of(names, _SHOWN)}; first: {first.got}", first.cure)
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
    rows = cast("Any", case.warehouse.read(request))  # a generator: closed, its file is, too
    with closing(rows):
        first = next(iter(rows), None)
    return read_finding(request, 0 if first is None else first.num_rows)


def read_finding(request: ReadRequest, rows: int) -> Finding:
    """Return the finding of a table that was read as a run reads it."""
    table = f"{request.table.table}, {len(request.columns)} columns"
    return (
        passed(table) if rows else noted(f"{table}: no row in the range of the settings", "Widen BQX_START, BQX_END.")
    )


def _reads(case: Case) -> Finding:
    """What a run reads that finds nothing done yet, by the plan's own estimate."""
    cost = ReadCost(case.settings, case.warehouse, None)
    targets = cost.of(case.catalogue.targets, spine_columns(case.expectations))
    each = {table.description.table: cost.of(table.description, table.columns) for table in case.catalogue.tables}
    own = targets + sum(each[t.description.table] for t in case.catalogue.tables if not is_shared(t.family))
    total = targets + sum(each.values())
    case.read_bytes = total
    seconds = _seconds(total)
    cap = case.settings.max_bytes
    priced = f", {storage_read_usd(total):,.2f} USD" if case.settings.bigquery_project else ""
    said = f"at most {sized(total)}{priced}, about {_duration(seconds)}; {sized(own)} of it its own tables"
    if cap and total > cap:
        return missing(
            f"{said}; over the budget of {sized(cap)}",
            "Raise BQX_MAX_BYTES, or narrow BQX_LAST, or else BQX_START and BQX_END.",
            reason="budget",
        )
    return passed(said)


def _seconds(read_bytes: int) -> float:
    """Return about how long a run takes that reads so many bytes."""
    return MEASURED_SECONDS / MEASURED_BYTES * read_bytes


def sized(count: float) -> str:
    """Return bytes as people read them."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"  # noqa: PLR2004 -- a thousand MB


def _duration(seconds: float) -> str:
    return f"{max(seconds, 1):,.0f} s" if seconds < 300 else f"{seconds / 60:,.0f} min"  # noqa: PLR2004 -- five minutes
