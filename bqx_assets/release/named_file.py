"""Validates and compares training files that a user names by a path or URI, and finds their manifests and expectations.

A published file names its manifest and the expectations that it was checked against; a copy has them beside it.
"""

from __future__ import annotations

import hashlib
import shlex
from contextlib import ExitStack, closing, nullcontext

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, Manifest, load_record
from bqx_assets.base.checksums import size_and_crc
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt, ObjectMissing
from bqx_assets.base.files import regular_file
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import is_address, local_path
from bqx_assets.base.store.open_store import object_at
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.catalogue.expectations import Expectations, parse_expectations
from bqx_assets.quality.diff import Difference, Side, WideFile, diff_manifests, diff_values, has_digests
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import Source, StoredFile, is_of
from bqx_assets.quality.validate import validate
from bqx_assets.release.merged_file import save_report
from bqx_assets.release.published import Companions, Standing, companions_of, plain_name

_PAIR_BY_NAME = {training_name(pair): pair for pair in ALL_PAIRS}
"""The names of published files, with their pairs."""


def validate_file(
    place: str, pair: Pair, expectations: Expectations, *, keep: bool, deep: bool, progress: Progress
) -> Report:
    """Validate a path or an object; with ``keep``, a deep pass leaves its report beside a file that has a manifest.

    A published object keeps the report that it was published with.

    Raises:
        BadSetting: the place is no path of a file and no URI of an object.
        CheckpointCorrupt: the manifest of a published file is gone or damaged.
    """
    file = file_at(place)
    published = named_companions(file)
    manifest = published.manifest if published is not None else manifest_beside(file)
    report = validate(file, pair, expectations, manifest=manifest, deep=deep, progress=progress)
    # Another report beside a published file would make its publication a partial one.
    if manifest is not None and keep and deep and published is None:
        save_report(file, manifest, report)
    return report


def verify_file(place: str) -> Standing:
    """Compare all bytes of a training file, such as a copy that was fetched, with its manifest.

    Raises:
        BadSetting: the place is no path of a file and no URI of an object.
        CheckpointCorrupt: the manifest is damaged.
    """
    file = file_at(place)
    published = named_companions(file)
    manifest = published.manifest if published is not None else manifest_beside(file)
    source = file.open()
    pair = manifest.pair if manifest is not None else "?"
    with nullcontext() if source is None else closing(source):
        if source is None or manifest is None:
            got = "no such file" if source is None else "no manifest beside it"
            cure = "Name the file itself, or copy it again." if source is None else "Copy its manifest beside it."
            expected = "a training file with its manifest beside it"
            return Standing(pair=pair, uri=place, state="none", got=got, expected=expected, cure=cure)
        whole = source.holds(manifest.file)
        again = f"Copy it again: {fetch_command(file, manifest)}"
        mend = again if published is None else f"Publish it again: bqx publish {pair}"
        return Standing(
            pair=pair,
            uri=place,
            state="done" if whole else "failed",
            got=size_and_crc(source.size_bytes, source.crc32c),
            expected=size_and_crc(manifest.file.size_bytes, manifest.file.crc32c),
            cure="" if whole else mend,
            size_bytes=source.size_bytes,
        )


def fetch_command(file: StoredFile, manifest: Manifest) -> str:
    """Return the command that copies a file again: one that ``bqx fetch`` has copied, in its own folder."""
    digest, path = manifest.file.content_digest, file.path
    if digest is None or path is None or path.parent.name != digest:
        return f"bqx fetch {manifest.pair}"
    return f"bqx fetch {manifest.pair} --pin {digest} --to {shlex.quote(str(path.parent.parent))}"


def kept_expectations(place: str) -> Expectations | None:
    """Return the expectations that are kept with a training file; None if there are none.

    Raises:
        CheckpointCorrupt: an object that the published file names is gone or damaged.
    """
    kept = _kept(place)
    if kept is None:
        return None
    manifest, text = kept
    where = manifest.expectations.place if manifest.expectations is not None else "unknown"
    return parse_expectations(text, f"kept with the file ({where})")


def _kept(place: str) -> tuple[Manifest, str] | None:
    """Return the manifest and the expectations that a published file names, or that lie beside a copy of it."""
    file = file_at(place)
    found = named_companions(file)
    if found is None:
        return _kept_beside(file)
    text = found.texts.get("expectations")
    return (found.manifest, text.decode()) if text is not None else None


def _kept_beside(file: StoredFile) -> tuple[Manifest, str] | None:
    """Return the manifest and the expectations beside a copy, if the manifest has the digest of the expectations."""
    pair = _PAIR_BY_NAME.get(file.name)
    manifest = manifest_beside(file) if pair is not None else None
    if pair is None or manifest is None or manifest.expectations is None:
        return None
    try:
        data = file.store.read(plain_name(pair, "expectations"))
    except ObjectMissing:
        return None
    return (manifest, data.decode()) if hashlib.sha256(data).hexdigest() == manifest.expectations.sha256 else None


