"""A report kept beside its file or object, tied to the very bytes it speaks of.

Belongs here: saving and finding a training file's report. Does not: making one (``quality``).
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.artifacts import Manifest, Record
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.objects.protocol import ObjectStore
from bqx_assets.base.objects.records import load_record, save_record
from bqx_assets.quality.report import Report


class CheckedFile(Record):
    """A report, and the bytes it speaks of."""

    size_bytes: int
    crc32c: int
    report: Report


def report_path(training_file: Path) -> Path:
    """Return where the report on a training file lies: beside it."""
    return training_file.with_name(training_file.name.removesuffix(".parquet") + ".report.json")


def save_report(training_file: Path, manifest: Manifest, report: Report) -> None:
    """Keep a report beside its file, tied to the bytes that were validated."""
    _checked(manifest, report).save(report_path(training_file))


def report_for(training_file: Path, manifest: Manifest) -> Report | None:
    """Return the saved report if it speaks of exactly the manifest's bytes; None otherwise."""
    try:
        return _on_these_bytes(CheckedFile.load(report_path(training_file)), manifest)
    except CheckpointCorrupt:
        return None


def save_object_report(store: ObjectStore, name: str, manifest: Manifest, report: Report) -> None:
    """Keep the report on object ``name`` beside it. Raises as ``save_record``."""
    save_record(store, str(report_path(Path(name))), _checked(manifest, report))


def object_report_for(store: ObjectStore, name: str, manifest: Manifest) -> Report | None:
    """Return the report kept on object ``name``, as ``report_for`` does. Raises StoreError where it cannot be read."""
    try:
        return _on_these_bytes(load_record(store, str(report_path(Path(name))), CheckedFile), manifest)
    except CheckpointCorrupt:
        return None


def _checked(manifest: Manifest, report: Report) -> CheckedFile:
    return CheckedFile(size_bytes=manifest.file.size_bytes, crc32c=manifest.file.crc32c, report=report)


def _on_these_bytes(checked: CheckedFile, manifest: Manifest) -> Report | None:
    same = (checked.size_bytes, checked.crc32c) == (manifest.file.size_bytes, manifest.file.crc32c)
    return checked.report if same else None
