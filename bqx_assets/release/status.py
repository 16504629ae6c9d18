"""Finds the state of a pair's stages from its artefacts alone: records, manifests, reports and the store's facts.

The users' earlier pipeline reported "all 26 pairs done" after 4, and "cost validated" for a run that had failed,
because it inferred success from durations and exit codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bqx_assets.base.artifacts import ExtractionRecord, Manifest, Record, SlabRecord, Spine
from bqx_assets.base.errors import BqxError, CheckpointCorrupt, NewerFormat, StoreError, SystemRefused
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.protocol import ObjectStore, VerifiedBy
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.catalogue.families import expected_tables, targets_table
from bqx_assets.extract.slabs import Slabs
from bqx_assets.quality.report import Report
from bqx_assets.release.merged_file import MergedFile
from bqx_assets.release.published import State, companions_of, look

_READERS = 16
_R = TypeVar("_R")


class PairStatus(Record):
    """One pair's five stages."""

    pair: str
    problem: str = ""
    """Why the pair's artefacts could not be read, in words; every stage then counts as "none"."""
    spine: State = "none"
    slabs: State = "none"
    slabs_done: int = 0
    slabs_expected: int = 0
    periods: tuple[str, ...] = ()
    """Names of the periods of the spine that is there, in order; empty where there is none or it is not cut."""
    failed_tables: tuple[str, ...] = ()
    failed_why: str = ""
    """The error of the first of them, and what helps; empty if there is none."""
    merged: State = "none"
    validated: State = "none"
    failed_checks: tuple[str, ...] = ()
    """Names of the rules of severity "error" that failed in the last report."""
    published: State = "none"
    """``failed``: size or CRC32C of the object is not its manifest's. ``unverified``: the file could have changed since
    it was last read. ``partial``: whole, but a plain-named copy of its manifest or report is of another version."""
    verified_at: datetime | None = None
    verified_by: VerifiedBy | None = None
    """The time and the way in which the published bytes were last compared with a checksum."""
    rows: int | None = None
    columns: int | None = None
    """Columns of the published file, or of the merged one while nothing is published."""
    size_bytes: int | None = None
    content_digest: str | None = None
    """The digest of its values; None where an earlier version wrote the manifest without one."""
    uri: str | None = None
    """The published file's URI, if its bytes were verified and could not have changed since."""


@dataclass(frozen=True, slots=True)
class PairArtifacts:
    """A pair's stages, and the records that they follow from; None for what is not there or cannot be read."""

    status: PairStatus
    extraction: ExtractionRecord | None = None
    published: Manifest | None = None
    report: Report | None = None
    """Of the merged file; of the published one where nothing is merged."""


def pair_artifacts(
    pair: Pair, slabs: Slabs, file: MergedFile, expectations: Expectations, store: ObjectStore
) -> PairArtifacts:
    """Return a pair's stages. **Cost**: reads records and facts, but no slab and no training file of more than 64 MiB.

    A slab counts if its record is for the spine that is there, and if its stored facts are those of the record. What
    cannot be read of this pair is its ``problem``, because it says nothing about the others.

    Raises:
        StoreError: the store does not answer.
    """
    try:
        return _artifacts(pair, slabs, file, expectations, store)
    except StoreError:
        raise
    except (BqxError, OSError) as error:
        problem = str(error if isinstance(error, BqxError) else SystemRefused.of(error))
        return PairArtifacts(PairStatus(pair=pair.name, problem=problem))


