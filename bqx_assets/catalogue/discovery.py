"""Compares a warehouse's listing with the grammar, to find a pair's feature tables and columns, and what is wrong.

No row is read. ``drift`` names the changes since an earlier extraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bqx_assets.base.artifacts import Column, ExtractionRecord, Quarantined, SlabRecord
from bqx_assets.base.column_types import COLUMN_TYPES, standard_type
from bqx_assets.base.errors import (
    BqxError,
    CatalogueMismatch,
    SchemaDrift,
    TableMissing,
    TableUnreadable,
)
from bqx_assets.base.names import KEY, is_identifier, output_column, refuse_same_names, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.catalogue.families import (
    FEATURES_DATASET,
    PAIR_COLUMN,
    TARGETS_DATASET,
    ExpectedTable,
    expected_tables,
    family_of,
    family_rank,
    targets_table,
)

FORWARD_PREFIX = "target"
"""A feature column whose name begins with this looks into the future, as the targets that leaked into ``base_bqx``."""
_SAMPLE = 5
_TYPE_SHOWN = 60
"""Most characters of a type's name in an error, because the name of a STRUCT lists all its fields."""


@dataclass(frozen=True, slots=True)
class TableDescription:
    """One table as the warehouse's own catalogue describes it, without reading a row."""

    dataset: str
    table: str
    columns: tuple[tuple[str, str], ...]
    """(name, BigQuery type) in the table's order, including key and ``pair`` column."""
    rows: int
    size_bytes: int
    last_modified: datetime
    etag: str
    defect: str | None = None
    """Why the table cannot be described. Its columns are then unknown, and reading it would fail."""

    def types(self) -> dict[str, str]:
        """Return each column's BigQuery type under its standard name."""
        return {name: standard_type(kind) for name, kind in self.columns}


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One table to extract, and the columns of the training file that come from it."""

    description: TableDescription
    family: str
    columns: tuple[Column, ...]
    quarantined: tuple[Quarantined, ...]
    left_out: tuple[str, ...]
    """Columns that the grammar does not have: they are not extracted."""

    @property
    def has_pair_column(self) -> bool:
        """Return whether the table's rows must be filtered by pair."""
        return PAIR_COLUMN in self.description.types()


@dataclass(frozen=True, slots=True)
class PairCatalogue:
    """All tables that a pair's extraction reads, in the column order of the training file."""

    pair: Pair
    targets: TableDescription
    tables: tuple[FeatureTable, ...]
    problems: Mapping[str, BqxError] = field(default_factory=dict[str, BqxError])
    """Expected tables that cannot be extracted, with the reason: they are missing, or have another schema."""
    unexpected: tuple[str, ...] = ()
    known_absent: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def column_count(self) -> int:
        """Number of the training file's columns: key, targets and features, without quarantined ones."""
        return (
            1
            + sum(1 for name, _ in self.targets.columns if name.startswith("target_"))
            + sum(len(table.columns) for table in self.tables)
        )


def discover(
    pair: Pair,
    descriptions: Iterable[TableDescription],
    expectations: Expectations,
    *,
    include_forward_looking: bool = False,
) -> PairCatalogue:
    """Return the pair's catalogue in this warehouse.

    Every expected table is in exactly one of ``tables``, ``problems`` and ``known_absent``. A table that a family's
    rule selects but the grammar does not have is in ``unexpected``.

    Raises:
        TableMissing: there is no targets table, and so no spine.
        CatalogueMismatch: the target columns differ from the expectations, or an accepted table has a column of a type
            that cannot be read.
        ColumnCollision: two tables would give columns of the same name.
    """
    by_name = {(each.dataset, each.table): each for each in descriptions}
    targets = _targets(pair, by_name, expectations)
    present = {table: each for (dataset, table), each in by_name.items() if dataset == FEATURES_DATASET}
    grammar = {each.table: each for each in expected_tables(pair)}
    absent = _absent(pair, by_name, expectations)
    found: list[FeatureTable] = []
    problems: dict[str, BqxError] = {}
    for name, expected in _wanted(pair, grammar, present, expectations, absent):
        try:
            found.append(_feature_table(pair, name, expected, present, include_forward_looking=include_forward_looking))
        except BqxError as error:
            problems[name] = error
    _refuse_types(pair, found)
    refuse_same_names(f"{pair}", ((each.description.table, c.name) for each in found for c in each.columns))
    wanted = {*grammar, *expectations.accepted_tables}
    return PairCatalogue(
        pair=pair,
        targets=targets,
        tables=tuple(sorted(found, key=lambda each: (family_rank(each.family), each.description.table))),
        problems=problems,
        unexpected=tuple(sorted(name for name in present if name not in wanted and _is_meant(present[name], pair))),
        known_absent={name: why for name, why in absent.items() if name in grammar and name not in present},
    )


