"""Holds a pair's merged, not yet published file, with its manifest and its report, wherever it lies.

A kept report is a claim: whoever can write beside the file can write any verdict. A publication goes only by a report
that this process made itself, of bytes that could not have changed since.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from bqx_assets.base.artifacts import Manifest, Record, manifest_path
from bqx_assets.base.errors import CheckpointCorrupt, ChecksumMismatch
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore, version_text
from bqx_assets.base.store.records import load_record, save_record
from bqx_assets.base.store.sidecars import state_of
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.quality.report import Report
from bqx_assets.quality.validate import validate, validate_object
from bqx_assets.release.publish import Published, publish, publish_merged, with_the_word


class SavedReport(Record):
    """A report, and the bytes it speaks of."""

    size_bytes: int
    crc32c: int
    report: Report


@dataclass(frozen=True, slots=True)
class _Made:
    """A deep report of this process, and what it was made of."""

    report: Report
    state: str
    """Of the bytes: what no change of them leaves as it was."""
    manifest: str
    """SHA-256 of the manifest, which holds that of every part of the file."""


_MADE: dict[str, _Made] = {}
"""By place: a few kilobytes a pair."""


def remember(place: str, state: str, manifest: Manifest, report: Report) -> None:
    """Let this process's publication of ``place`` go by a deep report that it has just made."""
    _MADE[place] = _Made(report, state, _digest(manifest))


def made_here(place: str, state: str, manifest: Manifest) -> Report | None:
    """Return this process's own deep report on ``place``, if neither bytes nor manifest could have changed since."""
    made = _MADE.get(place)
    return made.report if made is not None and (made.state, made.manifest) == (state, _digest(manifest)) else None


def _digest(manifest: Manifest) -> str:
    """Of all that the manifest says of the file; what it may replace is said when it is published."""
    return hashlib.sha256(manifest.model_dump_json(exclude={"replace_source"}).encode()).hexdigest()


def report_path(training_file: Path) -> Path:
    """Return where the report on a training file lies: beside it."""
    return training_file.with_name(training_file.name.removesuffix(".parquet") + ".report.json")


def save_report(training_file: Path, manifest: Manifest, report: Report) -> None:
    """Keep a report beside its file, tied to the bytes that were validated; none that was asked of another pair."""
    if report.pair == manifest.pair:
        _checked(manifest, report).save(report_path(training_file))


def report_for(training_file: Path, manifest: Manifest) -> Report | None:
    """Return the saved report if it speaks of exactly the manifest's bytes; None otherwise."""
    try:
        return _on_these_bytes(SavedReport.load(report_path(training_file)), manifest)
    except CheckpointCorrupt:
        return None


def save_object_report(store: ObjectStore, name: str, manifest: Manifest, report: Report) -> None:
    """Keep the report on object ``name`` beside it, as ``save_report`` does. Raises as ``save_record``."""
    if report.pair == manifest.pair:
        save_record(store, str(report_path(Path(name))), _checked(manifest, report))


def object_report_for(store: ObjectStore, name: str, manifest: Manifest) -> Report | None:
    """Return the report kept on object ``name``, as ``report_for`` does. Raises StoreError where it cannot be read."""
    try:
        return _on_these_bytes(load_record(store, str(report_path(Path(name))), SavedReport), manifest)
    except CheckpointCorrupt:
        return None


def _checked(manifest: Manifest, report: Report) -> SavedReport:
    return SavedReport(size_bytes=manifest.file.size_bytes, crc32c=manifest.file.crc32c, report=report)


def _on_these_bytes(checked: SavedReport, manifest: Manifest) -> Report | None:
    same = (checked.size_bytes, checked.crc32c) == (manifest.file.size_bytes, manifest.file.crc32c)
    return checked.report if same else None


