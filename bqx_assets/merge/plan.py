"""What a merge will do: its parts in column order, each checked before a byte is copied.

Belongs here: a checkpoint folder held against its own record. Does not: folders without one (``raw``), or copying.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    SLAB_METADATA_KEY,
    ExtractionRecord,
    SlabProvenance,
    SlabRecord,
    Spine,
)
from bqx_assets.base.errors import MergeRefused
from bqx_assets.base.files import TEMP_MARK
from bqx_assets.base.names import refuse_same_names
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.merge.footer import Footer, read_footer
from bqx_assets.merge.parts import Part, SlabPart, not_recorded
from bqx_assets.merge.raw import RawFolder, list_folder, list_objects, plan_raw

_NAMED = 10


@dataclass(frozen=True, slots=True)
class MergePlan:
    """One pair's merge. ``extraction`` holds no slab yet where the parts are raw checkpoints."""

    pair: Pair
    extraction: ExtractionRecord
    parts: tuple[Part, ...]
    """In column order, the spine first."""
    left_out: tuple[str, ...] = ()
    """What lies beside raw checkpoints and is none of them."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the output, without its footer."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def column_count(self) -> int:
        """Columns of the output at most: a raw checkpoint's may yet be quarantined."""
        return sum(part.column_count for part in self.parts)


def plan_merge(pair: Pair, folder: Path, settings: Settings) -> MergePlan:
    """Return the merge of a pair's checkpoint folder: slabs by their record, else raw checkpoints.

    **Cost**: reads the footers, about 90 bytes a column; of raw checkpoints the targets as well.

    Raises:
        MergeRefused: a table is missing, failed or superfluous, or the folder holds another pair.
        ColumnCollision: two tables give one column name.
        CheckpointMismatch: a slab is not the recorded one.
        CheckpointCorrupt, FooterError: the record or a slab is damaged.
        TableDefect: raw targets cannot be a spine.
    """
    if (folder / EXTRACTION_FILE).is_file():
        return _plan_slabs(pair, folder)
    return _of_raw(pair, plan_raw(pair, list_folder(pair, folder), settings))


def plan_merge_of_objects(pair: Pair, store: ObjectStore, place: str, settings: Settings) -> MergePlan:
    """Return the merge of raw checkpoints that are a store's objects, ``place`` as a user names it.

    **Cost**: a listing, two requests an object for its footer, and the targets.

    Raises as ``plan_merge``, and:
        MergeRefused: an object is replaced while it is read, or these are slabs of an extraction.
    """
    if store.head(EXTRACTION_FILE) is not None:
        raise MergeRefused(
            place,
            got=f"slabs of an extraction, with their {EXTRACTION_FILE}",
            expected="raw checkpoints: slabs in a bucket are merged there",
            cure=f"Merge them where they are, with BQX_OUTPUT and without --checkpoint-dir: bqx merge {pair}",
        )
    return _of_raw(pair, plan_raw(pair, list_objects(pair, store, place), settings))


def _of_raw(pair: Pair, raw: RawFolder) -> MergePlan:
    return MergePlan(pair, raw.extraction, raw.parts, raw.left_out)


def _plan_slabs(pair: Pair, folder: Path) -> MergePlan:
    extraction = ExtractionRecord.load(folder / EXTRACTION_FILE)
    if extraction.pair != pair.name:
        raise MergeRefused(
            str(folder), got=f"slabs of {extraction.pair}", expected=f"of {pair}", cure=f"bqx extract {pair}"
        )
    there = {path.name for path in folder.glob("*.parquet") if TEMP_MARK not in path.name}
    refuse_incomplete(pair, str(folder), extraction, there)
    refuse_collisions(pair, extraction.slabs)
    return MergePlan(pair, extraction, tuple(_slab_part(pair, folder, extraction, slab) for slab in extraction.slabs))


def refuse_incomplete(pair: Pair, place: str, extraction: ExtractionRecord, there: Collection[str]) -> None:
    """Raise MergeRefused unless the slabs ``there`` are the recorded ones, table by table.

    A threshold once let 93% of the tables go missing.
    """
    recorded = {slab.object_name: slab.table for slab in extraction.slabs}
    failed = [each.table for each in extraction.failed]
    # A table that failed may still have an older slab: it is named once, as failed.
    superfluous = sorted(set(there) - recorded.keys() - {f"{name}.parquet" for name in failed})
    missing = [table for name, table in recorded.items() if name not in there]
    problems = [
        f"{len(names):,} {word}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
        for word, names in (("failed or not extracted", failed), ("missing", missing), ("superfluous", superfluous))
        if names
    ]
    if not problems:
        return
    again = " ".join(f"--table {name}" for name in [*failed, *missing][:_NAMED])
    cures = [f"Extract again: bqx extract {pair} {again}."] if again else []
    cures += [f"Remove from {place} what is superfluous."] if superfluous else []
    raise MergeRefused(
        f"{pair}",
        got="; ".join(problems),
        expected=f"exactly {len(recorded) + len(failed):,} slabs",
        cure=" ".join(cures),
    )


def refuse_collisions(pair: Pair, slabs: Sequence[SlabRecord]) -> None:
    """Refuse slabs that give one column name twice. Raises ColumnCollision."""
    refuse_same_names(f"{pair}", ((slab.table, each.name) for slab in slabs for each in slab.provenance.columns))


def _slab_part(pair: Pair, folder: Path, extraction: ExtractionRecord, record: SlabRecord) -> SlabPart:
    path = folder / record.object_name
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        raise not_recorded(record, f"{size_bytes:,} bytes", f"{record.size_bytes:,}")
    footer = read_footer(path, f"{pair}/{record.table}")
    check_slab(extraction.spine, record, footer)
    return SlabPart(path, record, footer)


def check_slab(spine: Spine, record: SlabRecord, footer: Footer) -> None:
    """Compare a slab's provenance, columns and row groups, by its footer, with the record and the spine.

    Raises:
        CheckpointMismatch: one of them differs.
    """
    provenance = record.provenance
    if _carried(footer) != provenance:
        raise not_recorded(record, "another provenance in its metadata", "the recorded one")
    if provenance.spine_fingerprint != spine.fingerprint:
        raise not_recorded(record, f"spine {provenance.spine_fingerprint}", spine.fingerprint)
    columns = list(zip(footer.columns, footer.types, strict=True))
    if columns != [(column.name, column.type) for column in provenance.columns]:
        raise not_recorded(record, f"{len(columns)} other columns", "the recorded ones")
    if footer.row_groups != spine.row_groups:
        raise not_recorded(record, f"row groups {footer.row_groups}", f"{spine.row_groups}")


def _carried(footer: Footer) -> SlabProvenance | None:
    """Return a slab's provenance by its own metadata: as facts, for an older version wrote fewer of them."""
    try:
        return SlabProvenance.model_validate_json(footer.metadata().get(SLAB_METADATA_KEY, ""))
    except ValueError:
        return None