def _absent(
    pair: Pair, by_name: Mapping[tuple[str, str], TableDescription], expectations: Expectations
) -> Mapping[str, str]:
    """Return the tables that may be absent, with the reason: known by name, or few enough in the whole warehouse."""
    pairs = [each for each in ALL_PAIRS if (TARGETS_DATASET, targets_table(each)) in by_name]
    expected = {table.table for each in pairs for table in expected_tables(each)}
    known = expectations.absent(pair)
    missing = {name for name in expected - known.keys() if (FEATURES_DATASET, name) not in by_name}
    return {**expectations.excused_absent(pair, missing), **known}


def _is_meant(table: TableDescription, pair: Pair) -> bool:
    """Return whether an unexpected table may be meant for the pair: by a family's rule, or by its impossible name.

    Impossible names are those of files in an embedded warehouse, ``x.PARQUET`` or a folder. They would otherwise be
    left out without a word.
    """
    odd = table.defect is not None and not is_identifier(table.table)
    return odd or family_of(table.table, pair) is not None


def _targets(
    pair: Pair, by_name: Mapping[tuple[str, str], TableDescription], expectations: Expectations
) -> TableDescription:
    name = targets_table(pair)
    description = by_name.get((TARGETS_DATASET, name))
    if description is None:
        # By the pairs' names: real warehouses have tables such as targets_all_fixed beside them.
        made = [each.name for each in ALL_PAIRS if (TARGETS_DATASET, targets_table(each)) in by_name]
        raise TableMissing(
            f"{pair}/{name}",
            got="no such table",
            expected=f"the pair's targets in {TARGETS_DATASET}",
            cure=f"This warehouse has the pairs: {', '.join(made) or 'none'}.",
        )
    _refuse_unreadable(pair, description)
    types = description.types()
    wrong = [column for column in expectations.targets() if types.get(column) != "FLOAT64"]
    unknown = [c for c in types if c.startswith("target_") and c not in expectations.targets()]
    if wrong or unknown or types.get(KEY) != "TIMESTAMP":
        raise CatalogueMismatch(
            f"{pair}/{name}",
            got=f"missing or of another type: {_shown(wrong, ', ')}; unknown: {_shown(unknown, ', ')}",
            expected=f"{KEY} TIMESTAMP and the {len(expectations.targets())} FLOAT64 targets",
            cure="Rebuild the targets table, or correct windows and horizons in the expectations.",
        )
    return description


def _wanted(
    pair: Pair,
    grammar: Mapping[str, ExpectedTable],
    present: Mapping[str, TableDescription],
    expectations: Expectations,
    absent: Mapping[str, str],
) -> list[tuple[str, ExpectedTable | None]]:
    """Return the expected tables except those that may be and are absent, then the accepted ones of the pair."""
    wanted: list[tuple[str, ExpectedTable | None]] = [
        (name, expected) for name, expected in grammar.items() if name in present or name not in absent
    ]
    accepted = (name for name in expectations.accepted_tables if name not in grammar and family_of(name, pair))
    return [*wanted, *((name, None) for name in accepted)]


def _feature_table(
    pair: Pair,
    name: str,
    expected: ExpectedTable | None,
    present: Mapping[str, TableDescription],
    *,
    include_forward_looking: bool,
) -> FeatureTable:
    description = present.get(name)
    if description is None:
        raise TableMissing(
            f"{pair}/{name}",
            got="no such table",
            expected=f"a table of {FEATURES_DATASET}",
            cure=f"Restore the table. Where there is none: bqx expectations propose {pair}, and approve what it "
            "writes; or name it with its reason under [known_absent] in the expectations.",
        )
    _refuse_unreadable(pair, description)
    types = description.types()
    if expected is not None:
        _refuse_drift(pair, expected, types)
    known = dict(expected.columns) if expected else {c: t for c, t in types.items() if c not in (KEY, PAIR_COLUMN)}
    forward = [] if include_forward_looking else [c for c in types if c.lower().startswith(FORWARD_PREFIX)]
    prefix = table_prefix(name, pair)
    return FeatureTable(
        description=description,
        family=expected.family if expected else family_of(name, pair) or "",
        columns=tuple(
            Column(name=output_column(prefix, column, owner=name), source=column, type=types[column])
            for column in known
            if column not in forward
        ),
        quarantined=tuple(Quarantined(table=name, column=c, reason=f"named {FORWARD_PREFIX}*") for c in forward),
        left_out=tuple(c for c in types if c not in known and c not in forward and c not in (KEY, PAIR_COLUMN)),
    )


