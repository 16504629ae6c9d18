"""Training files as a user names them, a path or the URI of an object: checked, compared, and what lies beside them.

A published file names its manifest and the expectations it was held against; a copy has them beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, Manifest, manifest_path
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt
from bqx_assets.base.files import read_regular, regular_file
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.progress import Progress
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import GCS_SCHEME, local_path
from bqx_assets.base.store.open_store import object_at
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.records import load_record
from bqx_assets.catalogue.expectations import Expectations, parse_expectations
from bqx_assets.quality.diff import Difference, Side, WideFile, diff_manifests, diff_values, has_digests
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import Source, is_of, open_file, open_object
from bqx_assets.quality.validate import validate, validate_object
from bqx_assets.release.merged_file import save_object_report, save_report
from bqx_assets.release.published import Companions, companions_of, plain_name

PUBLISHED = {training_name(pair): pair for pair in ALL_PAIRS}
"""The names that published files have."""
_KEPT = "kept with the file ("


def validate_file(
    place: str, pair: Pair, expectations: Expectations, *, keep: bool, deep: bool, progress: Progress
) -> Report:
    """Validate a path or an object; ``keep`` the report of a deep pass beside it if there is a manifest too.

    Beside a published object lies the report it was published with.

    Raises:
        BadSetting: a URI that is none.
        CheckpointCorrupt: a published file whose own manifest is gone or damaged.
    """
    if place.startswith(GCS_SCHEME):
        store, name = object_at(place, "training file")
        manifest = _object_manifest(store, name)
        report = validate_object(store, name, pair, expectations, manifest=manifest, deep=deep, progress=progress)
        if manifest is not None and keep and deep:
            save_object_report(store, name, manifest, report)
        return report
    file = file_of(place)
    manifest = _file_manifest(file)
    report = validate(file, pair, expectations, manifest=manifest, deep=deep, progress=progress)
    # Another report beside a published file would make its publication a partial one.
    if manifest is not None and keep and deep and _published_manifest(file) is None:
        save_report(file, manifest, report)
    return report


def kept_expectations(place: str) -> Expectations | None:
    """Return the expectations that are kept with a training file; None where there are none.

    Raises:
        CheckpointCorrupt: what the published file names is gone or damaged.
    """
    kept = _kept(place)
    if kept is None:
        return None
    manifest, text = kept
    where = manifest.expectations.place if manifest.expectations is not None else "unknown"
    return parse_expectations(text, f"kept with the file ({where.removeprefix(_KEPT).rstrip(')')})")


def _kept(place: str) -> tuple[Manifest, str] | None:
    """The manifest and the expectations that a published file names, or that lie beside a copy of it."""
    if place.startswith(GCS_SCHEME):
        store, name = object_at(place, "training file")
        info = store.head(name)
        found = named_companions(store, name, info.metadata if info else {})
    else:
        file = file_of(place)
        folder = LocalObjectStore(file.parent)
        info = folder.head(file.name) if file.name in PUBLISHED else None
        found = named_companions(folder, file.name, info.metadata if info else {})
        if found is None:
            return _kept_beside(file)
    text = found.texts.get("expectations") if found is not None else None
    return (found.manifest, text.decode()) if found is not None and text is not None else None


def _kept_beside(file: Path) -> tuple[Manifest, str] | None:
    """Of a copy with the copies for people beside it; they count only if they are each other's."""
    pair = PUBLISHED.get(file.name)
    manifest = Manifest.load(manifest_path(file)) if pair is not None and manifest_path(file).is_file() else None
    text = file.with_name(plain_name(pair, "expectations")) if pair is not None else None
    if manifest is None or manifest.expectations is None or text is None or not text.is_file():
        return None
    data = read_regular(text)
    return (manifest, data.decode()) if hashlib.sha256(data).hexdigest() == manifest.expectations.sha256 else None


def diff_files(a: str, b: str, *, values: bool, progress: Progress) -> Difference:
    """Compare two training files, each a path or URI of the file or of its manifest.

    By their manifests' digests where both record them; else, and where ``values`` asks for it, by reading: the columns
    whose digests differ where both have digests, else all. A file that is no longer its manifest's is read.

    Raises:
        BadSetting: nothing is there, or it is no training file.
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
    """The digests of what two files were held against, where both manifests say it and they differ."""
    judged = [each.expectations.sha256 for each in (a, b) if each is not None and each.expectations is not None]
    return (judged[0], judged[1]) if len({*judged}) > 1 else None


def _with_name(side: Side, place: str) -> Side:
    return side.model_copy(update={"name": place})


def _rows_differ(known: Difference) -> bool:
    """Whether the key is among the columns that differ: then rows are elsewhere, and no column is known equal."""
    return any(each.column == KEY for each in known.columns)


def _side(place: str, stack: ExitStack) -> tuple[Manifest | None, Source | None]:
    """Return the manifest of a place and its file, None where there is none; a file's manifest only if it is of it."""
    of_manifest = place.endswith(MANIFEST_SUFFIX)
    file_place = place.removesuffix(MANIFEST_SUFFIX) + ".parquet" if of_manifest else place
    if place.startswith(GCS_SCHEME):
        store, name = object_at(file_place, "training file")
        source: Source | None = open_object(store, name)
        manifest = _manifest_beside(store, name) if of_manifest else _object_manifest(store, name)
    else:
        file = file_of(file_place)
        source = open_file(file)
        manifest = _file_manifest(file, beside=of_manifest)
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


def file_of(place: str) -> Path:
    """Return the path of a file, or of none: a verdict says that. Raises BadSetting for what is no file."""
    file = local_path(place, "training file", expected="a path, or gs://bucket/name")
    try:
        return regular_file(file)
    except FileNotFoundError:
        return file
    except OSError as error:
        raise BadSetting(
            f"training file {file}",
            got=error.strerror or str(error),
            expected="a parquet file, or a link to one",
            cure="Name the file itself.",
        ) from error


def _file_manifest(file: Path, *, beside: bool = False) -> Manifest | None:
    """Return the manifest that a published file names, else, or where asked for, the one beside it."""
    named = None if beside else _published_manifest(file)
    return named or (Manifest.load(manifest_path(file)) if manifest_path(file).is_file() else None)


def _published_manifest(file: Path) -> Manifest | None:
    """Return the manifest that a published file names; None for any other file."""
    if file.name not in PUBLISHED:
        return None
    folder = LocalObjectStore(file.parent)
    info = folder.head(file.name)
    found = named_companions(folder, file.name, info.metadata if info else {})
    return found.manifest if found is not None else None


def _object_manifest(store: ObjectStore, name: str) -> Manifest | None:
    """Return the manifest that a published object names, else the one beside it."""
    info = store.head(name)
    found = named_companions(store, name, info.metadata if info else {})
    return found.manifest if found is not None else _manifest_beside(store, name)


def named_companions(store: ObjectStore, name: str, metadata: Mapping[str, str]) -> Companions | None:
    """Return the companions that a published object names; None where it names none.

    Raises:
        CheckpointCorrupt: one of them is gone or damaged.
    """
    pair = PUBLISHED.get(name)
    if pair is None or not metadata.get("manifest"):
        return None
    found = companions_of(store, pair, metadata)
    if isinstance(found, str):
        raise CheckpointCorrupt(
            store.uri(name),
            got=found,
            expected="the manifest that it was published with",
            cure=f"Publish it again: bqx publish {pair}",
        )
    return found


def _manifest_beside(store: ObjectStore, name: str) -> Manifest | None:
    beside = manifest_path(Path(name)).name
    return load_record(store, beside, Manifest) if store.head(beside) is not None else None