def diff_files(a: str, b: str, *, values: bool, progress: Progress) -> Difference:
    """Compare two training files, each a path or URI of the file or of its manifest.

    They are compared by their manifests' digests if both manifests have them. Without digests, or if ``values`` asks
    for it, values are read: of the columns whose digests differ if both have digests, else of all columns. A file that
    is not the one in its manifest is always read.

    Raises:
        BadSetting: there is nothing at a place, or it is no training file.
        NullKeys, DuplicateKeys, FooterError: as ``diff_values``.
    """
    with ExitStack() as stack:
        sides = [_side(place, stack) for place in (a, b)]
        (first, file_a), (second, file_b) = sides
        known: Difference | None = None
        if first is not None and second is not None and has_digests(first) and has_digests(second):
            known = diff_manifests(first, second)
            known = known.model_copy(update={"a": _with_name(known.a, a), "b": _with_name(known.b, b)})
            known = known.model_copy(update={"expectations": _judged_otherwise(first, second)})
            if not values or known.same:
                return known
        absent = [place for place, file in ((a, file_a), (b, file_b)) if file is None]
        if file_a is None or file_b is None:
            cure = "Name the files themselves, or compare by digests: both manifests must record them."
            raise BadSetting(absent[0], got="a manifest without its file", expected="values to compare", cure=cure)
        only = None if known is None or _rows_differ(known) else {each.column for each in known.columns}
        found = diff_values(WideFile(file_a, first), WideFile(file_b, second), only, progress)
        judged = _judged_otherwise(first, second)
        return found.model_copy(
            update={"a": _with_name(found.a, a), "b": _with_name(found.b, b), "expectations": judged}
        )


def _judged_otherwise(a: Manifest | None, b: Manifest | None) -> tuple[str, str] | None:
    """Return the digests of two files' expectations if both manifests state them and they differ."""
    judged = [each.expectations.sha256 for each in (a, b) if each is not None and each.expectations is not None]
    return (judged[0], judged[1]) if len({*judged}) > 1 else None


def _with_name(side: Side, place: str) -> Side:
    return side.model_copy(update={"name": place})


def _rows_differ(known: Difference) -> bool:
    """Return whether the key differs: rows are then in other places, and no column is known to be equal."""
    return any(each.column == KEY for each in known.columns)


def _side(place: str, stack: ExitStack) -> tuple[Manifest | None, Source | None]:
    """Return the manifest and the file of a place, None for a missing one; a manifest of other bytes is left out."""
    of_manifest = place.endswith(MANIFEST_SUFFIX)
    file_place = place.removesuffix(MANIFEST_SUFFIX) + ".parquet" if of_manifest else place
    file = file_at(file_place)
    source = file.open()
    manifest = manifest_beside(file) if of_manifest else _manifest_of(file)
    if (manifest if of_manifest else source) is None:
        raise BadSetting(
            place,
            got="nothing there",
            expected="a training file, or its manifest",
            cure="Name a .parquet or .manifest.json, as a path or as gs://bucket/object.",
        )
    if source is not None:
        stack.callback(source.close)
        if not of_manifest and manifest is not None and not is_of(source, manifest):
            manifest = None
    return manifest, source


def file_at(place: str) -> StoredFile:
    """Return the file at a path or URI. It need not exist: a verdict says so then.

    Raises:
        BadSetting: the path is no file, or the URI names no object.
    """
    if is_address(place):
        return StoredFile(*object_at(place, "training file"))
    file = local_path(place, "training file", expected="a path, or gs://bucket/name")
    try:
        return StoredFile.at(regular_file(file))
    except FileNotFoundError:
        return StoredFile.at(file)
    except OSError as error:
        raise BadSetting(
            f"training file {file}",
            got=error.strerror or str(error),
            expected="a parquet file, or a link to one",
            cure="Name the file itself.",
        ) from error


def _manifest_of(file: StoredFile) -> Manifest | None:
    """Return the manifest that a published file names, else the one beside the file."""
    found = named_companions(file)
    return found.manifest if found is not None else manifest_beside(file)


def manifest_beside(file: StoredFile) -> Manifest | None:
    """Return the manifest beside a file; None if there is none. Raises CheckpointCorrupt for one that is damaged."""
    beside = file.beside(MANIFEST_SUFFIX)
    return load_record(beside.store, beside.name, Manifest) if beside.store.head(beside.name) is not None else None


def publishing_store(file: StoredFile) -> ObjectStore:
    """Return the store that knows a file's generation and metadata.

    Published files in a folder have them in sidecars, which the store of a mere path does not read.
    """
    return file.store if file.path is None else LocalObjectStore(file.path.parent)


def named_companions(file: StoredFile) -> Companions | None:
    """Return the companions that a published file names; None if it names none.

    Raises:
        CheckpointCorrupt: one of them is gone or damaged.
    """
    pair = _PAIR_BY_NAME.get(file.name)
    if pair is None:
        return None
    store = publishing_store(file)
    info = store.head(file.name)
    if info is None or not info.metadata.get("manifest"):
        return None
    found = companions_of(store, pair, info.metadata)
    if isinstance(found, str):
        raise CheckpointCorrupt(
            file.place,
            got=found,
            expected="the manifest that it was published with",
            cure=f"Publish it again: bqx publish {pair}",
        )
    return found
