"""A Cloud Storage bucket as object store, through Google's own client.

Endpoint and credentials come from the client's own configuration: ``STORAGE_EMULATOR_HOST`` (then without
credentials), else the application's default credentials.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage

from bqx_assets.base.checksums import crc32c_of_blocks, crc32c_of_file, to_base64
from bqx_assets.base.errors import StoreError
from bqx_assets.base.files import Blocks, JoinedBlocks
from bqx_assets.base.retry import RETRIES, RetryPolicy
from bqx_assets.base.store import gcs_answers as failures
from bqx_assets.base.store.gcs_answers import hide_upload_ids
from bqx_assets.base.store.gcs_facts import WRITER, CountingAdapter, info_of, policy_of
from bqx_assets.base.store.naming import GCS_SCHEME, object_name
from bqx_assets.base.store.protocol import ABSENT, STAGING, BucketPolicy, Condition, ObjectInfo, version_text
from bqx_assets.base.threads import in_threads
from bqx_assets.base.usage import Usage, count

MOST_SOURCES = 32
"""Most objects that one compose call takes. **Source**: cloud.google.com/storage/quotas, 2026-11."""
_ONE_REQUEST_BYTES = 8 << 20
"""Largest upload that google-cloud-storage sends in one request; a larger one takes a resumable session."""
_CHUNK_BYTES = 8 << 20
"""Bytes of a resumable upload that are kept in memory. The client's own default is 100 MiB a thread."""
_THREADS, _CONNECTIONS, _CONNECT_SECONDS = 8, 64, 10.0


