"""Turns records into the metadata of materialisations: a handful of numbers, and one table of the families.

One entry for each of 17,031 columns would make an event of megabytes, which the web server has to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import dagster as dg

from bqx_assets.base.artifacts import ExtractionRecord, Manifest, Quarantined, Record, SlabRecord, Spine
from bqx_assets.base.costs import query_usd, storage_read_usd
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import cut, first_of, markdown_code
from bqx_assets.catalogue.families import family_names, family_rank
from bqx_assets.extract.warehouse import ReadsAhead, Warehouse
from bqx_assets.quality.report import count
from bqx_assets.release.publish import Published
from bqx_assets.release.retention import Removed
from bqx_assets.runtime.keys import SLABS, SPINE, TARGETS, family_key

Metadata = dict[str, dg.MetadataValue]
_SAMPLE = 20
"""Largest number of names in a list: a failure of all 667 tables must still make a small event."""
_TABLE_BYTES = 8_000
_EXACT_IN_BROWSERS = 2**53
_COUNTS = {
    "dagster/row_count": "rows",
    "columns": "columns",
    "tables": "tables",
    "resumed_tables": "resumed_tables",
    "size_bytes": "size_bytes",
}
"""Metadata of a materialisation that `bqx run` shows as well, and the field of ``Stage`` that holds it."""


_STATED = {
    "uri": "dagster/uri",
    "manifest_uri": "manifest",
    "size_bytes": "size_bytes",
    "rows": "dagster/row_count",
}
"""Fields of a publication that have a line of their own, so that its JSON does not repeat them."""


class Stage(Record):
    """The outcome of one stage; a count that does not apply to the stage is None."""

    name: str
    seconds: float
    peak_bytes: int
    rows: int | None = None
    columns: int | None = None
    tables: int | None = None
    resumed_tables: int | None = None
    size_bytes: int | None = None


def stage_of(name: str, metadata: Mapping[str, dg.MetadataValue]) -> Stage:
    """Return the outcome of a stage, as the metadata of its materialisation state it."""
    facts = {key: value.value for key, value in metadata.items()}
    counts = {field: facts.get(key) for key, field in _COUNTS.items()}
    seconds = sum(_seconds(metadata.get(key)) for key in ("plan_seconds", "seconds"))
    return Stage.model_validate({"name": name, "seconds": seconds, "peak_bytes": facts["peak_memory_bytes"], **counts})


def _seconds(value: dg.MetadataValue | None) -> float:
    return (value.value or 0.0) if isinstance(value, dg.FloatMetadataValue) else 0.0


def _sized(size_bytes: int) -> Metadata:
    """Return a size as a number, which pages plot, and as people read it."""
    return {
        "size_bytes": dg.MetadataValue.int(size_bytes),
        "size": dg.MetadataValue.text(f"{size_bytes / 1e6:,.1f} MB"),
    }


def spine_metadata(spine: Spine, slab_bytes: int, columns: int) -> Metadata:
    """Return the metadata of a spine."""
    return {
        "dagster/row_count": dg.MetadataValue.int(spine.rows),
        "columns": dg.MetadataValue.int(columns),
        **_sized(slab_bytes),
        "first": dg.MetadataValue.timestamp(spine.first),
        "last": dg.MetadataValue.timestamp(spine.last),
        "row_groups": dg.MetadataValue.int(len(spine.row_groups)),
        "fingerprint": dg.MetadataValue.text(spine.fingerprint),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(
            dg.TableColumnLineage({name: [dg.TableColumnDep(TARGETS, name)] for name in (KEY, "target_*")})
        ),
    }


def extraction_metadata(record: ExtractionRecord) -> Metadata:
    """Return the metadata of a pair's feature slabs."""
    slabs = record.features()
    quarantined = [each for slab in slabs for each in slab.provenance.quarantined]
    return {
        "dagster/row_count": dg.MetadataValue.int(record.spine.rows),
        "tables": dg.MetadataValue.int(len(slabs)),
        "columns": dg.MetadataValue.int(sum(len(slab.provenance.columns) for slab in slabs)),
        **_sized(sum(slab.size_bytes for slab in slabs)),
        "resumed_tables": dg.MetadataValue.int(len(record.resumed)),
        "pieces": dg.MetadataValue.int(sum(len(slab.pieces) for slab in slabs)),
        "made_pieces": dg.MetadataValue.int(record.made_pieces),
        "failed_tables": dg.MetadataValue.int(len(record.failed)),
        "snapshot_time": dg.MetadataValue.timestamp(record.snapshot_time),
        "families": dg.MetadataValue.md(families_table(record)),
        "quarantined": dg.MetadataValue.md(quarantine_table(quarantined)),
        **_columns_by_family(record, family_key),
    }


def made_tags(record: ExtractionRecord) -> dict[str, str]:
    """Return the tags of a run by which its list shows what was new: the number of tables and periods made anew."""
    made = [
        (slab.table, piece.period)
        for slab in record.slabs
        for piece in slab.pieces
        if piece.snapshot_time == record.snapshot_time
    ]
    tables, periods = {table for table, _ in made}, {period for _, period in made}
    return {"bqx/made_tables": str(len(tables)), "bqx/made_periods": str(len(periods))}