def _artifacts(
    pair: Pair, slabs: Slabs, file: MergedFile, expectations: Expectations, store: ObjectStore
) -> PairArtifacts:
    spine = _spine(slabs)
    record = _there(slabs.load_extraction)
    done = {slab.table: slab.crc32c for slab in _finished(pair, slabs, spine, record)}
    # And those that the last extraction excused by number, for which a listing of the warehouse was needed.
    absent = {*expectations.absent(pair), *(record.known_absent if record else ())}
    wanted = {each.table for each in expected_tables(pair)} - absent
    manifest = _own_manifest(file, pair)
    standing = look(store, pair)
    published = standing.manifest
    shown = published or manifest
    failed = [each for each in record.failed if each.table not in done] if record else []
    report = file.report(manifest) if manifest else _published_report(store, pair) if published else None
    status = PairStatus(
        pair=pair.name,
        spine="done" if spine else "none",
        slabs=_slabs_state(spine, set(done), wanted),
        slabs_done=len(done),
        slabs_expected=len(wanted | done.keys()),
        periods=spine.periods if spine else (),
        failed_tables=tuple(each.table for each in failed),
        failed_why=next((f"{each.error}: {each.message}".partition("\n")[0] for each in failed), ""),
        merged=_merged_state(manifest, done),
        validated=_validated_state(report) if manifest else "none",
        failed_checks=tuple(each.rule for each in report.failures()) if report else (),
        published=_against_merged(standing.state, published, manifest),
        verified_at=standing.verified_at,
        verified_by=standing.verified_by,
        rows=shown.file.rows if shown else spine.rows if spine else None,
        columns=shown.file.columns if shown else None,
        size_bytes=shown.file.size_bytes if shown else None,
        content_digest=shown.file.content_digest if shown else None,
        uri=standing.uri if published and standing.state in {"done", "partial"} else None,
    )
    return PairArtifacts(status, record, published, report)


def _spine(slabs: Slabs) -> Spine | None:
    record = _there(slabs.load_spine)
    return record.spine if record is not None and slabs.holds(record.slab) else None


def _there(load: Callable[[], _R]) -> _R | None:
    """Return a record; None if there is none, or a damaged one. One of a later format is there, and is an error."""
    try:
        return load()
    except NewerFormat:
        raise
    except CheckpointCorrupt:
        return None


def _finished(pair: Pair, slabs: Slabs, spine: Spine | None, record: ExtractionRecord | None) -> Iterator[SlabRecord]:
    """Yield the feature slabs of this spine: those of the last record, and those a killed extraction finished since."""
    if spine is None:
        return
    known = {slab.table: slab for slab in record.features()} if record else {}
    listed = [slab for slab in known.values() if _fits(slab, spine) and slabs.holds(slab)]
    rest = {*known, *(each.table for each in expected_tables(pair))} - {slab.table for slab in listed}
    yield from listed
    for slab in in_threads(slabs.record, sorted(rest - {targets_table(pair)}), _READERS, "status"):
        if slab is not None and _fits(slab, spine):
            yield slab


def _fits(slab: SlabRecord, spine: Spine) -> bool:
    return slab.provenance.spine_fingerprint == spine.fingerprint


def _slabs_state(spine: Spine | None, done: set[str], wanted: set[str]) -> State:
    if spine is None or not done:
        return "none"
    return "done" if wanted <= done else "partial"


def _own_manifest(file: MergedFile, pair: Pair) -> Manifest | None:
    """Return the manifest of the merged file; None if it is of another pair, or of another file."""
    manifest = _there(file.manifest)
    return manifest if manifest is not None and manifest.pair == pair.name and file.holds(manifest) else None


def _merged_state(manifest: Manifest | None, done: dict[str, int]) -> State:
    """Return ``stale`` if a slab differs from the one in the file; deleted slabs change nothing."""
    if manifest is None:
        return "none"
    merged = {slab.table: slab.crc32c for slab in manifest.extraction.features()}
    return "stale" if any(merged.get(table) != crc for table, crc in done.items()) else "done"


def _published_report(store: ObjectStore, pair: Pair) -> Report | None:
    info = store.head(training_name(pair))
    found = companions_of(store, pair, info.metadata, small=True) if info is not None else ""
    try:
        return None if isinstance(found, str) else Report.model_validate_json(found.texts["report"])
    except (KeyError, ValueError):
        return None


def _validated_state(report: Report | None) -> State:
    if report is None:
        return "none"
    return "done" if report.passed else "failed"


def _against_merged(state: State, published: Manifest | None, merged: Manifest | None) -> State:
    newer = published and merged and published.file.crc32c != merged.file.crc32c
    return "stale" if state == "done" and newer else state