class GcsObjectStore:
    """Objects of a bucket whose names begin with ``prefix``. Implements ``ObjectStore``; safe to use from threads.

    Reads and conditional writes are repeated by ``policy`` (default: ``cloud_storage`` of ``base.retry``) if the reason
    of the refusal may pass. A write without a condition is not repeated, as that could undo somebody else's write.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: storage.Client | None = None,
        policy: RetryPolicy | None = None,
    ) -> None:
        with failures.translate_errors(f"{GCS_SCHEME}{bucket}", opening=True):
            # No project, because it is needed only to create buckets.
            self.client: Any = client or storage.Client(project=None)  # its methods are untyped
        hide_upload_ids()
        # requests keeps 10 connections to a host, and warns whenever threads need more.
        session, endpoint = self.client._http, self.client._connection.API_BASE_URL  # noqa: SLF001 -- no other way
        session.mount(endpoint, CountingAdapter(pool_maxsize=_CONNECTIONS))
        self.bucket, self.prefix = self.client.bucket(bucket), prefix
        policy = policy or RETRIES["cloud_storage"]
        self._retry = Retry(
            failures.may_pass,
            policy.first_wait_seconds,
            policy.longest_wait_seconds,
            policy.factor,
            policy.patience_seconds,
        )
        self._timeout = (min(_CONNECT_SECONDS, policy.call_seconds), policy.call_seconds)
        self._seen = False  # True: a call succeeded, so the bucket exists

    def uri(self, name: str) -> str:
        """Return ``gs://bucket/name``."""
        return self._subject(self._full(name))

    def local_path(self, name: str) -> None:
        """Return None: the bytes of an object are in no file of this machine."""

    @contextmanager
    def scratch(self, beside: str = "") -> Generator[Path]:
        """Give a folder in the system's temporary folder. On Cloud Run its files take memory."""
        del beside
        with tempfile.TemporaryDirectory(prefix="bqx-") as folder:
            yield Path(folder)

    def lock(self, name: str) -> None:
        """Return None: Cloud Storage has no locks."""

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts: one request."""
        with self._translate_errors(self._full(name)):
            blob = self.bucket.get_blob(self._full(name), **self._how)
            if blob is None and not self._seen and self._is_missing():
                raise api.NotFound(failures.NO_BUCKET)
            return self._info(blob) if blob is not None else None

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts: Cloud Storage made the CRC32C from the bytes it holds. **Cost**: one request."""
        del since  # no byte has to be read
        return self.head(name)

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        """Return the facts of the object's noncurrent versions, oldest first. **Cost**: one request a thousand."""
        # The client would send True as "True", which is not JSON.
        with self._translate_errors(self._full(name)):
            found = self.client.list_blobs(self.bucket, prefix=self._full(name), versions="true", **self._how)
            infos = [self._info(blob) for blob in found if blob.name == self._full(name) and blob.time_deleted]
        return sorted(infos, key=lambda info: int(info.version))

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield all objects whose name starts with ``prefix``, by name. **Cost**: one request a thousand."""
        with self._translate_errors(self.prefix + prefix):
            yield from map(self._info, self.client.list_blobs(self.bucket, prefix=self.prefix + prefix, **self._how))

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
        """Return a range of the object's bytes; the client compares those of a whole object with its CRC32C."""
        if length == 0:
            return b""
        blob, end = self.bucket.blob(self._full(name)), None if length is None else start + length - 1
        whole = length is None and not start

        def once() -> bytes:
            # The client's own retry would leave the connection of a refused download open.
            how: dict[str, Any] = {**self._how, "retry": None, "if_generation_match": _generation(only_if)}
            # A GB takes 1.9 s of a processor in the client's pieces of 8 KB, and 0.4 s in one piece. A range has no
            # checksum: the client would compute one and compare it with nothing.
            how |= {"single_shot_download": True, "checksum": "crc32c" if whole else None}
            kept = Blocks()
            blob.download_to_file(kept, start=start or None, end=end, **how)
            return b"".join(kept.blocks)

        with self._translate_errors(self._full(name)):
            try:
                return self._retry(once)()
            except api.RequestRangeNotSatisfiable:
                return b""  # like a file that is read behind its end

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, only_if: Condition | None = None
    ) -> ObjectInfo:
        """Store ``data``, as ``put_blocks`` does."""
        return self.put_blocks(name, [data], metadata=metadata, only_if=only_if)

    def put_blocks(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        crc: int | None = None,
    ) -> ObjectInfo:
        """Upload blocks; the server compares them with their CRC32C before the object becomes visible.

        **Cost**: 8 MiB more memory than the blocks themselves.
        """
        known = crc32c_of_blocks(blocks) if crc is None else crc
        file = cast("IO[bytes]", JoinedBlocks(blocks))
        return self._put(name, file, sum(map(len, blocks)), known, metadata, only_if)

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        move: bool = False,
        crc: int | None = None,
    ) -> ObjectInfo:
        """Upload ``path``. **Cost**: the file is read once, without ``crc`` twice; 8 MiB in memory."""
        known = crc32c_of_file(path) if crc is None else crc
        with path.open("rb") as file:
            info = self._put(name, file, path.stat().st_size, known, metadata, only_if)
        if move:
            path.unlink()
        return info

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of any number of objects by a tree of compose calls with up to 32 sources each.

        Intermediate objects lie under ``staging/``. They are deleted after success; after a failure the bucket's
        lifecycle deletes them.
        **Cost**: ceil((n - 1) / 31) calls; no byte passes through this process.
        """
        if not parts:
            return self.put_bytes(name, b"", metadata=metadata, only_if=only_if)
        stem = f"{STAGING}compose/{secrets.token_hex(8)}/"
        last, made = brought_below(parts, stem, self._compose)
        info = self._compose(name, last, metadata, only_if)
        list(in_threads(self._discard, made, _THREADS, "compose"))
        return info

    def delete(self, name: str, *, only_if: Condition | None = None) -> None:
        """Delete the live object; the bucket's versioning decides whether a noncurrent version stays."""
        blob, tried = self.bucket.blob(self._full(name)), list[Exception]()

        def once() -> None:
            blob.delete(if_generation_match=_generation(only_if), timeout=self._timeout, retry=None)

        with self._translate_errors(self._full(name)):
            try:
                (self._retry(once, on_error=tried.append) if only_if not in (None, ABSENT) else once)()
            except (api.NotFound, api.PreconditionFailed):
                # On a retry, 404 means that the first attempt deleted it; a newer version belongs to someone else.
                if not tried:
                    raise

    def policy(self) -> BucketPolicy:
        """Return the bucket's rules and settings. Needs ``storage.buckets.get``."""
        with self._translate_errors():
            self.bucket.reload(**self._how)
            return policy_of(self.bucket)

    def set_policy(self, policy: BucketPolicy) -> None:
        """Set rules and versioning, unless the bucket changed since it was read. Needs ``storage.buckets.update``."""
        self.bucket.lifecycle_rules, self.bucket.versioning_enabled = list(policy.rules), policy.versioning
        with self._translate_errors():
            self.bucket.patch(if_metageneration_match=policy.metageneration, **self._how)

    def _put(
        self,
        name: str,
        file: IO[bytes],
        size_bytes: int,
        crc: int,
        metadata: Mapping[str, str] | None,
        only_if: Condition | None,
    ) -> ObjectInfo:
        blob = self._blob(name, metadata)
        resumable = size_bytes > _ONE_REQUEST_BYTES
        sessions = RETRIES["upload_session"].attempts
        with self._own_write(blob, only_if):
            for session in range(1, sessions + 1):
                try:
                    blob.upload_from_file(
                        file,
                        rewind=True,
                        size=size_bytes,
                        if_generation_match=_generation(only_if),
                        timeout=self._timeout,
                        retry=self._retry if only_if is not None else None,
                        # The client's own comparison after a resumable upload deletes without a condition, so the
                        # server gets the CRC32C before the bytes, and the comparison is made below.
                        checksum=None if resumable else "crc32c",
                        crc32c_checksum_value=to_base64(crc),
                    )
                    break
                except (api.GoogleAPICallError, ValueError) as error:
                    # A ValueError means that the server kept only part of a chunk.
                    lost = resumable if isinstance(error, ValueError) else failures.is_lost(error, resumable=resumable)
                    if not lost or only_if is None or session == sessions:
                        raise
        count(Usage(written_bytes=size_bytes))
        info = self._info(blob)
        if (info.size_bytes, info.crc32c) != (size_bytes, crc):
            self._discard(info)
            raise failures.other_bytes(self.uri(name), info, size_bytes, crc)
        return info

    def _compose(
        self,
        name: str,
        parts: Sequence[str],
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = ABSENT,
    ) -> ObjectInfo:
        blob = self._blob(name, metadata)
        how = self._how if only_if is not None else self._how | {"retry": None}
        with self._own_write(blob, only_if):
            sources = [self.bucket.blob(self._full(part)) for part in parts]
            blob.compose(sources, if_generation_match=_generation(only_if), **how)
        return self._info(blob)

    @contextmanager
    def _own_write(self, blob: Any, only_if: Condition | None) -> Generator[None]:  # noqa: ANN401 -- untyped client
        """Treat a failed condition as success if the existing object has our writer token.

        An earlier attempt succeeded then, and its answer was lost.
        """
        token = blob.metadata[WRITER]
        with self._translate_errors(blob.name):
            try:
                yield
            except api.PreconditionFailed as error:
                if not failures.is_overtaken(error):
                    raise
                with suppress(api.NotFound):
                    blob.reload(**self._how)
                if (blob.metadata or {}).get(WRITER) != token or not blob.generation:
                    found = version_text(str(blob.generation) if blob.generation else ABSENT)
                    raise failures.overtaken(self._subject(blob.name), found, only_if) from None

    def _discard(self, info: ObjectInfo) -> None:
        """Delete this generation for good, because a noncurrent version of it would still be charged for."""
        blob = self.bucket.blob(self._full(info.name), generation=int(info.version))
        with suppress(StoreError), failures.translate_errors(info.name):  # otherwise the bucket's lifecycle removes it
            blob.delete(**self._how)

    @property
    def _how(self) -> dict[str, Any]:
        return {"timeout": self._timeout, "retry": self._retry}

    def _subject(self, full_name: str = "") -> str:
        return f"{GCS_SCHEME}{self.bucket.name}/{full_name}".rstrip("/")

    @contextmanager
    def _translate_errors(self, full_name: str = "") -> Generator[None]:
        with failures.translate_errors(self._subject(full_name), self._is_missing):
            yield
        self._seen = True

    def _is_missing(self) -> bool:
        """Return whether the bucket itself is missing, which an answer "No such object" can also mean.

        A listing tells it, because the role that reads objects may list them but may not get the bucket.
        """
        try:
            list(self.client.list_blobs(self.bucket, prefix=self.prefix, max_results=1, **self._how))
        except (api.GoogleAPIError, GoogleAuthError, OSError) as error:
            return isinstance(error, api.NotFound)  # unknown: the first refusal is reported
        return False

    def _full(self, name: str) -> str:
        return self.prefix + object_name(name)

    def _blob(self, name: str, metadata: Mapping[str, str] | None) -> Any:  # noqa: ANN401 -- untyped client
        blob = self.bucket.blob(self._full(name), chunk_size=_CHUNK_BYTES)
        blob.metadata = {**(metadata or {}), WRITER: secrets.token_hex(8)}
        return blob

    def _info(self, blob: Any) -> ObjectInfo:  # noqa: ANN401 -- untyped client
        return info_of(blob, self.prefix)


