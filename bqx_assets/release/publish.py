"""From a validated local file to a published object: staged, verified, swapped in whole, verified again.

Belongs here: the order of these steps and what is refused. Does not: rules, cleanup by age (``retention``), what is
published now (``published``).

The swap moves the file with its companions, which the object names, if the object is still the one that was found. A
plain-named copy is written only on a condition that was read before the object was seen to be this publication's own:
of two that interleave in any way, whoever swaps later has the last word on it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.errors import StoreError
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.quality.report import Report
from bqx_assets.release.origin import refuse_other_source
from bqx_assets.release.publication import STAGE, Published, Release
from bqx_assets.release.published import same_bytes


def publish(  # noqa: PLR0913 -- what a publication is made of
    file: Path,
    manifest: Manifest,
    report: Report,
    store: ObjectStore,
    *,
    progress: Progress,
    unchanged: Callable[[], object] = object,
    expectations: Expectations | None = None,
) -> Published:
    """Publish a validated training file with its manifest and report. Doing it twice does it once.

    ``expectations``: those that the report goes by. They are kept beside it, and named in the manifest; the same bytes
    are published again where others were kept with them.

    The earlier published file stays whole until the new one, already in the store and verified there, takes its
    name in one step. One that dies after that step is finished by running it again. ``unchanged`` raises, once the copy
    is in the store, where the file is no longer the one that the report speaks of.
    **Cost**: the file is read twice (checksum, upload), constant memory; a published file of the same bytes once.

    Raises:
        ValidationFailed: the report did not pass, is not deep, or is not on this file.
        ChecksumMismatch: the file is not the manifest's, or the store does not hold what was sent.
        PreconditionFailed: another run published this pair meanwhile; its file is the one that stays.
        ReplacementRefused: the published file was made of another source.
    """
    return _publish(Release(file, manifest, report, store, progress, expectations), unchanged)


def publish_merged(
    manifest: Manifest,
    report: Report,
    store: ObjectStore,
    *,
    progress: Progress,
    unchanged: Callable[[], object] = object,
    expectations: Expectations | None = None,
) -> Published:
    """Publish the pair's merged object, made in the store by compose: as ``publish``, no byte of it read or sent."""
    return _publish(Release(None, manifest, report, store, progress, expectations), unchanged)


def _publish(release: Release, unchanged: Callable[[], object]) -> Published:
    release.progress.start(STAGE, 5)
    with waiting(release.progress, STAGE, at_work(f"writing {release.store.uri(release.name)}")):
        return _swapped_in(release, unchanged)


def _swapped_in(release: Release, unchanged: Callable[[], object]) -> Published:
    release.refuse_unfit()
    copies = release.copies()  # before the object is looked at: see the module's text
    before = release.store.head(release.name)
    if before is not None and same_bytes(before, release.manifest.file):
        before = release.store.verify(release.name)
    there = release.whole(before)
    if before is not None and there is not None and release.judged_alike(there.manifest):
        written = release.follow(before, there.texts if there.named else {}, copies, always=False)
        return release.published(before, None, already_there=not written)
    refuse_other_source(release.manifest, release.store.uri(release.name), before)
    staged = release.stage()
    try:
        unchanged()
        after = release.swap(staged, before)
        release.follow(after, release.texts, copies, always=True)
        done = release.published(after, before.generation if before else None, already_there=False)
    except StoreError:
        release.unstage(staged)
        raise
    release.unstage(staged)
    return done
