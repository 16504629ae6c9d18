"""The merge where the slabs are objects: composed inside the store, the merged footer the only byte sent.

Belongs here: a pair's slab objects held against their record, and the splice by compose. Does not: the tree of compose
calls (``base/store/gcs``), publication (``release``).
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from pathlib import Path

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, Manifest, SlabRecord, manifest_path
from bqx_assets.base.checksums import combine, crc32c
from bqx_assets.base.errors import ChecksumMismatch, MergeRefused, StoreError
from bqx_assets.base.frame_files import TAIL_BYTES
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.protocol import ABSENT, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.records import load_record, save_record
from bqx_assets.base.store.staged import FOOTERS, TRAINING
from bqx_assets.base.threads import in_threads
from bqx_assets.extract.slab_objects import FOOTER_BYTES_KEY, has_recorded_bytes, slabs_prefix
from bqx_assets.merge.footer import Footer, merge_footers, parse_footer, read_end
from bqx_assets.merge.plan import (
    check_memory,
    check_slab,
    footers_memory_bytes,
    not_recorded,
    refuse_collisions,
    refuse_incomplete,
)
from bqx_assets.merge.result import MergeResult, manifest_of, own_metadata

_ENGINE = "compose"
_READERS = 16


@dataclass(frozen=True, slots=True)
class ComposePlan:
    """One pair's merge inside a store: slabs in column order, the spine first, each with its footer."""

    pair: Pair
    extraction: ExtractionRecord
    footers: tuple[Footer, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the output, without its footer."""
        return sum(slab.size_bytes for slab in self.extraction.slabs)


def plan_compose(pair: Pair, store: ObjectStore) -> ComposePlan:
    """Return the merge of a pair's slab objects, by their record.

    Sizes, CRC32C and versions are the store's own. **Cost**: one listing, and one range read a slab: its footer. A
    slab that was written since it was recorded is read whole, for its SHA-256.

    Raises:
        CheckpointCorrupt: no extraction.
        NotEnoughMemory: for the footers.
        MergeRefused, ColumnCollision, CheckpointMismatch, FooterError: as ``plan_merge``.
    """
    prefix = slabs_prefix(pair)
    extraction = load_record(store, f"{prefix}{EXTRACTION_FILE}", ExtractionRecord)
    if extraction.pair != pair.name:
        raise MergeRefused(
            f"{pair}", got=f"slabs of {extraction.pair}", expected=f"of {pair}", cure=f"bqx extract {pair}"
        )
    there = {info.name.removeprefix(prefix): info for info in store.list_objects(prefix)}
    slabs = [name for name in there if name.endswith(".parquet")]
    refuse_incomplete(pair, store.uri(prefix.rstrip("/")), extraction, slabs)
    refuse_collisions(pair, extraction.slabs)
    columns = sum(len(slab.provenance.columns) for slab in extraction.slabs)
    check_memory(footers_memory_bytes(columns, len(extraction.spine.row_groups)), f"{pair}")

    def footer(record: SlabRecord) -> Footer:
        info = there[record.object_name]
        if not has_recorded_bytes(store, info, record, there.get(f"{record.table}.slab.json")):
            got = f"{info.size_bytes:,} bytes, crc32c {info.crc32c:08x}, written since it was recorded"
            expected = f"{record.size_bytes:,} bytes, crc32c {record.crc32c:08x}, sha256 {record.sha256 or 'unknown'}"
            raise not_recorded(record, got, expected)
        found = read_object_footer(store, info, f"{pair}/{record.table}")
        check_slab(extraction.spine, record, found)
        return found

    return ComposePlan(pair, extraction, tuple(in_threads(footer, extraction.slabs, _READERS, "footers")))


def merged_name(pair: Pair) -> str:
    """Return the object that a pair's merged, not yet published file is."""
    return f"{TRAINING}{pair}/{training_name(pair)}"


def compose(plan: ComposePlan, store: ObjectStore, *, progress: Progress) -> Manifest:
    """Make ``merged_name(pair)`` of the plan's slabs and a merged footer, its manifest beside it; return that.

    **Shape**: the spine's rows x the slabs' columns. **Cost**: 22 compose calls for 669 slabs; the footer is sent
    (1.5 MB at 17,038 columns), no other byte read or sent. The store's CRC32C of the whole is held against the one
    that follows from the slabs'.

    Raises:
        ChecksumMismatch: the composed bytes are not those of the plan's slabs; the object is removed again.
        PreconditionFailed: another merge of the pair wrote it meanwhile.
        FooterError: a slab does not fit the others.
    """
    progress.start("merge", len(plan.extraction.slabs) + 1)
    with waiting(progress, "merge", at_work("the bucket lays slabs end to end")):
        manifest = _compose(plan, store)
    for slab in plan.extraction.slabs:
        progress.advance("merge", slab.table)
    progress.advance("merge", merged_name(plan.pair), f"{manifest.file.size_bytes / 1e6:,.1f} MB")
    return manifest


def _compose(plan: ComposePlan, store: ObjectStore) -> Manifest:
    name = merged_name(plan.pair)
    before = store.head(name)
    end = merge_footers(
        plan.footers, plan.extraction.spine.row_groups, own_metadata(plan.extraction, _ENGINE, plan.extraction.slabs)
    )
    expected = _expected(plan, end)
    footer = store.put_bytes(f"{FOOTERS}{plan.pair}-{secrets.token_hex(8)}", end, only_if=ABSENT)
    made = store.compose(
        name,
        [*(f"{slabs_prefix(plan.pair)}{slab.object_name}" for slab in plan.extraction.slabs), footer.name],
        metadata={"pair": plan.pair.name, "crc32c": f"{expected.crc32c:08x}"},
        only_if=version_of(before),
    )
    _verify(store, made, expected)
    with suppress(StoreError):  # the lifecycle removes what cannot be removed now
        store.delete(footer.name, only_if=footer.version)
    manifest = manifest_of(plan.extraction, training_name(plan.pair), _ENGINE, expected)
    save_record(store, str(manifest_path(Path(name))), manifest)
    return manifest


def _expected(plan: ComposePlan, end: bytes) -> MergeResult:
    slabs = plan.extraction.slabs
    parts = [(slab.crc32c, slab.size_bytes) for slab in slabs] + [(crc32c(end), len(end))]
    crc = reduce(lambda sofar, part: combine(sofar, *part), parts, 0)
    columns = sum(len(footer.columns) for footer in plan.footers)
    return MergeResult(sum(size for _, size in parts), crc, sha256(end).hexdigest(), columns, slabs)


def read_object_footer(store: ObjectStore, info: ObjectInfo, subject: str) -> Footer:
    """Return the footer of a parquet object. **Cost**: one range read where its size is in the metadata, else two.

    Raises:
        FooterError: not a whole parquet file.
    """
    stated = info.metadata.get(FOOTER_BYTES_KEY, "")
    end = read_end(
        lambda start, length: store.read(info.name, start, length),
        info.size_bytes,
        subject,
        guess_bytes=int(stated) if stated.isdigit() else TAIL_BYTES,
    )
    return parse_footer(end, info.size_bytes, subject)


def _verify(store: ObjectStore, made: ObjectInfo, expected: MergeResult) -> None:
    if (made.size_bytes, made.crc32c) == (expected.size_bytes, expected.crc32c):
        return
    store.delete(made.name, only_if=made.version)
    raise ChecksumMismatch(
        store.uri(made.name),
        got=f"{made.size_bytes:,} bytes, crc32c {made.crc32c:08x}, removed again",
        expected=f"{expected.size_bytes:,} bytes, crc32c {expected.crc32c:08x} by its slabs",
        cure="A slab changed while it was composed: extract again, then merge.",
    )
