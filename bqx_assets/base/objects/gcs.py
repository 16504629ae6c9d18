"""Cloud Storage as object store, by Google's own client.

Belongs here: the one place that imports ``google.cloud.storage``; retries, preconditions, checksums, errors without
URLs. Does not: what an object is for, what a bucket's rules should be (``release/lifecycle``).

Endpoint and credentials are the client's own configuration: ``STORAGE_EMULATOR_HOST`` (anonymous then), else the
application's default credentials.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from bqx_assets.base.checksums import crc32c, crc32c_of_file, from_base64, to_base64
from bqx_assets.base.errors import StoreError
from bqx_assets.base.objects.gcs_failures import other_bytes, overtaken, told
from bqx_assets.base.objects.gcs_logs import hide_upload_ids
from bqx_assets.base.objects.naming import GCS_SCHEME, object_name
from bqx_assets.base.objects.protocol import ABSENT, STAGING, BucketPolicy, ObjectInfo, Verified
from bqx_assets.base.objects.tree import MOST_SOURCES, first_groups

_WRITER = "bqx-writer"
"""Metadata key of the token by which a writer knows its own write again, and this package what it wrote."""
_ONE_REQUEST_BYTES = 8 << 20
"""Up to here google-cloud-storage uploads in one request, beyond it in a resumable session."""
_CHUNK_BYTES = 8 << 20
"""Of a resumable upload: what stands in memory. The client's own default is 100 MiB a thread."""
_THREADS, _CONNECTIONS, _SESSIONS = 8, 64, 3  # sessions begun for one upload at most, where the server loses them
_TIMEOUT_SECONDS = (10, 120)