def _generation(only_if: Condition | None) -> int | None:
    """Return a condition in the form of Cloud Storage, where generation 0 means that there is no object."""
    return None if only_if is None else 0 if only_if == ABSENT else int(only_if)


def first_groups(names: Sequence[str]) -> tuple[list[Sequence[str]], Sequence[str]]:
    """Return the groups to compose first, from the front, and the remaining names: as few calls as get below the limit.

    **Shape**: groups of 2 to 32 names. All levels together take ceil((n - 1) / 31) calls, the last one included.
    """
    groups: list[Sequence[str]] = []
    excess, at = len(names) - MOST_SOURCES, 0
    while excess > 0 and at < len(names) - 1:
        groups.append(names[at : at + min(MOST_SOURCES, excess + 1)])
        excess -= len(groups[-1]) - 1
        at += len(groups[-1])
    return groups, names[at:]


def brought_below(
    parts: Sequence[str], stem: str, compose: Callable[[str, Sequence[str]], ObjectInfo]
) -> tuple[list[str], list[ObjectInfo]]:
    """Compose level by level until one call can take the rest; return the rest and all intermediate objects.

    **Shape**: the names of intermediate objects are ``stem`` and five digits.
    """
    level, made = list(parts), list[ObjectInfo]()
    while len(level) > MOST_SOURCES:
        groups, rest = first_groups(level)
        names = [f"{stem}{len(made) + at:05}" for at in range(len(groups))]
        calls = zip(names, groups, strict=True)
        made += in_threads(lambda call: compose(*call), calls, _THREADS, "compose")
        level = [*names, *rest]
    return level, made
