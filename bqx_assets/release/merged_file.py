"""A pair's merged, not yet published file with its manifest and its report, in a folder or a bucket.

A report beside the file is only a claim, because anybody who can write there can write any verdict. So a publication
needs a report that this process made itself, of bytes that could not have changed since.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, REPORT_SUFFIX, Manifest, Record, load_record, save_record
from bqx_assets.base.checksums import may_be_same, same_bytes
from bqx_assets.base.errors import CheckpointCorrupt, ChecksumMismatch, ObjectMissing, PreconditionFailed
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.dictionary.build import build_dictionary
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.quality.report import Report
from bqx_assets.quality.scan import Measured
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import examine
from bqx_assets.release.publish import Published, publish, with_replacement_allowed


class SavedReport(Record):
    """A report, with the size and CRC32C of the bytes that it was made of."""

    size_bytes: int
    crc32c: int
    report: Report


def save_report(file: StoredFile, manifest: Manifest, report: Report) -> None:
    """Keep a report beside its file, with the validated bytes' size and CRC32C; do nothing with one on another pair.

    Raises:
        StoreError: the store refused the report.
    """
    if report.pair != manifest.pair:
        return
    kept = SavedReport(size_bytes=manifest.file.size_bytes, crc32c=manifest.file.crc32c, report=report)
    with suppress(PreconditionFailed):  # another validation saves its report at the same time: either is right
        save_record(file.store, file.beside(REPORT_SUFFIX).name, kept)


def report_for(file: StoredFile, manifest: Manifest) -> Report | None:
    """Return the saved report if it was made of exactly the manifest's bytes; None otherwise.

    Raises:
        StoreError: the report cannot be read.
    """
    try:
        saved = load_record(file.store, file.beside(REPORT_SUFFIX).name, SavedReport)
    except CheckpointCorrupt:
        return None
    return saved.report if same_bytes(saved, manifest.file) else None


@dataclass(frozen=True, slots=True)
class _Made:
    """A deep report that this process made, with the state of the file and the manifest at that time."""

    report: Report
    state: str
    """The state of the file. Every write changes it."""
    manifest: str
    """SHA-256 of the manifest, which holds the SHA-256 of every part of the file."""
    measured: Measured | None
    """The facts that the dictionary is made of."""


_MADE: dict[str, _Made] = {}
"""The reports of this process by the file's place. Facts are kept for the last place alone, because they take 8 MB."""


def remember(place: str, state: str, manifest: Manifest, report: Report, measured: Measured | None = None) -> None:
    """Remember a deep report that this process has just made, so that it may publish ``place``."""
    for other, made in _MADE.items():
        _MADE[other] = replace(made, measured=None)
    _MADE[place] = _Made(report, state, _digest(manifest), measured)


def dictionary_of(place: str, manifest: Manifest, report: Report) -> Dictionary | None:
    """Return the dictionary of a file by the facts of this process's own ``report``; None without them."""
    made = _MADE.get(place)
    if made is None or made.report != report or made.manifest != _digest(manifest) or report.failures():
        return None
    return build_dictionary(manifest, made.measured) if made.measured is not None else None


def _facts_kept(place: str, report: Report) -> bool:
    """Return whether the dictionary of a file can be made; for one that failed there is none to make.

    The facts of a file are gone once the same process has validated another one.
    """
    made = _MADE.get(place)
    return bool(report.failures()) or (made is not None and made.measured is not None)


def made_here(place: str, state: str, manifest: Manifest) -> Report | None:
    """Return this process's own deep report on ``place`` if neither bytes nor manifest could have changed since."""
    made = _MADE.get(place)
    return made.report if made is not None and (made.state, made.manifest) == (state, _digest(manifest)) else None


def _digest(manifest: Manifest) -> str:
    """Return the SHA-256 of the manifest without ``replace_source``, which is set only at publication."""
    return hashlib.sha256(manifest.model_dump_json(exclude={"replace_source"}).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MergedFile:
    """One pair's merged file, which need not exist."""

    file: StoredFile
    pair: Pair

    @property
    def place(self) -> str:
        """The file's path or URI."""
        return self.file.place

    def manifest(self) -> Manifest:
        """Return the file's manifest. Raises CheckpointCorrupt if there is none."""
        beside = self.file.beside(MANIFEST_SUFFIX)
        try:
            return load_record(beside.store, beside.name, Manifest)
        except CheckpointCorrupt as error:
            if not isinstance(error.__cause__, ObjectMissing):
                raise
            merged = self.file.store.head(self.file.name) is not None
            raise CheckpointCorrupt(
                beside.place,
                got="no such file" if merged else "no such file, and no training file",
                expected="the manifest that a merge writes beside its file",
                cure=("Copy it to the file's folder, or merge again: " if merged else "Merge first: ")
                + f"bqx merge {self.pair}",
            ) from error

    def holds(self, manifest: Manifest) -> bool:
        """Return whether the file has the manifest's size, and its CRC32C where the store states one."""
        info = self.file.store.head(self.file.name)
        return info is not None and may_be_same(info, manifest.file)

    def report(self, manifest: Manifest) -> Report | None:
        """Return the report beside the file if it was made of exactly the manifest's bytes."""
        return report_for(self.file, manifest)

    def validate(
        self, manifest: Manifest, expectations: Expectations, progress: Progress, *, deep: bool = True
    ) -> Report:
        """Validate the file, and keep the report of a deep pass beside it. **Cost**: see ``quality.validate``."""
        before = self.file.state()
        report, measured = examine(self.file, self.pair, expectations, manifest=manifest, deep=deep, progress=progress)
        if deep:
            save_report(self.file, manifest, report)
            if before and before == self.file.state():
                remember(self.place, before, manifest, report, measured)
        return report

    def refuse_changed(self, manifest: Manifest, report: Report) -> None:
        """Raise ChecksumMismatch unless this process made ``report`` of the bytes that are there now."""
        if made_here(self.place, self.file.state(), manifest) != report:
            raise ChecksumMismatch(
                self.place,
                got="bytes that were written after the validation",
                expected="the bytes that were validated",
                cure=f"Nothing was published. Let nobody write there, then publish again: bqx publish {manifest.pair}",
            )


def publish_checked(
    merged: MergedFile,
    manifest: Manifest,
    settings: Settings,
    expectations: Expectations,
    store: ObjectStore,
    progress: Progress,
) -> Published:
    """Publish a merged file with a deep report that this process made, after validating the file if there is none.

    **Cost**: a shallow pass (the footer) if this process made a report and has validated no other file since, else a
    deep one. A report beside the file saves nothing, because it is only a claim.

    Raises:
        ValidationFailed: a blocking rule failed.
        ChecksumMismatch: the file changed after it was validated. Other errors as ``publish``.
    """
    report = made_here(merged.place, merged.file.state(), manifest)
    if report is None or not _goes_by(report, expectations) or not _facts_kept(merged.place, report):
        report = merged.validate(manifest, expectations, progress)
    elif (shallow := merged.validate(manifest, expectations, progress, deep=False)).failures():
        report = shallow
    chosen = with_replacement_allowed(manifest, settings)
    return publish(
        merged.file,
        chosen,
        report,
        store,
        progress=progress,
        unchanged=lambda: merged.refuse_changed(chosen, report),
        expectations=expectations,
        dictionary=dictionary_of(merged.place, manifest, report),
    )


def _goes_by(report: Report, expectations: Expectations) -> bool:
    """Return whether a report was made with exactly these expectations, whose file may change while a process runs."""
    made_by = report.expectations
    return made_by is not None and made_by.sha256 == expectations.judged_by(parse_pair(report.pair)).sha256
