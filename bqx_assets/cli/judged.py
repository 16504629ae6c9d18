"""By which expectations a training file that the command line names is judged.

Belongs here: the choice between those of the settings and those kept with the file. Does not: judging.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.files import read_regular
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.choose import object_at
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import GCS_SCHEME
from bqx_assets.catalogue.expectations import Expectations, parse_expectations
from bqx_assets.cli.places import PUBLISHED, file_of, named_companions
from bqx_assets.extract.connect import load_own_expectations
from bqx_assets.release.published import plain_name

_KEPT = "kept with the file ("


def expectations_for(place: str, settings: Settings) -> Expectations:
    """Return what a training file is to be held against: what the settings name, else what is kept with the file.

    Else the warehouse's own, or the packaged ones. Nobody who looks at a published file has to know how it was judged.

    Raises:
        CheckpointCorrupt: what the published file names is gone or damaged.
        BadSetting: as ``load_own_expectations``.
    """
    kept = _kept(place) if settings.expectations is None else None
    if kept is None:
        return load_own_expectations(settings)
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
