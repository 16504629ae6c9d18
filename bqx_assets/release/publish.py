"""Publishes a validated training file: stages it, verifies it, swaps it in with its companions, and verifies it again.

The swap replaces the published object only if it is still the one that was found. The object names its companions, so
that they change in the same step. A plain-named copy is written only on a version that was read before the object was
seen to be this publication's own: however two publications interleave, the later swap decides the copies too.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import datetime
from pathlib import PurePath
from typing import get_args

from bqx_assets.base.artifacts import SIMULATED, Generation, JudgedBy, Manifest, Record
from bqx_assets.base.checksums import same_bytes, size_and_crc
from bqx_assets.base.errors import (
    ChecksumMismatch,
    ObjectMissing,
    PreconditionFailed,
    ReplacementRefused,
    StoreError,
    ValidationFailed,
)
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.base.store.protocol import ABSENT, ObjectInfo, ObjectStore, VerifiedBy, head_with_crc32c, version_of
from bqx_assets.base.store.staging_names import RELEASES
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.release.beside import Beside, kept_alike
from bqx_assets.release.published import Companions, Kind, companion_name, companions_of, has_text, plain_name

_FACT = "origin"
"""Metadata key of a published object for the origin in its manifest, which then need not be read."""


def with_replacement_allowed(manifest: Manifest, settings: Settings) -> Manifest:
    """Return the manifest, with the permission to replace a file of another source if the settings give it."""
    return manifest.model_copy(update={"replace_source": True}) if settings.replace_source else manifest


def refuse_other_source(manifest: Manifest, uri: str, published: ObjectInfo | None) -> None:
    """Refuse to replace a training file by one that was made from another source.

    Simulated numbers replace only simulated ones: a demonstration that ran with ``BQX_OUTPUT`` still set once put
    simulated prices under the name that trainers read. Simulated numbers may be replaced by any.

    Raises:
        ReplacementRefused: the sources differ, or the published one is unknown and the new one is simulated.
    """
    if published is None or manifest.replace_source:
        return
    own, theirs = manifest.extraction.origin, published.metadata.get(_FACT, "")
    if theirs in {own, SIMULATED} or (not theirs and own != SIMULATED):
        return
    raise ReplacementRefused(
        uri,
        got=f"a file made of {own or 'an unknown source'}, to replace one made of {theirs or 'an unknown source'}",
        expected="the same source",
        cure=f"Nothing was published. Name another output with BQX_OUTPUT; or, if the published file may go: "
        f"bqx publish {manifest.pair} --replace-source",
    )


STAGE = "publish"
_TRIES = 10
"""Most attempts to write a plain-named copy; each fails because of another writer."""


class Published(Record):
    """The outcome of a publication."""

    pair: str
    uri: str
    manifest_uri: str
    report_uri: str
    """The plain-named copies of manifest and report, for people."""
    size_bytes: int
    crc32c: int
    generation: Generation
    """The object's version: an integer in a folder and in Cloud Storage."""
    replaced_generation: Generation | None
    """Version of the replaced object; None for the first publication, or if nothing was written."""
    already_there: bool
    """The same bytes were published before with their manifest, and were verified again: nothing was written."""
    rows: int | None = None
    replaced_rows: int | None = None
    """Rows of the replaced file, by its metadata; None where nothing was replaced or nothing states them."""
    verified_at: datetime | None = None
    verified_by: VerifiedBy | None = None
    """The time and the way in which the published bytes were compared with the CRC32C."""
    expectations: JudgedBy | None = None
    """The expectations that the file was checked against."""


