"""The tests' strict Cloud Storage server with its objects on disk, so that the 12 GB of a pair need no memory.

As in Cloud Storage, a composed or copied object shares its sources' bytes, and its CRC32C follows from theirs. No MD5
is made, because the client asks for none. Equal blocks lie on the disk once, because 50 kinds of tables stand for 667
and each pair has the same: so three pairs need no 30 GB. Deleted objects stay there until the server ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from benchmarks.beside import Counts, Running
from bqx_assets.base.checksums import combine, crc32c, to_base64
from bqx_assets_tests.servers.gcs.bucket import Bucket, Json, Stored
from bqx_assets_tests.servers.gcs.operations import Answer, Request, Service
from bqx_assets_tests.servers.gcs.server import GcsServer

Run = tuple[int, int]
"""Offset in the disk's file, and length."""


WRITES = ("insert", "start", "chunk", "compose", "list")
"""Kinds of calls that Cloud Storage bills as class A."""
READS = ("get", "media")
"""Those of class B."""
_BLOCK_BYTES = 128 << 10


class Disk:
    """A file that only grows and holds the bytes of all objects."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._end = 0
        self._runs: dict[bytes, Run] = {}
        self._lock = threading.Lock()

    def append(self, data: bytes) -> list[Run]:
        """Write the blocks that are new at the end of the file, and return the places of all."""
        return [self._kept(data[at : at + _BLOCK_BYTES]) for at in range(0, len(data), _BLOCK_BYTES)]

    def _kept(self, block: bytes) -> Run:
        digest = blake2b(block, digest_size=16).digest()
        with self._lock:
            if digest not in self._runs:
                self._runs[digest] = self._end, os.pwrite(self._handle, block, self._end)
                self._end += len(block)
            return self._runs[digest]

    def read(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on."""
        return os.pread(self._handle, length, start)


class Content:
    """An object's bytes on the disk, which the tests' server uses like ``bytes``: length, slices, appending."""

    def __init__(self, disk: Disk, runs: Sequence[Run] = (), crc: int = 0) -> None:
        self.disk, self.runs, self.crc = disk, list(runs), crc

    def __len__(self) -> int:
        return sum(length for _, length in self.runs)

    def __iadd__(self, data: bytes) -> Self:
        if data:
            self.runs += self.disk.append(data)
            self.crc = crc32c(data, self.crc)
        return self

    def __getitem__(self, wanted: slice) -> bytes:
        first, last, _ = wanted.indices(len(self))
        pieces: list[bytes] = []
        at = 0
        for offset, length in self.runs:
            start, end = max(first, at), min(last, at + length)
            if start < end:
                pieces.append(self.disk.read(offset + start - at, end - start))
            at += length
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _OnDisk(Stored):
    """An object with a known checksum, which is not computed again at each request."""

    @property
    def crc32c(self) -> str:
        """Return the checksum as the JSON API writes it."""
        return to_base64(self.data.crc)  # type: ignore[attr-defined]

    def resource(self, bucket: str) -> Json:
        """Return the object resource without MD5, as that of a composed object."""
        components, self.components = self.components, self.components or 1
        try:
            return super().resource(bucket)
        finally:
            self.components = components


class _DiskBucket(Bucket):
    """A bucket with its objects on the disk."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name)
        self._disk = disk

    def _stored(self, name: str, data: Any, metadata: Mapping[str, str], components: int) -> Stored:  # noqa: ANN401 -- bytes or Content
        if isinstance(data, bytes):
            content = Content(self._disk)
            content += data
            data = content
        return _OnDisk(name, data, next(self._generations), dict(metadata), components)

    def _joined(self, sources: Sequence[Stored]) -> Any:  # noqa: ANN401 -- Content, to the server like bytes
        whole = Content(self._disk)
        for source in sources:
            data: Any = source.data
            whole.crc = combine(whole.crc, data.crc, len(data))
            whole.runs += data.runs
        return whole


class _DiskService(Service):
    """A service whose buckets are all on one disk; each exists as soon as it is named."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    def bucket(self, name: str) -> Bucket:
        """Return the bucket, which is made if there is none."""
        return self.buckets.setdefault(name, _DiskBucket(name, self._disk))

    def _bucket(self, name: str) -> Bucket:
        return self.bucket(name)

    def _start(self, request: Request, bucket: Bucket, name: str, resource: Json) -> Answer:
        answer = super()._start(request, bucket, name, resource)
        token = answer.headers["Location"].rpartition("=")[2]
        self.sessions[token].data = Content(self._disk)  # type: ignore[assignment]
        return answer


@contextmanager
def gcs_server(folder: str) -> Generator[Running]:
    """Serve buckets whose objects are in ``folder``."""
    server = GcsServer()
    server.service = _DiskService(Disk(Path(folder) / "objects"))

    def counts() -> Counts:
        log = server.log
        by_operation = {f"{name} requests": float(count) for name, count in log.count().items()}
        stored = {"uploaded_bytes": log.uploaded_bytes, "downloaded_bytes": log.downloaded_bytes}
        return {"requests": len(log.calls), **stored, **by_operation}

    with server:
        yield server.url, counts


def calls_of(counts: Counts, kinds: Sequence[str]) -> float:
    """Return the number of a server's calls of these kinds."""
    ends = tuple(f".{kind} requests" for kind in kinds)
    return sum(count for name, count in counts.items() if name.endswith(ends))
