"""Opens the object store that the settings or an address name: the one choice between a folder and a bucket."""

from __future__ import annotations

from functools import cache

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import GCS_SCHEME, bucket_and_prefix, is_gcs_uri, object_name, storage_endpoint
from bqx_assets.base.store.protocol import ObjectStore


def in_cloud(settings: Settings) -> bool:
    """Return whether training files are published to a bucket."""
    return is_gcs_uri(settings.output or "")


def open_store(settings: Settings) -> ObjectStore:
    """Return the store that training files are published to.

    Raises:
        BadSetting: ``output`` begins with ``gs://`` and names no bucket, or is a file.
        StoreError: no credentials.
    """
    if not in_cloud(settings):
        folder = settings.output_dir
        if folder.exists() and not folder.is_dir():  # else nothing would seem to be published there
            raise BadSetting(
                "output",
                got=f"{folder}, which is no folder",
                expected="a folder, or gs://bucket",
                cure="Name a folder.",
            )
        return LocalObjectStore(folder, keep_versions=settings.keep_versions)
    return bucket_at(settings.output or "")


def bucket_at(uri: str) -> ObjectStore:
    """Return a store of a ``gs://bucket/prefix`` that a user names. Raises BadSetting, StoreError as ``open_store``."""
    return _bucket(*bucket_and_prefix(uri), storage_endpoint())


def object_at(uri: str, subject: str) -> tuple[ObjectStore, str]:
    """Return a store of the folder that the object of a ``gs://`` URI is in, and its name there.

    Raises:
        BadSetting: the URI names no object; ``subject`` is what was to name one.
        StoreError: no credentials.
    """
    bucket, _ = bucket_and_prefix(uri, subject)
    folder, _, name = object_name(uri.removeprefix(f"{GCS_SCHEME}{bucket}/")).rpartition("/")
    return _bucket(bucket, f"{folder}/" if folder else "", storage_endpoint()), name


@cache
def _bucket(bucket: str, prefix: str, endpoint: str | None) -> ObjectStore:
    """Return one store for each place, so that all stages of a process share one client and its connections."""
    del endpoint  # the client reads it itself
    # Here, so that the command line starts without Google's libraries where no cloud is used: 0.5 s.
    from bqx_assets.base.store.gcs import GcsObjectStore  # noqa: PLC0415

    return GcsObjectStore(bucket, prefix)