class Release:
    """One publication: the file, its name, its companions, and the store."""

    def __init__(
        self,
        file: StoredFile,
        manifest: Manifest,
        report: Report,
        store: ObjectStore,
        progress: Progress,
        beside: Beside,
    ) -> None:
        self.file, self.report, self.store, self.progress = file, report, store, progress
        self.pair = parse_pair(manifest.pair)
        self.name = training_name(self.pair)
        # `bqx merge --output` may have given the file a name that is not the object's.
        named = manifest.file.model_copy(update={"name": self.name})
        self.texts: dict[Kind, bytes]
        self.manifest, self.texts = beside.texts(manifest.model_copy(update={"file": named}), report)

    def refuse_unfit(self) -> None:
        """Refuse a file that is not the manifest's, and a report that is not of a deep pass on it."""
        refuse_report(self.file, self.manifest, self.report)
        refuse_file(self.file, self.manifest)
        self.progress.advance(STAGE, "checked", f"{self.manifest.file.size_bytes / 1e6:,.1f} MB")

    def stage(self) -> ObjectInfo:
        """Upload or copy the file under a new name, and return the object once it is verified against the manifest."""
        token = f"{self.manifest.file.crc32c:08x}-{secrets.token_hex(4)}"
        name = f"{RELEASES}{self.pair}/{token}/{self.name}"
        path = self.file.path
        if path is not None:  # asked first: a file of a folder may have a name that no object may have
            self.store.put_file(name, path, metadata=self._facts(), only_if=ABSENT)
            how = "uploaded"
        elif self.file.place == self.store.uri(self.file.name):
            self.store.compose(name, [self.file.name], metadata=self._facts(), only_if=ABSENT)
            how = "copied inside the store"
        else:
            with self.store.scratch(RELEASES) as folder:
                fetched = self.file.fetch(folder)
                self.store.put_file(name, fetched, metadata=self._facts(), only_if=ABSENT, move=True)
            how = "copied from another store"
        self.progress.advance(STAGE, how)
        return self._verified(name)

    def copies(self) -> dict[Kind, str]:
        """Return the versions of the plain-named copies, which will be the conditions for writing them."""
        kinds: tuple[Kind, ...] = get_args(Kind)  # an earlier publication may have kept more kinds
        return {kind: self._version(plain_name(self.pair, kind)) for kind in kinds}

    def whole(self, info: ObjectInfo | None) -> Companions | None:
        """Return the companions of a published object with exactly these bytes; None if anything is missing."""
        if info is None or not same_bytes(info, self.manifest.file):
            return None
        found = companions_of(self.store, self.pair, info.metadata)
        return None if isinstance(found, str) or not found.are_of(info) else found

    def swap(self, staged: ObjectInfo, before: ObjectInfo | None) -> ObjectInfo:
        """Give the staged bytes the published name, if that object is still the one found when this publication began.

        The object names its manifest and report, so they change with it in the same step.
        """
        names = {kind: self._keep(kind, text) for kind, text in self.texts.items()}
        facts = self._facts() | names
        try:
            info = self.store.compose(self.name, [staged.name], metadata=facts, only_if=version_of(before))
        except PreconditionFailed as error:
            raise self._overtaken(error.got) from error
        self.progress.advance(STAGE, "swapped in")
        return self._refuse_other(info)

    def follow(self, info: ObjectInfo, texts: Mapping[Kind, bytes], copies: Mapping[Kind, str], *, always: bool) -> int:
        """Write the plain-named copies of the object's companions; return the number of written ones.

        ``always`` writes a copy even if it has the text, because an earlier publication may be about to replace it.
        """
        written = [
            self._follow(plain_name(self.pair, kind), text, copies[kind], info)
            for kind, text in texts.items()
            if always or not has_text(self.store, plain_name(self.pair, kind), text)
        ]
        self.progress.advance(STAGE, "manifest")
        return len(written)

    def _follow(self, name: str, text: bytes, version: str, own: ObjectInfo) -> None:
        for _ in range(_TRIES):
            try:
                self.store.put_bytes(name, text, only_if=version)
            except PreconditionFailed:
                # This order matters: a publication that swaps after the second line writes its copy after the first.
                version = self._version(name)
                self._refuse_overtaken(own)
            else:
                return
        raise self._overtaken(f"{name} written by others {_TRIES} times")

    def published(self, info: ObjectInfo, replaced: ObjectInfo | None, *, already_there: bool) -> Published:
        """Return the outcome, after a last check that the object is this publication's own and complete.

        Raises:
            PreconditionFailed: another run published meanwhile.
            ObjectMissing: a companion is gone or damaged.
        """
        self._refuse_overtaken(info)
        found = self.whole(info)
        if found is None:
            raise ObjectMissing(
                self.store.uri(self.name),
                got="its manifest or report is gone, or damaged",
                expected="both, as they were just written",
                cure=f"Publish again: bqx publish {self.pair}",
            )
        stated = replaced.metadata.get("rows", "") if replaced else ""
        self.progress.advance(STAGE, "verified", "was published before" if already_there else "")
        return Published(
            pair=self.pair.name,
            uri=self.store.uri(self.name),
            manifest_uri=self.store.uri(plain_name(self.pair, "manifest")),
            report_uri=self.store.uri(plain_name(self.pair, "report")),
            size_bytes=info.size_bytes,
            crc32c=self.manifest.file.crc32c,
            generation=info.generation,
            replaced_generation=replaced.generation if replaced else None,
            rows=self.manifest.file.rows,
            replaced_rows=int(stated) if stated.isdecimal() else None,
            already_there=already_there,
            verified_at=info.verified.at if info.verified else None,
            verified_by=info.verified.by if info.verified else None,
            expectations=found.manifest.expectations,
        )

    def unstage(self, staged: ObjectInfo) -> None:
        """Remove the staged copy, after the published one is verified or this publication failed."""
        try:
            self.store.delete(staged.name, only_if=staged.version)
        except StoreError as error:
            # The publication is valid all the same; the sweep removes the copy after ``staging_days``.
            self.progress.warn(STAGE, f"the staged copy stays for the sweep: {error}")

    def _facts(self) -> dict[str, str]:
        """Return the object's own metadata; later publications read origin and rows, people the rest."""
        file = self.manifest.file
        return {
            "pair": self.pair.name,
            "crc32c": f"{file.crc32c:08x}",
            "rows": str(file.rows),
            "columns": str(file.columns),
            "created_at": self.manifest.created_at.isoformat(),
        } | ({_FACT: origin} if (origin := self.manifest.extraction.origin) else {})

    def _verified(self, name: str) -> ObjectInfo:
        info = head_with_crc32c(self.store, name)
        if info is None:
            raise ObjectMissing(name, got="no such object", expected="the object just written", cure="Publish again.")
        return self._refuse_other(info)

    def _refuse_other(self, info: ObjectInfo) -> ObjectInfo:
        if not same_bytes(info, self.manifest.file):
            raise ChecksumMismatch(
                self.store.uri(info.name),
                got=size_and_crc(info.size_bytes, info.crc32c),
                expected=size_and_crc(self.manifest.file.size_bytes, self.manifest.file.crc32c),
                cure=f"Publish again: bqx publish {self.pair}. Until then the earlier versions are the ones to use.",
            )
        return info

    def _version(self, name: str) -> str:
        return version_of(self.store.head(name))

    def _keep(self, kind: Kind, text: bytes) -> str:
        """Write a companion under the name of its content, even if it exists: the sweep deletes by age."""
        name = companion_name(self.pair, kind, text)
        with suppress(PreconditionFailed):  # somebody else wrote the same bytes
            self.store.put_bytes(name, text, only_if=self._version(name))
        return name

    def _refuse_overtaken(self, own: ObjectInfo) -> None:
        if (found := self._version(self.name)) != own.version:
            raise self._overtaken(f"version {found}")

    def _overtaken(self, got: str) -> PreconditionFailed:
        return PreconditionFailed(
            self.store.uri(self.name),
            got=f"{got}: another run published {self.pair} meanwhile",
            expected="the object this publication found when it began",
            cure=f"Look at what is published, then run again if this file is the better one: bqx publish {self.pair}",
        )


