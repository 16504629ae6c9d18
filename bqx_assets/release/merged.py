"""A pair's merged file, wherever it is: a file beside its manifest, or an object of the output bucket.

Belongs here: the one choice between the two, and what validation, publication and status ask of either. Does not: how
any of it is done (``quality``, ``publish``, ``checked``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.objects.choose import in_cloud
from bqx_assets.base.objects.protocol import ObjectStore
from bqx_assets.base.objects.records import load_record
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.merge.compose import merged_name
from bqx_assets.quality.report import Report
from bqx_assets.quality.validate import validate, validate_object
from bqx_assets.release.checked import object_report_for, report_for, save_object_report, save_report
from bqx_assets.release.publish import Published, publish, publish_merged


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

    def publish(self, manifest: Manifest, report: Report, store: ObjectStore, progress: Progress) -> Published:
        """Publish it. Raises as ``publish`` does."""
        ...


def merged(settings: Settings, pair: Pair, store: ObjectStore) -> Merged:
    """Return a pair's merged file; ``store`` is the settings' own."""
    return MergedObject(store, pair) if in_cloud(settings) else MergedFile(settings.training_file(pair), pair)


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
        return Manifest.load(manifest_path(self._file))

    def holds(self, manifest: Manifest) -> bool:
        """Return whether a file as long as the manifest says is there."""
        return self._file.is_file() and self._file.stat().st_size == manifest.file.size_bytes

    def report(self, manifest: Manifest) -> Report | None:
        """Return the report kept beside it, if it speaks of exactly the manifest's bytes."""
        return report_for(self._file, manifest)

    def validate(self, manifest: Manifest, expectations: Expectations, progress: Progress) -> Report:
        """Validate it deep, and keep the report. **Cost**: see ``quality.validate``."""
        report = validate(self._file, self._pair, expectations, manifest=manifest, progress=progress)
        save_report(self._file, manifest, report)
        return report

    def publish(self, manifest: Manifest, report: Report, store: ObjectStore, progress: Progress) -> Published:
        """Upload it, and swap it in."""
        return publish(self._file, manifest, report, store, progress=progress)


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
        report = validate_object(
            self._store, self._name, self._pair, expectations, manifest=manifest, deep=True, progress=progress
        )
        save_object_report(self._store, self._name, manifest, report)
        return report

    def publish(self, manifest: Manifest, report: Report, store: ObjectStore, progress: Progress) -> Published:
        """Copy it inside the store, and swap it in: no byte is read or sent."""
        return publish_merged(manifest, report, store, progress=progress)