class Merged(Protocol):
    """One pair's merged, not yet published file."""

    @property
    def place(self) -> str:
        """Its path or URI."""
        ...

    def manifest(self) -> Manifest:
        """Return its manifest. Raises CheckpointCorrupt where there is none."""
        ...

    def holds(self, manifest: Manifest) -> bool:
        """Return whether a file as long as the manifest says is there; of an object, with its checksum too."""
        ...

    def report(self, manifest: Manifest) -> Report | None:
        """Return the report kept beside it, if it speaks of exactly the manifest's bytes."""
        ...

    def validate(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate it deep, and keep the report. **Cost**: one pass, a few columns in memory."""
        ...

    def shallow(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate footer and statistics."""
        ...

    def state(self) -> str:
        """Return what no change of its bytes leaves as it was; empty where there is no file."""
        ...

    def publish(
        self,
        manifest: Manifest,
        report: Report,
        store: ObjectStore,
        progress: Progress,
        expectations: Expectations,
    ) -> Published:
        """Publish it. Raises as ``publish`` does, and ChecksumMismatch where it changed after it was validated."""
        ...


def publish_checked(
    file: Merged,
    manifest: Manifest,
    settings: Settings,
    expectations: Expectations,
    store: ObjectStore,
    progress: Progress,
) -> Published:
    """Publish a merged file by a deep report that this process made; validate it first where there is none.

    **Cost**: with a report of its own, a shallow pass (the footer); else a deep one. A report found beside the file
    saves nothing: it is a claim.

    Raises:
        ValidationFailed: a blocking rule failed.
        As ``publish`` does.
    """
    report = made_here(file.place, file.state(), manifest)
    if report is None or not _goes_by(report, expectations):
        report = file.validate(manifest, expectations, progress)
    elif (shallow := file.shallow(manifest, expectations, progress)).failures():
        report = shallow
    return file.publish(with_the_word(manifest, settings), report, store, progress, expectations)


def _goes_by(report: Report, expectations: Expectations) -> bool:
    """Whether a report was made by these very expectations: a file of them may change while a process runs."""
    made_by = report.expectations
    return made_by is not None and made_by.sha256 == expectations.judged_by(parse_pair(report.pair)).sha256


def _refuse_changed(file: Merged, manifest: Manifest, report: Report) -> None:
    """Raise ChecksumMismatch unless ``report`` is this process's own on the very bytes that are there."""
    if made_here(file.place, file.state(), manifest) != report:
        raise ChecksumMismatch(
            file.place,
            got="bytes that were written after the validation",
            expected="the bytes that were validated",
            cure=f"Nothing was published. Let nobody write there, then publish again: bqx publish {manifest.pair}",
        )


class MergedFile:
    """A local file. Implements ``Merged``."""

    def __init__(self, file: Path, pair: Pair) -> None:
        self._file, self._pair = file, pair

    @property
    def place(self) -> str:
        """Its path."""
        return str(self._file)

    def manifest(self) -> Manifest:
        """Return its manifest. Raises CheckpointCorrupt where there is none."""
        path = manifest_path(self._file)
        if not path.exists():
            raise CheckpointCorrupt(
                str(path),
                got="no such file",
                expected="the manifest that a merge writes beside its file",
                cure=f"Bring it beside the file, or merge: bqx merge {self._pair}",
            )
        return Manifest.load(path)

    def holds(self, manifest: Manifest) -> bool:
        """Return whether a file as long as the manifest says is there."""
        return self._file.is_file() and self._file.stat().st_size == manifest.file.size_bytes

    def report(self, manifest: Manifest) -> Report | None:
        """Return the report kept beside it, if it speaks of exactly the manifest's bytes."""
        return report_for(self._file, manifest)

    def validate(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate it deep, and keep the report. **Cost**: see ``quality.validate``."""
        before = self.state()
        report = validate(self._file, self._pair, expectations, manifest=manifest, progress=progress)
        save_report(self._file, manifest, report)
        if before and before == self.state():
            remember(self.place, before, manifest, report)
        return report

    def shallow(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate footer and statistics."""
        return validate(self._file, self._pair, expectations, manifest=manifest, deep=False, progress=progress)

    def state(self) -> str:
        """Return inode, size and times: no write leaves the inode's change time as it was."""
        try:
            return " ".join(str(number) for number in state_of(self._file.stat()))
        except OSError:
            return ""

    def publish(
        self,
        manifest: Manifest,
        report: Report,
        store: ObjectStore,
        progress: Progress,
        expectations: Expectations,
    ) -> Published:
        """Upload it, and swap it in."""
        unchanged = partial(_refuse_changed, self, manifest, report)
        return publish(
            self._file, manifest, report, store, progress=progress, unchanged=unchanged, expectations=expectations
        )


class MergedObject:
    """An object that compose made in the output bucket. Implements ``Merged``."""

    def __init__(self, store: ObjectStore, pair: Pair) -> None:
        self._store, self._pair, self._name = store, pair, merged_name(pair)

    @property
    def place(self) -> str:
        """Its URI."""
        return self._store.uri(self._name)

    def manifest(self) -> Manifest:
        """Return its manifest. Raises CheckpointCorrupt where there is none."""
        return load_record(self._store, str(manifest_path(Path(self._name))), Manifest)

    def holds(self, manifest: Manifest) -> bool:
        """Return whether the store's own size and CRC32C are the manifest's."""
        info = self._store.head(self._name)
        stated = manifest.file.size_bytes, manifest.file.crc32c
        return info is not None and (info.size_bytes, info.crc32c) == stated

    def report(self, manifest: Manifest) -> Report | None:
        """Return the report kept beside it, if it speaks of exactly the manifest's bytes."""
        return object_report_for(self._store, self._name, manifest)

    def validate(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate it deep by range reads, and keep the report."""
        before = self.state()
        report = self._validate(manifest, expectations, progress, deep=True)
        save_object_report(self._store, self._name, manifest, report)
        if before and before == self.state():
            remember(self.place, before, manifest, report)
        return report

    def shallow(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate footer and statistics, and the store's own CRC32C."""
        return self._validate(manifest, expectations, progress, deep=False)

    def _validate(self, manifest: Manifest, expectations: Expectations, progress: Progress, *, deep: bool) -> Report:
        return validate_object(
            self._store, self._name, self._pair, expectations, manifest=manifest, deep=deep, progress=progress
        )

    def state(self) -> str:
        """Return its version: every write gives another."""
        info = self._store.head(self._name)
        return version_text(info.version) if info is not None else ""

    def publish(
        self,
        manifest: Manifest,
        report: Report,
        store: ObjectStore,
        progress: Progress,
        expectations: Expectations,
    ) -> Published:
        """Copy it inside the store, and swap it in: no byte is read or sent."""
        unchanged = partial(_refuse_changed, self, manifest, report)
        return publish_merged(
            manifest, report, store, progress=progress, unchanged=unchanged, expectations=expectations
        )
