"""What may be removed, and when: staged objects by age, a pair's slabs after a verified publication.

Belongs here: the two removals and their conditions. Does not: earlier versions of a published file (the store keeps
``keep_versions`` of them), or any removal of a validated file: there is none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from bqx_assets.base.artifacts import Manifest, Record, SlabRecord, manifest_path
from bqx_assets.base.errors import CheckpointMismatch, ChecksumMismatch, ObjectMissing, PreconditionFailed
from bqx_assets.base.objects.protocol import STAGING, ObjectStore
from bqx_assets.base.objects.staged import is_own, store_time
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import training_name
from bqx_assets.extract.slabs import SlabStore
from bqx_assets.release.publish import read_manifest


class Removed(Record):
    """What a cleanup removed."""

    names: tuple[str, ...]
    size_bytes: int


def sweep(store: ObjectStore, *, staging_days: int, now: datetime | None = None) -> Removed:
    """Delete objects that this package staged more than ``staging_days`` ago; a published one is never looked at.

    Age is by the store's own clock. What others keep under ``staging/`` stays, whatever its age. An object written
    again between the look and the deletion stays: it is deleted by its generation.
    """
    staged = [info for info in store.list_objects(STAGING) if is_own(info)]
    limit = (now or store_time(store, STAGING)) - timedelta(days=staging_days) if staged else None
    removed: list[str] = []
    size_bytes = 0
    for info in staged:
        if limit is None or info.updated >= limit:
            continue
        try:
            store.delete(info.name, if_generation=info.generation)
        except (ObjectMissing, PreconditionFailed):
            continue  # another sweep was first, or somebody is writing it now: either way it is not ours
        removed.append(info.name)
        size_bytes += info.size_bytes
    return Removed(names=tuple(removed), size_bytes=size_bytes)


def clean_checkpoints(pair: Pair, slabs: SlabStore, store: ObjectStore) -> Removed:
    """Delete a pair's slabs, once the store itself confirms the published file that was made of them.

    Only slabs that the published manifest names, with its checksums, are deleted; others stay.
    **Cost**: a folder's slabs are read once; of objects the store's own checksums are asked.

    Raises:
        ChecksumMismatch: no published file, or its size and CRC32C are not its manifest's. Nothing is deleted.
        CheckpointMismatch: a slab is not the one that was published. Nothing is deleted.
        FolderBusy: an extraction is at work there.
    """
    manifest = _verified_manifest(pair, store)
    with slabs.exclusive():
        found = [slab for slab in manifest.extraction.slabs if slabs.there(slab.table)]
        for slab in found:
            _refuse_other(pair, slabs, slab)
        if found:
            slabs.remove(found)
    return Removed(names=tuple(slab.object_name for slab in found), size_bytes=sum(slab.size_bytes for slab in found))


def _verified_manifest(pair: Pair, store: ObjectStore) -> Manifest:
    name = training_name(pair)
    info = store.head(name)
    manifest = read_manifest(store, manifest_path(Path(name)).name)
    stated = (manifest.file.size_bytes, manifest.file.crc32c) if manifest and manifest.pair == pair.name else None
    if manifest is None or info is None or (info.size_bytes, info.crc32c) != stated:
        raise ChecksumMismatch(
            store.uri(name),
            got=f"{info.size_bytes:,} bytes, crc32c {info.crc32c:08x}" if info else "no published file",
            expected="{:,} bytes, crc32c {:08x} by its manifest".format(*stated) if stated else "one with its manifest",
            cure=f"Publish first: bqx publish {pair}. No checkpoint was deleted.",
        )
    return manifest


def _refuse_other(pair: Pair, slabs: SlabStore, slab: SlabRecord) -> None:
    if slabs.intact(slab):
        return
    raise CheckpointMismatch(
        f"{pair}/{slab.table}",
        got="another slab than the published one",
        expected=f"{slab.size_bytes:,} bytes, crc32c {slab.crc32c:08x}",
        cure=f"Publish what is new first: bqx run {pair}. No checkpoint was deleted.",
    )
