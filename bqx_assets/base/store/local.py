"""A folder as object store: the local twin of a Cloud Storage bucket, its generations and preconditions included.

Belongs here: files, sidecars with their facts, the lock. Does not: policy on what to keep.

An object ``a/b`` is the file ``root/a/b``; its facts are in ``root/.objects/a/b.json`` (``sidecars``), valid only for
a file of exactly the recorded size and modification time. A file put there by hand is an object too, without metadata.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bqx_assets.base import files
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import ForeignFile, ObjectMissing, PreconditionFailed
from bqx_assets.base.store.naming import object_name
from bqx_assets.base.store.protocol import ABSENT, ObjectInfo, Verified
from bqx_assets.base.store.sidecars import FOLDER, Facts, Reading, Sidecars, state_of

_VERSIONS = ".versions"
_IDLE_SECONDS = 3_600
"""After which a killed writer's copy is removed by the next one: a living one reads its copy back for minutes."""
_GENERATION = re.compile(r"[0-9]{19}")
"""A generation as a file's name: nanoseconds since 1970. Whatever else lies among the versions is somebody else's."""


class LocalObjectStore:
    """An object store in a local folder.

    ``keep_versions``: how many earlier versions of an object stay under ``.versions/{name}/{generation}`` when it is
    replaced; 0 keeps none. Implements ``ObjectStore``.
    """

    def __init__(self, root: Path, *, keep_versions: int = 0) -> None:
        self.root = root
        self.keep_versions = keep_versions
        self._sidecars = Sidecars(root)

    def path(self, name: str) -> Path:
        """Return the file of object ``name``. Raises BadSetting for a name that would leave the folder."""
        return self.root.joinpath(*object_name(name).split("/"))

    def uri(self, name: str) -> str:
        """Return the file's path."""
        return str(self.path(name))

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts; a file without valid facts is read once for its CRC32C."""
        while (stat := self._stat(name)) is not None:
            facts, reading = self._sidecars.facts(name, stat), self._sidecars.reading(name, stat)
            if facts is None and reading is None:
                reading = self._read_all(name, stat)
            if (facts or reading) and self._is_still(name, stat):
                return _info(name, stat, facts, reading, own=self._sidecars.are_of_ours(name, stat))
        return None

    def stated(self, name: str) -> Mapping[str, str]:
        """Return the object's metadata, empty where it has none; no byte of it is read."""
        stat = self._stat(name)
        facts = self._sidecars.facts(name, stat) if stat else None
        return facts.metadata if facts else {}

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts with the CRC32C of its bytes, read from the disk unless that was done ``since``.

        **Cost**: one sequential read, 4 MiB in memory.
        """
        while (stat := self._stat(name)) is not None:
            reading = self._sidecars.reading(name, stat)
            if reading is None or since is None or reading.at < since:
                reading = self._read_all(name, stat)
            facts = self._sidecars.facts(name, stat)
            if reading is not None and self._is_still(name, stat):
                return _info(name, stat, facts, reading, own=self._sidecars.are_of_ours(name, stat))
        return None

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        """Return the facts of the kept earlier versions, oldest first; their CRC32C is that of when they were kept."""
        found: list[ObjectInfo] = []
        for path in self.versions(name):
            kept = path.relative_to(self.root).as_posix()
            with suppress(FileNotFoundError):
                stat = path.stat()
                facts = self._sidecars.facts(kept, stat)
                if facts is not None:
                    found.append(_info(name, stat, facts, None, own=True))
        return found

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield all objects whose name starts with ``prefix``, by name."""
        names = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        for name in sorted(name for name in names if name.startswith(prefix) and not _is_hidden(name)):
            info = self.head(name)
            if info is not None:
                yield info

    def read(self, name: str, start: int = 0, length: int | None = None, if_generation: int | None = None) -> bytes:
        """Return a range of the object's bytes."""
        try:
            if self._check(name, if_generation) == ABSENT:
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
            self._sidecars.remove(name)

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
        files.remove_partials(self.root / FOLDER, idle_seconds=_IDLE_SECONDS)
        incoming = self.root / FOLDER / f".incoming{files.TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            files.concatenate(parts, incoming)
            # Read back, so that the facts are of the bytes that were stored, not of those that were to be.
            reading = Reading(crc32c=crc32c_of_file(incoming), at=datetime.now(UTC), state=state_of(incoming.stat()))
            return self._swap(name, incoming, reading, metadata, if_generation)
        finally:
            incoming.unlink(missing_ok=True)

    def _swap(
        self, name: str, incoming: Path, reading: Reading, metadata: Mapping[str, str] | None, if_generation: int | None
    ) -> ObjectInfo:
        stat = incoming.stat()
        path = self.path(name)
        with self._locked():
            before = self._check(name, if_generation)
            facts = Facts(
                size_bytes=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
                crc32c=reading.crc32c,
                # Never that of an earlier one, whatever the clock does.
                generation=max(time.time_ns(), before + 1),
                metadata=dict(metadata or {}),
            )
            self._keep_version(name, path, facts)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise ForeignFile(
                    str(path), got=files.FOLDER, expected="a file or nothing", cure="Move it away, then run again."
                )
            with self._sidecars.replacing(name, facts):
                incoming.replace(path)
                files.sync_folder(path.parent)
            # Renaming changes the state that a reading holds for.
            stat = path.stat()
            reading = self._sidecars.keep_reading(name, reading.crc32c, reading.at, stat)
        return _info(name, stat, facts, reading, own=True)

    def _keep_version(self, name: str, path: Path, coming: Facts) -> None:
        if not self.keep_versions or not path.is_file():
            return
        stat = path.stat()
        facts, reading = self._sidecars.facts(name, stat), self._sidecars.reading(name, stat)
        rotten = facts is not None and reading is not None and reading.crc32c != facts.crc32c
        same = facts is not None and (facts.size_bytes, facts.crc32c) == (coming.size_bytes, coming.crc32c)
        if rotten or same:
            return  # it would push an earlier whole version out
        kept = f"{_VERSIONS}/{name}/{facts.generation if facts else stat.st_mtime_ns:019}"
        target = self.root / kept
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(path, target)
        if facts is not None:
            self._sidecars.keep(kept, facts)
        for old in self.versions(name)[: -self.keep_versions]:
            old.unlink()
            self._sidecars.remove(old.relative_to(self.root).as_posix())

    def _check(self, name: str, if_generation: int | None) -> int:
        """Return the generation that is there. Raises PreconditionFailed where it is not the one asked for."""
        stat = self._stat(name)
        facts = self._sidecars.facts(name, stat) if stat else None
        found = facts.generation if facts else stat.st_mtime_ns if stat else ABSENT
        if if_generation not in (None, found):
            raise PreconditionFailed(
                name,
                got=f"generation {found}",
                expected=f"generation {if_generation}",
                cure="Another run wrote this object meanwhile; look at it before writing again.",
            )
        return found

    def _stat(self, name: str) -> os.stat_result | None:
        path = self.path(name)
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat if _is_object(path, stat) else None

    def _is_still(self, name: str, stat: os.stat_result) -> bool:
        now = self._stat(name)
        return now is not None and state_of(now) == state_of(stat)

    def _read_all(self, name: str, stat: os.stat_result) -> Reading | None:
        """Read the file's bytes from the disk, and keep what they were; None where they are no longer ``stat``'s."""
        path, at = self.path(name), datetime.now(UTC)
        try:
            with files.open_regular(path) as file:
                # The kernel may hold pages of before the disk lost them.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            crc = crc32c_of_file(path)
        except FileNotFoundError:
            return None
        return self._sidecars.keep_reading(name, crc, at, stat) if self._is_still(name, stat) else None

    @contextmanager
    def _locked(self) -> Generator[None]:
        folder = self.root / FOLDER
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


def _info(name: str, stat: os.stat_result, facts: Facts | None, reading: Reading | None, *, own: bool) -> ObjectInfo:
    crc = reading.crc32c if reading else facts.crc32c if facts else 0
    return ObjectInfo(
        name=name,
        size_bytes=stat.st_size,
        crc32c=crc,
        generation=facts.generation if facts else stat.st_mtime_ns,
        updated=datetime.fromtimestamp(stat.st_mtime, UTC),
        metadata=facts.metadata if facts else {},
        own=own,
        verified=Verified(reading.at, "reading") if reading else None,
    )


def _missing(name: str) -> ObjectMissing:
    return ObjectMissing(name, got="no such object", expected="an object", cure="Publish or extract it first.")