def publish(  # noqa: PLR0913 -- the parts of a publication
    file: StoredFile,
    manifest: Manifest,
    report: Report,
    store: ObjectStore,
    *,
    progress: Progress,
    unchanged: Callable[[], object] = object,
    expectations: Expectations | None = None,
    dictionary: Dictionary | None = None,
) -> Published:
    """Publish a validated training file with its manifest, report and dictionary. A second call changes nothing.

    ``expectations`` are those of the report. They are kept beside it and named in the manifest; the same bytes are
    published again if other expectations, or no dictionary, were kept with them.

    The earlier published file stays whole until the new one, already in the store and verified there, takes its name in
    one step. A publication that died after this step is completed by running it again. ``unchanged`` is called once the
    copy is in the store; it raises if the file is no longer the one of the report.
    **Cost**: constant memory. A file of another store is read twice (checksum, upload); within one store no byte of it
    passes through this process. A published file of the same bytes is read once.

    Raises:
        ValidationFailed: the report has a failure, is not deep, or is not on this file.
        ChecksumMismatch: the file is not the manifest's, or the store has other bytes than were sent.
        PreconditionFailed: another run published this pair meanwhile; its file stays.
        ReplacementRefused: the published file was made from another source.
    """
    release = Release(file, manifest, report, store, progress, Beside(expectations, dictionary))
    progress.start(STAGE, 5)
    with waiting(progress, STAGE, at_work(f"writing {store.uri(release.name)}")):
        return _swapped_in(release, unchanged)


