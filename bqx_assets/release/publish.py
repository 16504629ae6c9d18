"""From a validated local file to a published object: staged, verified, swapped in whole, verified again.

Belongs here: the order of these steps and what is refused. Does not: rules, cleanup by age (``retention``).
"""

from __future__ import annotations

import secrets
from pathlib import Path

from bqx_assets.base.artifacts import Manifest, Record, TrainingFile, manifest_path
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import ChecksumMismatch, ObjectMissing, PreconditionFailed, StoreError, ValidationFailed
from bqx_assets.base.objects.protocol import ABSENT, ObjectInfo, ObjectStore
from bqx_assets.base.objects.staged import RELEASES
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import training_name
from bqx_assets.merge.compose import merged_name
from bqx_assets.quality.report import Report
from bqx_assets.release.checked import report_path
from bqx_assets.release.origin import origin_fact, refuse_other_source

_STAGE = "publish"


class Published(Record):
    """What a publication did."""

    pair: str
    uri: str
    manifest_uri: str
    report_uri: str
    size_bytes: int
    crc32c: int
    generation: int
    replaced_generation: int | None
    """Of the object that was there before; None for the first publication, or when nothing was done."""
    already_there: bool
    """These very bytes were published before, with their manifest: nothing was written."""


def publish(file: Path, manifest: Manifest, report: Report, store: ObjectStore, *, progress: Progress) -> Published:
    """Publish a validated training file with its manifest and report. Doing it twice does it once.

    The earlier published file stays whole until the new one, already in the store and verified there, takes its
    name in one step. A publication that dies after that step is finished by running it again.
    **Cost**: the file is read twice (checksum, upload), constant memory.

    Raises:
        ValidationFailed: the report did not pass, is not deep, or is not on this file.
        ChecksumMismatch: the file is not the manifest's, or the store does not hold what was sent.
        PreconditionFailed: another run published this pair meanwhile; its file is the one that stays.
        ReplacementRefused: the published file was made of another source.
    """
    return _publish(_Release(file, manifest, report, store, progress))


def publish_merged(manifest: Manifest, report: Report, store: ObjectStore, *, progress: Progress) -> Published:
    """Publish the pair's merged object, made in the store by compose: as ``publish``, no byte of it read or sent."""
    return _publish(_Release(None, manifest, report, store, progress))


def _publish(release: _Release) -> Published:
    release.progress.start(_STAGE, 5)
    release.refuse_unfit()
    before = release.store.head(release.name)
    if before is not None and _same(before, release.manifest.file):
        return release.finish(before, before.generation)
    refuse_other_source(release.manifest, release.store.uri(release.name), before)
    staged = release.stage()
    after = release.swap(staged, before)
    published = release.finish(after, before.generation if before else None)
    release.unstage(staged)
    return published


