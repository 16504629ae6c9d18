"""A folder as object store: the local twin of a Cloud Storage bucket, its generations and preconditions included.

Belongs here: files, sidecars with their facts, the lock. Does not: policy on what to keep.

An object ``a/b`` is the file ``root/a/b``; its facts are in ``root/.objects/a/b.json``, valid only for a file of
exactly the recorded size and modification time. A file put there by hand is an object too, without metadata.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from bqx_assets.base import files
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import ChecksumMismatch, ForeignFile, ObjectMissing, PreconditionFailed
from bqx_assets.base.objects.naming import object_name
from bqx_assets.base.objects.protocol import ABSENT, ObjectInfo

_FACTS = ".objects"
_VERSIONS = ".versions"
_GENERATION = re.compile(r"[0-9]{19}")
"""A generation as a file's name: nanoseconds since 1970. Whatever else lies among the versions is somebody else's."""


class _Facts(BaseModel):
    size_bytes: int
    mtime_ns: int
    crc32c: int
    generation: int
    metadata: dict[str, str]


class LocalObjectStore:
    """An object store in a local folder.

    ``keep_versions``: how many earlier versions of an object stay under ``.versions/{name}/{generation}`` when it is
    replaced; 0 keeps none. Implements ``ObjectStore``.
    """

    def __init__(self, root: Path, *, keep_versions: int = 0) -> None:
        self.root = root
        self.keep_versions = keep_versions

    def path(self, name: str) -> Path:
        """Return the file of object ``name``. Raises BadSetting for a name that would leave the folder."""
        return self.root.joinpath(*object_name(name).split("/"))

    def uri(self, name: str) -> str:
        """Return the file's path."""
        return str(self.path(name))

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts; a file without valid facts is read once for its CRC32C."""
        path = self.path(name)
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not _is_object(path, stat):
            return None
        recorded = self._recorded(name)
        facts = recorded if recorded and recorded.mtime_ns == stat.st_mtime_ns else None
        facts = facts if facts and facts.size_bytes == stat.st_size else None
        return ObjectInfo(
            name=name,
            size_bytes=stat.st_size,
            crc32c=facts.crc32c if facts else crc32c_of_file(path),
            generation=facts.generation if facts else stat.st_mtime_ns,
            updated=datetime.fromtimestamp(stat.st_mtime, UTC),
            metadata=facts.metadata if facts else {},
            own=recorded is not None and recorded.size_bytes == stat.st_size,
        )

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield all objects whose name starts with ``prefix``, by name."""
        names = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        for name in sorted(name for name in names if name.startswith(prefix) and not _is_hidden(name)):
            info = self.head(name)
            if info is not None:
                yield info

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a range of the object's bytes."""
        try:
            if not _is_object(self.path(name), self.path(name).stat()):
                raise _missing(name)
            with files.open_regular(self.path(name)) as file:
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(name) from error

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store ``data`` atomically."""
        return self._store(name, [data], metadata, if_generation)

    def put_file(
        self, name: str, path: Path, *, metadata: Mapping[str, str] | None = None, if_generation: int | None = None
    ) -> ObjectInfo:
        """Store a copy of ``path`` atomically."""
        return self._store(name, [path], metadata, if_generation)

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of ``parts`` atomically."""
        missing = [part for part in parts if not self.path(part).is_file()]
        if missing:
            raise _missing(missing[0])
        return self._store(name, [self.path(part) for part in parts], metadata, if_generation)

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """Delete the object and its facts, the kept versions not."""
        with self._locked():
            self._check(name, if_generation)
            path = self.path(name)
            if not path.is_file():
                raise _missing(name)
            path.unlink()
            self._facts_path(name).unlink(missing_ok=True)

    def versions(self, name: str) -> list[Path]:
        """Return the kept earlier versions of an object, oldest first."""
        folder = self.root / _VERSIONS / name
        kept = folder.iterdir() if folder.is_dir() else ()
        return sorted(path for path in kept if _GENERATION.fullmatch(path.name) and path.is_file())

    def _store(
        self,
        name: str,
        parts: Iterable[Path | bytes],
        metadata: Mapping[str, str] | None,
        if_generation: int | None,
    ) -> ObjectInfo:
        self.path(name)
        self._check(name, if_generation)  # early: before any byte is copied
        incoming = self.root / _FACTS / f".incoming{files.TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            files.concatenate(parts, incoming)
            crc = crc32c_of_file(incoming)
            self._swap(name, incoming, crc, metadata, if_generation)
        finally:
            incoming.unlink(missing_ok=True)
        info = self.head(name)
        if info is None or info.crc32c != crc:
            raise ChecksumMismatch(
                name, got="another object under this name", expected=f"crc32c {crc:08x}", cure="Another run wrote it."
            )
        return info

    def _swap(
        self, name: str, incoming: Path, crc: int, metadata: Mapping[str, str] | None, if_generation: int | None
    ) -> None:
        stat = incoming.stat()
        facts = _Facts(
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            crc32c=crc,
            generation=time.time_ns(),
            metadata=dict(metadata or {}),
        )
        path = self.path(name)
        with self._locked():
            self._check(name, if_generation)
            self._keep_version(name, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise ForeignFile(
                    str(path), got=files.FOLDER, expected="a file or nothing", cure="Move it away, then run again."
                )
            # Facts first: they hold for no file but the new one, so a crash in between leaves an object
            # without metadata, never new bytes under old facts.
            files.write_atomic(self._facts_path(name), facts.model_dump_json().encode())
            incoming.replace(path)
            files.sync_folder(path.parent)

    def _keep_version(self, name: str, path: Path) -> None:
        if not self.keep_versions or not path.is_file():
            return
        info = self.head(name)
        kept = self.root / _VERSIONS / name / f"{info.generation if info else 0:019}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        for old in self.versions(name)[: -self.keep_versions]:
            old.unlink()

    def _check(self, name: str, if_generation: int | None) -> None:
        if if_generation is None:
            return
        info = self.head(name)
        found = info.generation if info else ABSENT
        if found != if_generation:
            raise PreconditionFailed(
                name,
                got=f"generation {found}",
                expected=f"generation {if_generation}",
                cure="Another run wrote this object meanwhile; look at it before writing again.",
            )

    def _recorded(self, name: str) -> _Facts | None:
        try:
            return _Facts.model_validate_json(files.read_regular(self._facts_path(name)))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def _facts_path(self, name: str) -> Path:
        return self.root / _FACTS / f"{name}.json"

    @contextmanager
    def _locked(self) -> Generator[None]:
        folder = self.root / _FACTS
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):
            yield


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or files.TEMP_MARK in name


def _is_object(path: Path, stat: os.stat_result) -> bool:
    """Whether a file stands there; a folder is none, as in a bucket. Raises ForeignFile for a special file."""
    kind = files.kind_of(stat.st_mode)
    if kind not in (files.FILE, files.FOLDER):
        raise ForeignFile(
            str(path), got=kind, expected="a file or nothing", cure="Move it away, or name another output folder."
        )
    return kind == files.FILE


def _missing(name: str) -> ObjectMissing:
    return ObjectMissing(name, got="no such object", expected="an object", cure="Publish or extract it first.")