class GcsObjectStore:
    """Objects of a bucket whose names begin with ``prefix``. Implements ``ObjectStore``; safe to use from threads.

    Reads and conditional writes are retried with back-off and jitter for ``patience_seconds``. A write without a
    condition is not: repeated, it could undo somebody else's.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: storage.Client | None = None,
        patience_seconds: float = 120.0,
        first_delay_seconds: float = 0.5,
    ) -> None:
        with told(f"{GCS_SCHEME}{bucket}"):
            # No project: it is needed to make buckets, not to use one.
            self.client: Any = client or storage.Client(project=None)  # its methods are untyped
        hide_upload_ids()
        # requests keeps 10 connections a host, and warns of each one more that threads ask for.
        session, endpoint = self.client._http, self.client._connection.API_BASE_URL  # noqa: SLF001 -- no other way
        session.mount(endpoint, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        self.bucket: Any = self.client.bucket(bucket)
        self.prefix = prefix
        self._retry: Retry = DEFAULT_RETRY.with_delay(first_delay_seconds, 30.0, 2.0).with_timeout(patience_seconds)

    def uri(self, name: str) -> str:
        """Return ``gs://bucket/name``."""
        return f"{GCS_SCHEME}{self.bucket.name}/{self._full(name)}"

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts: one request."""
        with told(self.uri(name)):
            blob = self.bucket.get_blob(self._full(name), timeout=_TIMEOUT_SECONDS, retry=self._retry)
            return self._info(blob) if blob is not None else None

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts: the store made its CRC32C from the bytes it holds. One request."""
        del since  # asking costs no reading
        return self.head(name)

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        """Return the facts of the object's noncurrent versions, oldest first: one request a thousand."""
        # The client sends a True as "True", which JSON does not know.
        how: dict[str, Any] = {"versions": "true", "timeout": _TIMEOUT_SECONDS, "retry": self._retry}
        with told(self.uri(name)):
            found = self.client.list_blobs(self.bucket, prefix=self._full(name), **how)
            infos = [self._info(blob) for blob in found if blob.name == self._full(name) and blob.time_deleted]
        return sorted(infos, key=lambda info: info.generation)

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield all objects whose name starts with ``prefix``, by name: one request a thousand."""
        with told(f"{GCS_SCHEME}{self.bucket.name}/{self.prefix}{prefix}"):
            for blob in self.client.list_blobs(
                self.bucket, prefix=self.prefix + prefix, timeout=_TIMEOUT_SECONDS, retry=self._retry
            ):
                yield self._info(blob)

    def read(self, name: str, start: int = 0, length: int | None = None, if_generation: int | None = None) -> bytes:
        """Return a range of the object's bytes; a whole object's are held against its CRC32C by the client."""
        if length == 0:
            return b""
        blob = self.bucket.blob(self._full(name))
        wanted: dict[str, Any] = {"start": start or None, "end": None if length is None else start + length - 1}

        def once() -> bytes:
            # Not the client's own retry: it leaves the connection of a refused download open.
            return blob.download_as_bytes(
                **wanted, timeout=_TIMEOUT_SECONDS, retry=None, checksum="crc32c", if_generation_match=if_generation
            )

        with told(self.uri(name)):
            try:
                return self._retry(once)()
            except api.RequestRangeNotSatisfiable:
                return b""  # behind the end, as with a file

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store ``data``; the server holds it against its CRC32C before it is visible."""
        return self._put(name, io.BytesIO(data), len(data), crc32c(data), metadata, if_generation)

    def put_file(
        self, name: str, path: Path, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store a copy of ``path``. **Cost**: the file is read twice (checksum, upload), 8 MiB in memory."""
        with path.open("rb") as file:
            return self._put(name, file, path.stat().st_size, crc32c_of_file(path), metadata, if_generation)

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of any number of objects: a tree of compose calls, 32 sources each.

        Intermediate objects under ``staging/`` go after success; after a failure they are the bucket's lifecycle's.
        **Cost**: ceil((n - 1) / 31) calls; no byte passes through this process.
        """
        if not parts:
            return self.put_bytes(name, b"", metadata=metadata, if_generation=if_generation)
        token = secrets.token_hex(8)
        made: list[ObjectInfo] = []
        level = list(parts)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="compose") as pool:
            while len(level) > MOST_SOURCES:
                groups, rest = first_groups(level)
                names = [f"{STAGING}compose/{token}/{len(made) + at:05}" for at in range(len(groups))]
                made += pool.map(self._compose, names, groups)
                level = [*names, *rest]
            info = self._compose(name, level, metadata, if_generation)
            list(pool.map(self._discard, made))
        return info

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """Delete the live object; the bucket's versioning decides what stays of it."""
        blob = self.bucket.blob(self._full(name))
        failures: list[Exception] = []

        def once() -> None:
            blob.delete(if_generation_match=if_generation, timeout=_TIMEOUT_SECONDS, retry=None)

        with told(self.uri(name)):
            try:
                (self._retry(once, on_error=failures.append) if if_generation else once)()
            except (api.NotFound, api.PreconditionFailed):
                # After a lost answer "not there" is what was asked for; a successor is none of ours.
                if not failures:
                    raise

    def policy(self) -> BucketPolicy:
        """Return how long the bucket keeps what: ``storage.buckets.get``."""
        with told(f"{GCS_SCHEME}{self.bucket.name}"):
            self.bucket.reload(timeout=_TIMEOUT_SECONDS, retry=self._retry)
            return BucketPolicy(
                rules=tuple(dict(rule) for rule in self.bucket.lifecycle_rules),
                versioning=bool(self.bucket.versioning_enabled),
                soft_delete_seconds=int(self.bucket.soft_delete_policy.retention_duration_seconds or 0),
                metageneration=int(self.bucket.metageneration),
            )

    def set_policy(self, policy: BucketPolicy) -> None:
        """Set rules and versioning, unless the bucket changed since they were read: ``storage.buckets.update``."""
        with told(f"{GCS_SCHEME}{self.bucket.name}"):
            self.bucket.lifecycle_rules = list(policy.rules)
            self.bucket.versioning_enabled = policy.versioning
            self.bucket.patch(
                if_metageneration_match=policy.metageneration, timeout=_TIMEOUT_SECONDS, retry=self._retry
            )

    def _put(
        self,
        name: str,
        file: IO[bytes],
        size_bytes: int,
        crc: int,
        metadata: Mapping[str, str] | None,
        if_generation: int | None,
    ) -> ObjectInfo:
        blob = self._blob(name, metadata)
        resumable = size_bytes > _ONE_REQUEST_BYTES
        with self._own_write(blob, if_generation):
            for session in range(1, _SESSIONS + 1):
                try:
                    blob.upload_from_file(
                        file,
                        rewind=True,
                        size=size_bytes,
                        if_generation_match=if_generation,
                        timeout=_TIMEOUT_SECONDS,
                        retry=self._retry if if_generation is not None else None,
                        # A resumable upload's own comparison ends in a deletion without a condition: the server is
                        # given the CRC32C before the bytes, and the comparison is made here.
                        checksum=None if resumable else "crc32c",
                        crc32c_checksum_value=to_base64(crc),
                    )
                    break
                except (api.GoogleAPICallError, ValueError) as error:
                    # 404 and 410: the session is lost. ValueError: the server kept only part of a chunk.
                    lost = getattr(error, "code", HTTPStatus.GONE) in {HTTPStatus.GONE, HTTPStatus.NOT_FOUND}
                    if not (resumable and lost) or if_generation is None or session == _SESSIONS:
                        raise
        info = self._info(blob)
        if (info.size_bytes, info.crc32c) != (size_bytes, crc):
            self._discard(info)
            raise other_bytes(self.uri(name), info, size_bytes, crc)
        return info

    def _compose(
        self,
        name: str,
        parts: Sequence[str],
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = 0,
    ) -> ObjectInfo:
        blob = self._blob(name, metadata)
        with self._own_write(blob, if_generation):
            blob.compose(
                [self.bucket.blob(self._full(part)) for part in parts],
                if_generation_match=if_generation,
                timeout=_TIMEOUT_SECONDS,
                retry=self._retry if if_generation is not None else None,
            )
        return self._info(blob)

    @contextmanager
    def _own_write(self, blob: Any, if_generation: int | None) -> Generator[None]:  # noqa: ANN401 -- untyped client
        """Take a refusal for a success where the object that is in the way is this very write.

        Its answer was lost, its repetition then failed on the condition.
        """
        token = blob.metadata[_WRITER]
        subject = f"{GCS_SCHEME}{self.bucket.name}/{blob.name}"
        with told(subject):
            try:
                yield
            except api.PreconditionFailed:
                with suppress(api.NotFound):
                    blob.reload(timeout=_TIMEOUT_SECONDS, retry=self._retry)
                if (blob.metadata or {}).get(_WRITER) != token or not blob.generation:
                    raise overtaken(subject, f"generation {blob.generation or ABSENT}", if_generation) from None

    def _discard(self, info: ObjectInfo) -> None:
        """Remove this very generation for good: under versioning it would go on being charged for."""
        blob = self.bucket.blob(self._full(info.name), generation=info.generation)
        with suppress(StoreError), told(info.name):  # the lifecycle removes what cannot be removed now
            blob.delete(timeout=_TIMEOUT_SECONDS, retry=self._retry)

    def _full(self, name: str) -> str:
        return self.prefix + object_name(name)

    def _blob(self, name: str, metadata: Mapping[str, str] | None) -> Any:  # noqa: ANN401 -- untyped client
        blob = self.bucket.blob(self._full(name), chunk_size=_CHUNK_BYTES)
        blob.metadata = {**(metadata or {}), _WRITER: secrets.token_hex(8)}
        return blob

    def _info(self, blob: Any) -> ObjectInfo:  # noqa: ANN401 -- untyped client
        metadata: dict[str, str] = blob.metadata or {}
        return ObjectInfo(
            name=blob.name.removeprefix(self.prefix),
            size_bytes=int(blob.size),
            crc32c=from_base64(blob.crc32c),
            generation=int(blob.generation),
            updated=blob.updated,
            metadata={key: value for key, value in metadata.items() if key != _WRITER},
            own=_WRITER in metadata,
            verified=Verified(datetime.now(UTC), "store checksum"),
        )