class _Release:
    """One publication: what is published, as what, where to."""

    def __init__(
        self, file: Path | None, manifest: Manifest, report: Report, store: ObjectStore, progress: Progress
    ) -> None:
        self.file, self.report, self.store, self.progress = file, report, store, progress
        self.pair = parse_pair(manifest.pair)
        self.name = training_name(self.pair)
        # `bqx merge --output` may have given the file another name than the object gets.
        named = manifest.file.model_copy(update={"name": self.name})
        self.manifest = manifest.model_copy(update={"file": named})
        self.manifest_name = manifest_path(Path(self.name)).name
        self.report_name = report_path(Path(self.name)).name

    def refuse_unfit(self) -> None:
        """Refuse a file that is not the manifest's and a report that is not a deep pass on it."""
        _refuse_report(self.file or Path(self.name), self.manifest, self.report)
        if self.file is None:
            self._verified(merged_name(self.pair))
        else:
            _refuse_file(self.file, self.manifest)
        self.progress.advance(_STAGE, "checked", f"{self.manifest.file.size_bytes / 1e6:,.1f} MB")

    def stage(self) -> ObjectInfo:
        """Upload or copy under a name of its own, which nobody writes again; return it once it is the manifest's."""
        token = f"{self.manifest.file.crc32c:08x}-{secrets.token_hex(4)}"
        name = f"{RELEASES}{self.pair}/{token}/{self.name}"
        if self.file is None:
            self.store.compose(name, [merged_name(self.pair)], metadata=self._facts(), if_generation=ABSENT)
        else:
            self.store.put_file(name, self.file, metadata=self._facts(), if_generation=ABSENT)
        self.progress.advance(_STAGE, "uploaded" if self.file else "copied inside the store")
        return self._verified(name)

    def swap(self, staged: ObjectInfo, before: ObjectInfo | None) -> ObjectInfo:
        """Give the staged bytes the published name, if that still is what it was when this publication began."""
        generation = before.generation if before else ABSENT
        try:
            self.store.compose(self.name, [staged.name], metadata=self._facts(), if_generation=generation)
        except PreconditionFailed as error:
            raise self._overtaken(error.got) from error
        self.progress.advance(_STAGE, "swapped in")
        return self._verified(self.name)

    def finish(self, info: ObjectInfo, replaced: int | None) -> Published:
        """Put manifest and report beside the object unless they are there, and verify all three."""
        there = self._manifest_there()
        if not there:
            self._put(self.report_name, self.report.model_dump_json(indent=1))
            self._put(self.manifest_name, self.manifest.model_dump_json(indent=1))
        self.progress.advance(_STAGE, "manifest")
        found = self.store.head(self.name)
        if found is None or found.generation != info.generation or not self._manifest_there():
            raise self._overtaken(f"generation {found.generation if found else ABSENT}, or another manifest")
        already = there and replaced == info.generation
        self.progress.advance(_STAGE, "verified", "was published before" if already else "")
        return Published(
            pair=self.pair.name,
            uri=self.store.uri(self.name),
            manifest_uri=self.store.uri(self.manifest_name),
            report_uri=self.store.uri(self.report_name),
            size_bytes=found.size_bytes,
            crc32c=found.crc32c,
            generation=found.generation,
            replaced_generation=None if replaced == info.generation else replaced,
            already_there=already,
        )

    def unstage(self, staged: ObjectInfo) -> None:
        """Remove the staged copy: the published one is verified by now."""
        try:
            self.store.delete(staged.name, if_generation=staged.generation)
        except StoreError as error:
            # The publication stands; the sweep removes the copy when it is ``staging_days`` old.
            self.progress.warn(_STAGE, f"the staged copy stays for the sweep: {error}")

    def _facts(self) -> dict[str, str]:
        file = self.manifest.file
        return {
            "pair": self.pair.name,
            "crc32c": f"{file.crc32c:08x}",
            "rows": str(file.rows),
            "columns": str(file.columns),
            "created_at": self.manifest.created_at.isoformat(),
        } | origin_fact(self.manifest)

    def _verified(self, name: str) -> ObjectInfo:
        info = self.store.head(name)
        if info is None:
            raise ObjectMissing(
                name, got="nothing under this name", expected="the object just written", cure="Publish again."
            )
        if not _same(info, self.manifest.file):
            raise ChecksumMismatch(
                self.store.uri(name),
                got=_size_and_crc(info.size_bytes, info.crc32c),
                expected=_size_and_crc(self.manifest.file.size_bytes, self.manifest.file.crc32c),
                cure=f"Publish again: bqx publish {self.pair}. Until then the earlier versions are the ones to use.",
            )
        return info

    def _manifest_there(self) -> bool:
        """Whether both companions speak of these bytes; a half-made publication has an older one, or none."""
        if self.store.head(self.report_name) is None or self.store.head(self.manifest_name) is None:
            return False
        found = read_manifest(self.store, self.manifest_name)
        return found is not None and found.pair == self.pair.name and found.file == self.manifest.file

    def _put(self, name: str, text: str) -> None:
        before = self.store.head(name)
        try:
            self.store.put_bytes(name, text.encode(), if_generation=before.generation if before else ABSENT)
        except PreconditionFailed as error:
            raise self._overtaken(error.got) from error

    def _overtaken(self, got: str) -> PreconditionFailed:
        return PreconditionFailed(
            self.store.uri(self.name),
            got=f"{got}: another run published {self.pair} meanwhile",
            expected="the object this publication found when it began",
            cure=f"Look at what is published, then run again if this file is the better one: bqx publish {self.pair}",
        )


def read_manifest(store: ObjectStore, name: str) -> Manifest | None:
    """Return a published manifest; None where there is none or it is not one of this version."""
    try:
        return Manifest.model_validate_json(store.read(name))
    except (ObjectMissing, ValueError):
        return None


def _refuse_report(file: Path, manifest: Manifest, report: Report) -> None:
    stated = (report.pair, Path(report.file).name, report.rows, report.columns)
    expected = (manifest.pair, file.name, manifest.file.rows, manifest.file.columns)
    if stated != expected:
        raise ValidationFailed(
            str(file),
            got="a report on {} {}, {:,} x {:,}".format(*stated),
            expected="one on {} {}, {:,} x {:,}".format(*expected),
            cure=f"Validate this file: bqx validate {file} --pair {manifest.pair}",
        )
    failed = ", ".join(verdict.rule for verdict in report.failures())
    if failed or not report.deep or not report.verdicts:
        raise ValidationFailed(
            str(file),
            got=f"failed: {failed}" if failed else "a report that looked at no value",
            expected="a deep validation with every blocking rule passed",
            cure=f"See what is wrong: bqx validate {file} --pair {manifest.pair}. Nothing was published.",
        )


def _refuse_file(file: Path, manifest: Manifest) -> None:
    size_bytes = file.stat().st_size if file.is_file() else -1
    crc = crc32c_of_file(file) if size_bytes == manifest.file.size_bytes else 0
    if (size_bytes, crc) != (manifest.file.size_bytes, manifest.file.crc32c):
        got = "no such file" if size_bytes < 0 else f"{size_bytes:,} bytes"
        raise ChecksumMismatch(
            str(file),
            got=_size_and_crc(size_bytes, crc) if size_bytes == manifest.file.size_bytes else got,
            expected=_size_and_crc(manifest.file.size_bytes, manifest.file.crc32c) + " as in its manifest",
            cure=f"Merge again: bqx merge {manifest.pair}. Nothing was published.",
        )


def _same(info: ObjectInfo, file: TrainingFile) -> bool:
    return (info.size_bytes, info.crc32c) == (file.size_bytes, file.crc32c)


def _size_and_crc(size_bytes: int, crc: int) -> str:
    return f"{size_bytes:,} bytes, crc32c {crc:08x}"
