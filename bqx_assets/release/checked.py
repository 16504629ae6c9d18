"""A report kept beside its file, tied to the very bytes it speaks of.

Belongs here: saving and finding a training file's report. Does not: making one (``quality``).
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.artifacts import Manifest, Record
from bqx_assets.base.errors import CheckpointCorrupt
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
    checked = CheckedFile(size_bytes=manifest.file.size_bytes, crc32c=manifest.file.crc32c, report=report)
    checked.save(report_path(training_file))


def report_for(training_file: Path, manifest: Manifest) -> Report | None:
    """Return the saved report if it speaks of exactly the manifest's bytes; None otherwise."""
    try:
        checked = CheckedFile.load(report_path(training_file))
    except CheckpointCorrupt:
        return None
    same = (checked.size_bytes, checked.crc32c) == (manifest.file.size_bytes, manifest.file.crc32c)
    return checked.report if same else None