def _swapped_in(release: Release, unchanged: Callable[[], object]) -> Published:
    release.refuse_unfit()
    copies = release.copies()  # before the object is read: see the module's docstring
    before = head_with_crc32c(release.store, release.name)
    if before is not None and same_bytes(before, release.manifest.file):
        before = release.store.verify(release.name)
    there = release.whole(before)
    if before is not None and there is not None and kept_alike(release.manifest, there.manifest):
        written = release.follow(before, there.texts if there.named else {}, copies, always=False)
        return release.published(before, None, already_there=not written)
    refuse_other_source(release.manifest, release.store.uri(release.name), before)
    staged = release.stage()
    try:
        unchanged()
        after = release.swap(staged, before)
        release.follow(after, release.texts, copies, always=True)
        done = release.published(after, before, already_there=False)
    except StoreError:
        release.unstage(staged)
        raise
    release.unstage(staged)
    return done


def refuse_report(file: StoredFile, manifest: Manifest, report: Report) -> None:
    """Raise ValidationFailed unless a report is of a deep validation of the manifest's file, and without failures."""
    place = shlex.quote(file.place)
    stated = (report.pair, PurePath(report.file).name, report.rows, report.columns)
    expected = (manifest.pair, PurePath(file.name).name, manifest.file.rows, manifest.file.columns)
    if stated != expected:
        raise ValidationFailed(
            file.place,
            got="a report on {} {}, {:,} x {:,}".format(*stated),
            expected="one on {} {}, {:,} x {:,}".format(*expected),
            cure=f"Publish this file itself, which also validates it: bqx publish {manifest.pair} --file {place}",
        )
    failed = ", ".join(verdict.rule for verdict in report.failures())
    if failed or not report.deep or not report.verdicts:
        raise ValidationFailed(
            file.place,
            got=f"failed: {failed}" if failed else "a report without any check of values",
            expected="a deep validation with every blocking rule passed",
            cure=f"See what is wrong: bqx validate {place} --pair {manifest.pair}. Nothing was published.",
        )


def refuse_file(file: StoredFile, manifest: Manifest) -> None:
    """Refuse a file that is not the manifest's. **Cost**: a local file is read once.

    Raises:
        ChecksumMismatch: it has other bytes, or there is no local file.
        ObjectMissing: the store has no such object.
    """
    wanted, source = manifest.file, file.open()
    if source is None:
        kind, got = ChecksumMismatch if file.path is not None else ObjectMissing, "no such file"
    else:
        with closing(source):
            if source.holds(wanted):
                return
        kind, got = ChecksumMismatch, size_and_crc(source.size_bytes, source.crc32c)
    raise kind(
        file.place,
        got=got,
        expected=size_and_crc(wanted.size_bytes, wanted.crc32c) + " as in its manifest",
        cure=f"Merge again: bqx merge {manifest.pair}. Nothing was published.",
    )
