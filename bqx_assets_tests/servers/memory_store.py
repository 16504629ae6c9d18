"""An object store in memory, written against the protocol alone, as a store for S3 or Azure would be.

Its versions are no numbers, as ETags are not, and it has neither local files nor locks.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import ObjectMissing, PreconditionFailed
from bqx_assets.base.store.naming import object_name
from bqx_assets.base.store.protocol import Condition, ObjectInfo, Verified, version_of, version_text


@dataclass(frozen=True)
class _Stored:
    data: bytes
    info: ObjectInfo


class MemoryObjectStore:
    """An ``ObjectStore`` with its objects in a dictionary; safe to use from threads."""

    def __init__(self) -> None:
        self._objects: dict[str, _Stored] = {}
        self._writing = threading.Lock()

    def uri(self, name: str) -> str:
        return f"memory://{object_name(name)}"

    def local_path(self, name: str) -> None:
        object_name(name)

    def lock(self, name: str) -> None:
        del name

    @contextmanager
    def scratch(self, beside: str = "") -> Generator[Path]:
        del beside
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def head(self, name: str) -> ObjectInfo | None:
        found = self._objects.get(object_name(name))
        return found.info if found else None

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        del since
        return self.head(name)

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        del name
        return ()

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from (self._objects[name].info for name in sorted(self._objects) if name.startswith(prefix))

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
        found = self._found(name)
        self._check(name, only_if)
        return found.data[start : None if length is None else start + length]

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, only_if: Condition | None = None
    ) -> ObjectInfo:
        object_name(name)
        with self._writing:
            self._check(name, only_if)
            now = datetime.now(UTC)
            info = ObjectInfo(
                name=name,
                size_bytes=len(data),
                crc32c=crc32c(data),
                version=f'"{secrets.token_hex(8)}"',
                updated=now,
                metadata=dict(metadata or {}),
                own=True,
                verified=Verified(now, "store checksum"),
            )
            self._objects[name] = _Stored(data, info)
        return info

    def put_blocks(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        crc: int | None = None,
    ) -> ObjectInfo:
        del crc
        return self.put_bytes(name, b"".join(blocks), metadata=metadata, only_if=only_if)

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
        del crc
        info = self.put_bytes(name, path.read_bytes(), metadata=metadata, only_if=only_if)
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
        data = b"".join(self._found(part).data for part in parts)
        return self.put_bytes(name, data, metadata=metadata, only_if=only_if)

    def delete(self, name: str, *, only_if: Condition | None = None) -> None:
        with self._writing:
            self._check(name, only_if)
            self._found(name)
            del self._objects[name]

    def _found(self, name: str) -> _Stored:
        found = self._objects.get(object_name(name))
        if found is None:
            raise ObjectMissing(name, got="no such object", expected="an object", cure="Put it there.")
        return found

    def _check(self, name: str, only_if: Condition | None) -> None:
        found = version_of(self.head(name))
        if only_if not in (None, found):
            raise PreconditionFailed(
                name,
                got=version_text(found),
                expected=version_text(only_if),
                cure="Another run wrote this object meanwhile; look at it before writing again.",
            )
