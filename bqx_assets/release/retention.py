"""Removes what is no longer needed: staged objects by age, and a pair's slabs after a verified publication.

The store itself keeps ``keep_versions`` earlier versions of a published file. A validated file is never removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bqx_assets.base.artifacts import Manifest, Record, SlabRecord
from bqx_assets.base.errors import CheckpointMismatch, ChecksumMismatch, ObjectMissing, PreconditionFailed
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.protocol import STAGING, ObjectInfo, ObjectStore
from bqx_assets.base.store.staging_names import is_own, store_time
from bqx_assets.extract.slabs import Slabs
from bqx_assets.release.published import COMPANIONS, is_companion, verify

_NAMED = 5


class Removed(Record):
    """The objects that a cleanup removed."""

    names: tuple[str, ...]
    size_bytes: int


def sweep(store: ObjectStore, *, staging_days: int, now: datetime | None = None) -> Removed:
    """Delete objects that this package staged more than ``staging_days`` ago, and companions of that age without use.

    A published object is never touched. The store's own clock decides the age. Objects of others under ``staging/``
    stay at any age. An object that is written again meanwhile stays too, because a deletion names the version.
    """
    staged = [info for info in store.list_objects(STAGING) if is_own(info)]
    companions = [info for info in store.list_objects(COMPANIONS) if info.own]
    looked = bool(staged or companions)
    limit = (now or store_time(store, STAGING)) - timedelta(days=staging_days) if looked else None
    removed: list[str] = []
    size_bytes = 0
    for info in [*staged, *(_unnamed(store, companions, limit) if limit else ())]:
        if limit is None or info.updated >= limit:
            continue
        try:
            store.delete(info.name, only_if=info.version)
        except (ObjectMissing, PreconditionFailed):
            continue  # another sweep was faster, or somebody has written it
        removed.append(info.name)
        size_bytes += info.size_bytes
    return Removed(names=tuple(removed), size_bytes=size_bytes)


def _unnamed(store: ObjectStore, companions: Sequence[ObjectInfo], limit: datetime) -> list[ObjectInfo]:
    """Return old companions that neither a published object nor an earlier version of it names.

    A publication that failed or died before its swap leaves such companions behind. **Cost**: for pairs with old
    companions only, a listing of versions, and reading the companions that nobody names.
    """
    old: dict[str, list[ObjectInfo]] = {}
    for info in companions:
        if info.updated < limit:
            old.setdefault(info.name.split("/")[1], []).append(info)
    found: list[ObjectInfo] = []
    for pair in ALL_PAIRS:
        if pair.name in old:
            name = training_name(pair)
            versions = [*store.earlier(name), *filter(None, [store.head(name)])]
            named = {stated for version in versions for stated in version.metadata.values()}
            found += [info for info in old[pair.name] if info.name not in named and is_companion(store, info.name)]
    return found


def clean_checkpoints(pair: Pair, slabs: Slabs, store: ObjectStore) -> Removed:
    """Delete a pair's slabs, once the store itself confirms the published file that was made of them.

    Only pieces that the published manifest names, with its checksums, are deleted; other tables stay. Pieces that are
    gone already, because an earlier deletion was killed, are no error.
    **Cost**: slabs in a folder are read once; a bucket states its objects' checksums.

    Raises:
        ChecksumMismatch: there is no published file, or it is not the manifest's. Nothing is deleted.
        CheckpointMismatch: a slab is not the one that was published. Nothing is deleted.
        FolderBusy: an extraction is at work there.
    """
    manifest = _verified_manifest(pair, store)
    with slabs.exclusive():
        for slab in manifest.extraction.slabs:
            _refuse_other(pair, slabs, slab)
        found = [there for slab in manifest.extraction.slabs if (there := slabs.there(slab)).pieces]
        if found:
            slabs.remove(found)
    pieces = [piece for slab in found for piece in slab.pieces]
    return Removed(
        names=tuple(piece.object_name for piece in pieces), size_bytes=sum(each.size_bytes for each in pieces)
    )


def _verified_manifest(pair: Pair, store: ObjectStore) -> Manifest:
    """Return the published file's manifest after verifying its bytes: slabs are deleted only if the file is whole."""
    found = verify(store, pair)
    if found.manifest is None or found.state not in {"done", "partial"}:
        raise ChecksumMismatch(
            found.uri,
            got=found.got,
            expected=found.expected,
            cure=f"Publish first: bqx publish {pair}. No checkpoint was deleted.",
        )
    return found.manifest


def _refuse_other(pair: Pair, slabs: Slabs, slab: SlabRecord) -> None:
    others = slabs.others(slab.table, slab.pieces)
    if not others and slabs.intact(slabs.there(slab)):
        return
    raise CheckpointMismatch(
        f"{pair}/{slab.table}",
        got=f"another slab than the published one{f', with {some_of(others, _NAMED)}' if others else ''}",
        expected=f"{slab.size_bytes:,} bytes, crc32c {slab.crc32c:08x}",
        cure=f"Publish what is new first: bqx run {pair}. No checkpoint was deleted.",
    )
