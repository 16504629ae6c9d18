"""Reports on training files: kept beside the file for people, and trusted for a publication.

Belongs here: saving and finding a report, and which one a publication may go by. Does not: making one (``quality``).

A kept report is a claim: whoever can write beside the file can write any verdict. A publication goes only by a report
that this process made itself, of bytes that could not have changed since.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bqx_assets.base.artifacts import Manifest, Record
from bqx_assets.base.checksums import crc32c_of_file, size_and_crc
from bqx_assets.base.errors import CheckpointCorrupt, ChecksumMismatch, ValidationFailed
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.records import load_record, save_record
from bqx_assets.quality.report import Report


class CheckedFile(Record):
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
        return _on_these_bytes(CheckedFile.load(report_path(training_file)), manifest)
    except CheckpointCorrupt:
        return None


def save_object_report(store: ObjectStore, name: str, manifest: Manifest, report: Report) -> None:
    """Keep the report on object ``name`` beside it, as ``save_report`` does. Raises as ``save_record``."""
    if report.pair == manifest.pair:
        save_record(store, str(report_path(Path(name))), _checked(manifest, report))


def object_report_for(store: ObjectStore, name: str, manifest: Manifest) -> Report | None:
    """Return the report kept on object ``name``, as ``report_for`` does. Raises StoreError where it cannot be read."""
    try:
        return _on_these_bytes(load_record(store, str(report_path(Path(name))), CheckedFile), manifest)
    except CheckpointCorrupt:
        return None


def refuse_report(file: Path, manifest: Manifest, report: Report) -> None:
    """Raise ValidationFailed where a report is not a deep pass on the manifest's file."""
    stated = (report.pair, Path(report.file).name, report.rows, report.columns)
    expected = (manifest.pair, file.name, manifest.file.rows, manifest.file.columns)
    if stated != expected:
        raise ValidationFailed(
            str(file),
            got="a report on {} {}, {:,} x {:,}".format(*stated),
            expected="one on {} {}, {:,} x {:,}".format(*expected),
            cure=f"Validate and publish it as the file that it is: bqx publish {manifest.pair} --file {file}",
        )
    failed = ", ".join(verdict.rule for verdict in report.failures())
    if failed or not report.deep or not report.verdicts:
        raise ValidationFailed(
            str(file),
            got=f"failed: {failed}" if failed else "a report that looked at no value",
            expected="a deep validation with every blocking rule passed",
            cure=f"See what is wrong: bqx validate {file} --pair {manifest.pair}. Nothing was published.",
        )


def refuse_file(file: Path, manifest: Manifest) -> None:
    """Raise ChecksumMismatch where a file is not the manifest's. **Cost**: reads it once."""
    size_bytes = file.stat().st_size if file.is_file() else -1
    crc = crc32c_of_file(file) if size_bytes == manifest.file.size_bytes else 0
    if (size_bytes, crc) != (manifest.file.size_bytes, manifest.file.crc32c):
        got = "no such file" if size_bytes < 0 else f"{size_bytes:,} bytes"
        raise ChecksumMismatch(
            str(file),
            got=size_and_crc(size_bytes, crc) if size_bytes == manifest.file.size_bytes else got,
            expected=size_and_crc(manifest.file.size_bytes, manifest.file.crc32c) + " as in its manifest",
            cure=f"Merge again: bqx merge {manifest.pair}. Nothing was published.",
        )


def _checked(manifest: Manifest, report: Report) -> CheckedFile:
    return CheckedFile(size_bytes=manifest.file.size_bytes, crc32c=manifest.file.crc32c, report=report)


def _on_these_bytes(checked: CheckedFile, manifest: Manifest) -> Report | None:
    same = (checked.size_bytes, checked.crc32c) == (manifest.file.size_bytes, manifest.file.crc32c)
    return checked.report if same else None
