"""Where a pair stands, read from its artefacts alone: records, manifests, reports, the store's own facts.

Belongs here: the state of each stage. Does not: counting files by listing a folder, logs, or drawing.

The users' earlier pipeline reported "all 26 pairs done" after 4, and "cost validated" for a run that had failed:
success was inferred from durations and exit codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    ExtractionRecord,
    Manifest,
    Record,
    SlabRecord,
    Spine,
    manifest_path,
)
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.objects.protocol import ObjectStore
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.catalogue.families import expected_tables, targets_table
from bqx_assets.extract.slabs import SlabFolder
from bqx_assets.release.checked import report_for
from bqx_assets.release.publish import read_manifest

State = Literal["none", "partial", "done", "stale", "failed"]
"""``stale``: made from something that is no longer what the stage before gives."""


class PairStatus(Record):
    """One pair's five stages."""

    pair: str
    spine: State
    slabs: State
    slabs_done: int
    slabs_expected: int
    failed_tables: tuple[str, ...]
    merged: State
    validated: State
    published: State
    """``failed``: the store's size or CRC32C of the object is not its manifest's."""
    rows: int | None
    columns: int | None
    """Of the published file; of the merged one before there is any."""
    size_bytes: int | None
    uri: str | None
    """Of the published file, once the store has confirmed it."""


def pair_status(pair: Pair, settings: Settings, expectations: Expectations, store: ObjectStore) -> PairStatus:
    """Return a pair's stages. **Cost**: reads records and facts; no slab's bytes, no training file's.

    Slabs are counted by their own records, made for the spine that is there, and by the size of their files.
    """
    folder = settings.checkpoint_dir / pair.name
    spine = _spine(folder)
    record = _load_extraction(folder)
    done = {slab.table: slab.crc32c for slab in _finished(pair, folder, spine, record)}
    wanted = {each.table for each in expected_tables(pair)} - expectations.known_absent.keys()
    file = settings.training_file(pair)
    manifest = _local_manifest(file)
    published, published_state = _published(pair, store)
    shown = published or manifest
    failed = tuple(each.table for each in record.failed if each.table not in done) if record else ()
    slabs = _slabs_state(spine, set(done), wanted)
    return PairStatus(
        pair=pair.name,
        spine="done" if spine else "none",
        slabs=slabs,
        slabs_done=len(done),
        slabs_expected=len(wanted | done.keys()),
        failed_tables=failed,
        merged=_merged_state(manifest, done),
        validated=_validated_state(file, manifest),
        published=_against_merged(published_state, published, manifest),
        rows=shown.file.rows if shown else spine.rows if spine else None,
        columns=shown.file.columns if shown else None,
        size_bytes=shown.file.size_bytes if shown else None,
        uri=store.uri(training_name(pair)) if published and published_state == "done" else None,
    )


def _spine(folder: Path) -> Spine | None:
    slabs = SlabFolder(folder)
    try:
        record = slabs.load_spine()
    except CheckpointCorrupt:
        return None
    return record.spine if _is_there(folder, record.slab) else None


def _load_extraction(folder: Path) -> ExtractionRecord | None:
    try:
        return ExtractionRecord.load(folder / EXTRACTION_FILE)
    except CheckpointCorrupt:
        return None


def _finished(pair: Pair, folder: Path, spine: Spine | None, record: ExtractionRecord | None) -> Iterator[SlabRecord]:
    """The feature slabs of this spine: from the last record, and those a killed extraction finished since."""
    if spine is None:
        return
    known = {slab.table: slab for slab in record.features()} if record else {}
    for table in {*known, *(each.table for each in expected_tables(pair))} - {targets_table(pair)}:
        slab = known.get(table)
        if slab is None or not _fits(folder, slab, spine):
            slab = _own_record(folder, table)
        if slab is not None and _fits(folder, slab, spine):
            yield slab


def _own_record(folder: Path, table: str) -> SlabRecord | None:
    path = folder / f"{table}.slab.json"
    try:
        return SlabRecord.load(path) if path.is_file() else None
    except CheckpointCorrupt:
        return None


def _fits(folder: Path, slab: SlabRecord, spine: Spine) -> bool:
    return slab.provenance.spine_fingerprint == spine.fingerprint and _is_there(folder, slab)


def _is_there(folder: Path, slab: SlabRecord) -> bool:
    path = folder / slab.object_name
    return path.is_file() and path.stat().st_size == slab.size_bytes


def _slabs_state(spine: Spine | None, done: set[str], wanted: set[str]) -> State:
    if spine is None or not done:
        return "none"
    return "done" if wanted <= done else "partial"


def _local_manifest(file: Path) -> Manifest | None:
    try:
        manifest = Manifest.load(manifest_path(file))
    except CheckpointCorrupt:
        return None
    there = file.is_file() and file.stat().st_size == manifest.file.size_bytes
    return manifest if there else None


def _merged_state(manifest: Manifest | None, done: dict[str, int]) -> State:
    """``stale`` when a slab is there that is not the one in the file; cleaned checkpoints leave it done."""
    if manifest is None:
        return "none"
    merged = {slab.table: slab.crc32c for slab in manifest.extraction.features()}
    return "stale" if any(merged.get(table) != crc for table, crc in done.items()) else "done"


def _validated_state(file: Path, manifest: Manifest | None) -> State:
    report = report_for(file, manifest) if manifest else None
    if report is None:
        return "none"
    return "done" if report.passed else "failed"


def _published(pair: Pair, store: ObjectStore) -> tuple[Manifest | None, State]:
    name = training_name(pair)
    info = store.head(name)
    if info is None:
        return None, "none"
    manifest = read_manifest(store, manifest_path(Path(name)).name)
    if manifest is None:
        return None, "failed"
    same = (info.size_bytes, info.crc32c) == (manifest.file.size_bytes, manifest.file.crc32c)
    return manifest, "done" if same else "failed"


def _against_merged(state: State, published: Manifest | None, merged: Manifest | None) -> State:
    newer = published and merged and published.file.crc32c != merged.file.crc32c
    return "stale" if state == "done" and newer else state
