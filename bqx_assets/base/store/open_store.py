"""Opens the object store that the settings or a URI name: a folder or a bucket."""

from __future__ import annotations

from functools import cache

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import bucket_and_prefix, is_address, object_name, storage_endpoint
from bqx_assets.base.store.protocol import ObjectStore


def in_cloud(settings: Settings) -> bool:
    """Return whether training files are published to a bucket."""
    return is_address(settings.output or "")


def open_store(settings: Settings) -> ObjectStore:
    """Return the store that training files are published to.

    Raises:
        BadSetting: ``output`` begins with ``gs://`` and names no bucket, or is a file.
        StoreError: there are no credentials.
    """
    if not in_cloud(settings):
        folder = settings.output_dir
        if folder.exists() and not folder.is_dir():  # else it would look as if nothing was published
            raise BadSetting(
                "output",
                got=f"{folder}, which is not a folder",
                expected="a folder, or gs://bucket",
                cure="Name a folder.",
            )
        return LocalObjectStore(folder, keep_versions=settings.keep_versions)
    return bucket_at(settings.output or "")


def bucket_at(uri: str) -> ObjectStore:
    """Return the store of a ``gs://bucket/prefix`` that a user names. Raises what ``open_store`` raises."""
    return _bucket(*bucket_and_prefix(uri), storage_endpoint())


def object_at(uri: str, subject: str) -> tuple[ObjectStore, str]:
    """Return the store of the folder that holds the object of a ``gs://`` URI, and the object's name there.

    Raises:
        BadSetting: the URI names no object; the error names ``subject``.
        StoreError: there are no credentials.
    """
    bucket, _ = bucket_and_prefix(uri, subject)
    object_name(uri.partition(f"//{bucket}/")[2] or uri)
    place, _, name = uri.rpartition("/")
    return bucket_at(place), name


@cache
def _bucket(bucket: str, prefix: str, endpoint: str | None) -> ObjectStore:
    """Return one store for each place, so that all stages of a process share one client and its connections."""
    del endpoint  # the client reads it itself
    # Imported here, because Google's libraries take 0.5 s, which commands without a bucket need not wait for.
    from bqx_assets.base.store.gcs import GcsObjectStore  # noqa: PLC0415

    return GcsObjectStore(bucket, prefix)