def read_metadata(warehouse: Warehouse) -> Metadata:
    """Return the bytes that a step read from the warehouse and that its queries scanned, and their price."""
    queried_bytes = warehouse.queried_bytes if isinstance(warehouse, ReadsAhead) else 0
    return {
        "read_bytes": dg.MetadataValue.int(warehouse.read_bytes + queried_bytes),
        "read_usd": dg.MetadataValue.float(round(storage_read_usd(warehouse.read_bytes) + query_usd(queried_bytes), 6)),
    }


def training_metadata(manifest: Manifest) -> Metadata:
    """Return the metadata of a merged training file."""
    return {
        "dagster/row_count": dg.MetadataValue.int(manifest.file.rows),
        "columns": dg.MetadataValue.int(manifest.file.columns),
        "tables": dg.MetadataValue.int(len(manifest.extraction.features())),
        **_sized(manifest.file.size_bytes),
        "crc32c": dg.MetadataValue.text(f"{manifest.file.crc32c:08x}"),
        "engine": dg.MetadataValue.text(manifest.engine),
        "families": dg.MetadataValue.md(families_table(manifest.extraction)),
        **_columns_by_family(manifest.extraction, lambda _: SLABS, SPINE),
    }


def publication_metadata(published: Published, manifest: Manifest, swept: Removed) -> Metadata:
    """Return the metadata of a published file."""
    return {
        "dagster/row_count": dg.MetadataValue.int(manifest.file.rows),
        "dagster/uri": dg.MetadataValue.text(published.uri),
        "columns": dg.MetadataValue.int(manifest.file.columns),
        **_sized(published.size_bytes),
        "crc32c": dg.MetadataValue.text(f"{published.crc32c:08x}"),
        "manifest": dg.MetadataValue.text(published.manifest_uri),
        "expectations": dg.MetadataValue.text(_judged(published)),
        "swept_staged_objects": dg.MetadataValue.int(len(swept.names)),
        "publication": dg.MetadataValue.json(_exact(published.model_dump(mode="json", exclude=set(_STATED)))),
    }


def published_of(facts: Mapping[str, object]) -> Published:
    """Return the publication that ``publication_metadata`` describes, by the plain values of its metadata."""
    publication = cast("dict[str, object]", facts["publication"])
    return Published.model_validate(publication | {field: facts[key] for field, key in _STATED.items()})


def _judged(published: Published) -> str:
    judged = published.expectations
    return judged.sentence(published.pair) if judged is not None else "not recorded"


def _exact(facts: dict[str, object]) -> dict[str, object]:
    """Return the facts with large whole numbers as text: a browser would round a generation that users copy."""
    return {
        name: str(value) if isinstance(value, int) and abs(value) > _EXACT_IN_BROWSERS else value
        for name, value in facts.items()
    }


def _columns_by_family(
    record: ExtractionRecord, above: Callable[[str], dg.AssetKey], spine: dg.AssetKey | None = None
) -> Metadata:
    """Return column schema and lineage with one entry for each family: 17,031 of them would make an event of megabytes.

    The files of slabs have no key and no targets: only with ``spine`` do these two have entries.
    """
    schema: list[dg.TableColumn] = []
    lineage: dict[str, list[dg.TableColumnDep]] = {}
    for name, kind in ((KEY, "TIMESTAMP"), ("target_*", "FLOAT64")) if spine is not None else ():
        schema.append(dg.TableColumn(name, kind))
        lineage[name] = [dg.TableColumnDep(cast("dg.AssetKey", spine), name)]
    slabs = record.features()
    for family in _families(slabs):
        members = [slab for slab in slabs if slab.provenance.family == family]
        columns = sum(len(slab.provenance.columns) for slab in members)
        schema.append(dg.TableColumn(f"{family}: *", f"{columns:,} columns", f"of {count(len(members), 'table')}"))
        if family in family_names():
            lineage[f"{family}: *"] = [dg.TableColumnDep(above(family), f"{family}: *")]
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(schema)),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage)),
    }


def families_table(record: ExtractionRecord) -> str:
    """Return a markdown table with one line for each family, and their sum."""
    slabs = record.features()
    by_family = {family: [s for s in slabs if s.provenance.family == family] for family in _families(slabs)}
    lines = ["| family | tables | columns | MB |", "|---|---:|---:|---:|"]
    lines += [_line(family, members) for family, members in by_family.items()]
    return cut("\n".join([*lines, _line("**all**", slabs)]), _TABLE_BYTES)


def quarantine_table(quarantined: Iterable[Quarantined]) -> str:
    """Return a markdown list of the columns left out because they look forward."""
    lines = [f"{markdown_code(f'{each.table}.{each.column}')}: {each.reason}"[:500] for each in quarantined]
    return cut("\n".join(f"- {line}" for line in first_of(lines, _SAMPLE)), _TABLE_BYTES) or "none"


def _families(slabs: Iterable[SlabRecord]) -> list[str]:
    """Return the slabs' families in column order; slabs of foreign checkpoints may have unknown ones."""
    found = {slab.provenance.family for slab in slabs}
    return sorted(found, key=lambda family: (family_rank(family), family))


def _line(family: str, slabs: Iterable[SlabRecord]) -> str:
    members = list(slabs)
    columns = sum(len(slab.provenance.columns) for slab in members)
    return f"| {family} | {len(members):,} | {columns:,} | {sum(slab.size_bytes for slab in members) / 1e6:,.1f} |"
