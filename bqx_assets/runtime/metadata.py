"""What a materialisation says about itself: a handful of numbers and one table of the families.

Belongs here: turning records into Dagster metadata. Does not: measuring, or one entry a column: 17,031 of them
would make an event of megabytes that the web server has to load.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from bqx_assets.base.artifacts import ExtractionRecord, Manifest, Quarantined, SlabRecord, Spine
from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.printable import first_of, markdown_code
from bqx_assets.catalogue.families import FAMILIES
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.release.publish import Published
from bqx_assets.release.retention import Removed

Metadata = dict[str, dg.MetadataValue]
_SAMPLE = 20
"""Most names in a list: a failure of all 667 tables must still make a small event."""
_EXACT_IN_BROWSERS = 2**53


def spine_facts(spine: Spine, slab_bytes: int, columns: int) -> Metadata:
    """Return the metadata of a spine."""
    return {
        "dagster/row_count": dg.MetadataValue.int(spine.rows),
        "columns": dg.MetadataValue.int(columns),
        "size_bytes": dg.MetadataValue.int(slab_bytes),
        "first": dg.MetadataValue.timestamp(spine.first),
        "last": dg.MetadataValue.timestamp(spine.last),
        "row_groups": dg.MetadataValue.int(len(spine.row_groups)),
        "fingerprint": dg.MetadataValue.text(spine.fingerprint),
    }


def extraction_facts(record: ExtractionRecord, resumed: int) -> Metadata:
    """Return the metadata of a pair's feature slabs."""
    slabs = record.features()
    quarantined = [each for slab in slabs for each in slab.provenance.quarantined]
    return {
        "dagster/row_count": dg.MetadataValue.int(record.spine.rows),
        "tables": dg.MetadataValue.int(len(slabs)),
        "columns": dg.MetadataValue.int(sum(len(slab.provenance.columns) for slab in slabs)),
        "size_bytes": dg.MetadataValue.int(sum(slab.size_bytes for slab in slabs)),
        "resumed_tables": dg.MetadataValue.int(resumed),
        "failed_tables": dg.MetadataValue.int(len(record.failed)),
        "snapshot_time": dg.MetadataValue.timestamp(record.snapshot_time),
        "families": dg.MetadataValue.md(families_table(record)),
        "quarantined": dg.MetadataValue.md(quarantine_table(quarantined)),
    }


def read_facts(warehouse: Warehouse) -> Metadata:
    """Return what a step read from the warehouse, and its price."""
    return {
        "read_bytes": dg.MetadataValue.int(warehouse.read_bytes),
        "read_usd": dg.MetadataValue.float(round(storage_read_usd(warehouse.read_bytes), 6)),
    }


def training_facts(manifest: Manifest) -> Metadata:
    """Return the metadata of a merged training file."""
    return {
        "dagster/row_count": dg.MetadataValue.int(manifest.file.rows),
        "columns": dg.MetadataValue.int(manifest.file.columns),
        "tables": dg.MetadataValue.int(len(manifest.extraction.features())),
        "size_bytes": dg.MetadataValue.int(manifest.file.size_bytes),
        "crc32c": dg.MetadataValue.text(f"{manifest.file.crc32c:08x}"),
        "engine": dg.MetadataValue.text(manifest.engine),
        "families": dg.MetadataValue.md(families_table(manifest.extraction)),
    }


def publication_facts(published: Published, manifest: Manifest, swept: Removed) -> Metadata:
    """Return the metadata of a published file."""
    return {
        "dagster/row_count": dg.MetadataValue.int(manifest.file.rows),
        "dagster/uri": dg.MetadataValue.text(published.uri),
        "columns": dg.MetadataValue.int(manifest.file.columns),
        "size_bytes": dg.MetadataValue.int(published.size_bytes),
        "crc32c": dg.MetadataValue.text(f"{published.crc32c:08x}"),
        "manifest": dg.MetadataValue.text(published.manifest_uri),
        "expectations": dg.MetadataValue.text(_judged(published)),
        "swept_staged_objects": dg.MetadataValue.int(len(swept.names)),
        "publication": dg.MetadataValue.json(_exact(published.model_dump(mode="json"))),
    }


def _judged(published: Published) -> str:
    judged = published.expectations
    return judged.sentence(published.pair) if judged is not None else "not recorded"


def _exact(facts: dict[str, object]) -> dict[str, object]:
    """Large whole numbers as text: a browser rounds a generation, and another one would be copied from its page."""
    return {
        name: str(value) if isinstance(value, int) and abs(value) > _EXACT_IN_BROWSERS else value
        for name, value in facts.items()
    }


def families_table(record: ExtractionRecord) -> str:
    """Return a markdown table: one line a family, and their sum."""
    slabs = record.features()
    by_family = {family: [s for s in slabs if s.provenance.family == family] for family in _families(slabs)}
    lines = ["| family | tables | columns | MB |", "|---|---:|---:|---:|"]
    lines += [_line(family, members) for family, members in by_family.items()]
    return "\n".join([*lines, _line("**all**", slabs)])


def quarantine_table(quarantined: Iterable[Quarantined]) -> str:
    """Return a markdown list of the columns left out because they look forward."""
    lines = [f"{markdown_code(f'{each.table}.{each.column}')}: {each.reason}"[:500] for each in quarantined]
    return "\n".join(f"- {line}" for line in first_of(lines, _SAMPLE)) or "none"


def _families(slabs: Iterable[SlabRecord]) -> list[str]:
    """The known families in column order; a merge of foreign checkpoints may bring its own."""
    found = {slab.provenance.family for slab in slabs}
    return [*FAMILIES, *sorted(found - {*FAMILIES})]


def _line(family: str, slabs: Iterable[SlabRecord]) -> str:
    members = list(slabs)
    columns = sum(len(slab.provenance.columns) for slab in members)
    return f"| {family} | {len(members):,} | {columns:,} | {sum(slab.size_bytes for slab in members) / 1e6:,.1f} |"
