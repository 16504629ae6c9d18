"""Finds a pair's facts for a proposal: rows from the extraction's record, nulls and constants from slabs' footers.

``catalogue.proposal`` writes the text of a proposal. A person decides whether the facts are right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version

from bqx_assets.base.artifacts import ExtractionRecord, FailedTable, SlabRecord
from bqx_assets.base.errors import CheckpointCorrupt, EmptyTable, TableMissing
from bqx_assets.base.names import output_column, table_prefix
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import PairFacts, TableFacts
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.extract.slabs import Slabs
from bqx_assets.merge.footer import Footer, read_footer
from bqx_assets.merge.slab_parts import slab_footer
from bqx_assets.quality.scan import ColumnFacts, stated_columns, stated_groups

_READERS = 16


@dataclass(frozen=True, slots=True)
class PairFindings:
    """The facts to propose, and the tables for which nothing can be proposed."""

    facts: PairFacts
    failed: tuple[FailedTable, ...]
    """Tables that failed and are neither absent nor empty: they have to be mended."""


def find_pair_facts(slabs: Slabs, record: ExtractionRecord, now: datetime) -> PairFindings:
    """Return the facts that an extraction found about its pair. **Cost**: the slabs' footers, 90 bytes a column.

    A table that failed because the warehouse does not have it is proposed as absent. A table without a row on the
    spine is proposed with all its columns empty.

    Raises:
        CheckpointCorrupt: a slab is not there any more, or its footer states no nulls.
        FooterError, StoreError: a slab cannot be read.
    """
    pair = parse_pair(record.pair)
    _refuse_gone(slabs, record)
    footers = list(in_threads(_footers(slabs), record.slabs, _READERS, "footers"))
    columns = [_columns(slab, footer) for slab, footer in zip(record.slabs, footers, strict=True)]
    every = [each for found in columns for each in found if each.role != "key"]
    empty = {each.table: _features(pair, each.table) for each in record.failed if each.error == EmptyTable.__name__}
    gone = [each.table for each in record.failed if each.error == TableMissing.__name__]
    spine, on = record.spine, f"not in the warehouse on {record.snapshot_time:%Y-%m-%d}"
    facts = PairFacts(
        found=f"Found {now:%Y-%m-%d} by bqx-assets {version('bqx-assets')} in the extraction of "
        f"{record.snapshot_time:%Y-%m-%d %H:%M} UTC, {spine.first:%Y-%m-%d %H:%M} to {spine.last:%Y-%m-%d %H:%M}, "
        f"of {record.origin or 'an unknown source'}",
        spine=spine.fingerprint,
        rows=spine.rows,
        first=spine.first,
        last=spine.last,
        all_null=(*(each.name for each in every if each.all_null), *(name for one in empty.values() for name in one)),
        constant=tuple(each.name for each in every if each.constant),
        absent={**record.known_absent, **dict.fromkeys(gone, on)},
        tables=_tables(record, columns, empty),
    )
    return PairFindings(facts, tuple(each for each in record.failed if each.table not in {*gone, *empty}))


def _tables(
    record: ExtractionRecord, columns: Sequence[Sequence[ColumnFacts]], empty: Mapping[str, Sequence[str]]
) -> dict[str, TableFacts]:
    found = {
        slab.table: TableFacts(
            matched=slab.provenance.rows.matched, columns=len(of_slab), nulls=sum(each.nulls or 0 for each in of_slab)
        )
        for slab, of_slab in zip(record.slabs, columns, strict=True)
        if slab.provenance.role == "feature"
    }
    return found | {
        name: TableFacts(matched=0, columns=len(names), nulls=record.spine.rows * len(names))
        for name, names in empty.items()
        if names
    }


def _refuse_gone(slabs: Slabs, record: ExtractionRecord) -> None:
    gone = [slab.table for slab in record.slabs if not slabs.holds(slab)]
    if gone:
        raise CheckpointCorrupt(
            f"{record.pair}/{gone[0]}",
            got=f"{len(gone):,} slabs are missing in {slabs.place}, or are not the recorded ones",
            expected="the slabs of the last extraction",
            cure=f"bqx extract {record.pair}",
        )


def _footers(slabs: Slabs) -> Callable[[SlabRecord], Footer]:
    """Return the function that reads the footers of a slab's pieces as one: from files, or by a range request each."""
    folder, store, prefix = slabs.folder, slabs.store, slabs.prefix
    there = {} if folder is not None else {info.name: info for info in store.list_objects(prefix)}

    def footer_of(slab: SlabRecord) -> Footer:
        if folder is not None:
            footers = [read_footer(folder / piece.object_name, slab.table) for piece in slab.pieces]
        else:
            footers = [slab_footer(store, there[f"{prefix}{piece.object_name}"], slab.table) for piece in slab.pieces]
        return replace(footers[0], groups=tuple(group for footer in footers for group in footer.groups))

    return footer_of


def _columns(slab: SlabRecord, footer: Footer) -> list[ColumnFacts]:
    found = stated_columns(footer, stated_groups(footer))
    unknown = [each.name for each in found if each.nulls is None]
    if unknown:
        raise CheckpointCorrupt(
            slab.table,
            got=f"no count of nulls for {unknown[0]}",
            expected="the footer of a slab as an extraction writes it",
            cure=f"bqx extract {slab.provenance.pair} --table {slab.table}",
        )
    return found


def _features(pair: Pair, table: str) -> list[str]:
    """Return the names that the columns of a table have in the training file; none for a table outside the grammar."""
    columns = next((each.columns for each in expected_tables(pair) if each.table == table), ())
    return [output_column(table_prefix(table, pair), name) for name, _ in columns]