def _refuse_unreadable(pair: Pair, description: TableDescription) -> None:
    if description.defect is not None:
        raise TableUnreadable(
            f"{pair}/{description.table}",
            got=description.defect,
            expected="a readable table",
            cure="Restore the table, then extract again.",
        )


def _refuse_drift(pair: Pair, expected: ExpectedTable, types: Mapping[str, str]) -> None:
    wanted = {KEY: "TIMESTAMP", **dict(expected.columns)}
    wrong = [f"{column} is {types.get(column, 'missing')}" for column in wanted if types.get(column) != wanted[column]]
    if wrong:
        names = [column for column in wanted if types.get(column) != wanted[column]]
        raise SchemaDrift(
            f"{pair}/{expected.table}",
            got=_shown(wrong, "; "),
            expected=some_of([f"{column} {wanted[column]}" for column in names], _SAMPLE),
            cure="Restore the column in the warehouse; a file with another schema would not be comparable.",
        )


def _refuse_types(pair: Pair, tables: Iterable[FeatureTable]) -> None:
    """Refuse accepted tables that cannot be read. Tables of the grammar were compared with it before."""
    wrong: dict[str, list[str]] = {}
    for table in tables:
        key = table.description.types().get(KEY, "missing")
        faults = [] if key == "TIMESTAMP" else [f"{KEY} {key}"]
        unread = {each.source for each in table.columns if each.type not in COLUMN_TYPES}
        faults += [f"{name} {kind[:_TYPE_SHOWN]}" for name, kind in table.description.columns if name in unread]
        if faults:
            wrong[table.description.table] = faults
    if not wrong:
        return
    faults = [f"{table}.{fault}" for table, each in wrong.items() for fault in each]
    raise CatalogueMismatch(
        f"{pair}/{', '.join(wrong)}",
        got=_shown(faults, ", "),
        expected=f"{KEY} TIMESTAMP, and columns of the types that are read: {', '.join(COLUMN_TYPES)}",
        cure="Cast these columns in the warehouse, or take the table out of accepted_tables in the expectations.",
    )


def _shown(items: Sequence[str], separator: str) -> str:
    return some_of(items, _SAMPLE, separator) or "none"


def drift(before: ExtractionRecord, now: PairCatalogue) -> list[str]:
    """Return one sentence for each table or column that appeared, vanished or changed its type since ``before``.

    Tables that failed at that time are not compared, because their columns were not recorded. Nor are tables that
    cannot be extracted now: their error says what is wrong with them.
    """
    old = {slab.table: {c.source: c.type for c in slab.provenance.columns} for slab in before.features()}
    skipped = {failed.table for failed in before.failed}
    new = {each.description.table: {c.source: c.type for c in each.columns} for each in now.tables}
    found = [f"table {table} appeared" for table in sorted(new.keys() - old.keys() - skipped)]
    found += [f"table {table} vanished" for table in sorted(old.keys() - new.keys() - now.problems.keys())]
    found += [f"table {table} appeared, left out" for table in now.unexpected if table not in before.unexpected]
    for table in sorted(old.keys() & new.keys()):
        found += _column_drift(table, old[table], new[table])
    return found


def vanished_rows(before: ExtractionRecord, slabs: Sequence[SlabRecord]) -> list[str]:
    """Return one sentence for each table that has fewer rows on the spine's minutes of a period than it had ``before``.

    Of features only rows count that the spine still has. Rows that a moving range leaves behind did not vanish.
    """
    old = {(slab.table, piece.period): piece.rows.matched for slab in before.slabs for piece in slab.pieces}
    spines = [slab for slab in (*before.slabs, *slabs) if slab.provenance.role == "spine"]
    first = spines[-1].pieces[0].period if before.span else ""
    shrunk = {
        piece.period: old[spines[-1].table, piece.period] - piece.rows.matched
        for piece in spines[-1].pieces
        if (spines[-1].table, piece.period) in old
    }
    found: list[str] = []
    for slab in slabs:
        lost: dict[str, int] = {}
        for piece in slab.pieces:
            fewer = old.get((slab.table, piece.period), 0) - piece.rows.matched
            if slab.provenance.role == "feature":
                fewer -= max(0, shrunk.get(piece.period, 0))
            elif piece.period == first:
                fewer = 0
            if fewer > 0:
                lost[piece.period] = fewer
        if lost:
            where = some_of([f"{count:,} of {period}" for period, count in lost.items()], _SAMPLE)
            found.append(f"table {slab.table} lost {sum(lost.values()):,} rows: {where}")
    return found


def _column_drift(table: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    found = [f"column {table}.{name} appeared" for name in sorted(new.keys() - old.keys())]
    found += [f"column {table}.{name} vanished" for name in sorted(old.keys() - new.keys())]
    return found + [
        f"column {table}.{name} changed from {old[name]} to {new[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]
