"""A local folder as object store.

An object ``a/b`` is the file ``root/a/b``. A folder of published files keeps sidecars: the facts of an object are in
``root/.objects/a/b.json`` (``sidecars``), valid only for a file of exactly the recorded size and modification time. A
file put there by hand is an object too, without metadata. A folder of working files keeps no sidecars, so that writing
them costs no more than without a store.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bqx_assets.base import files
from bqx_assets.base.checksums import crc32c_of_file, same_bytes
from bqx_assets.base.errors import ForeignFile, ObjectMissing, PreconditionFailed
from bqx_assets.base.store.naming import is_object_name, object_name
from bqx_assets.base.store.protocol import ABSENT, Condition, ObjectInfo, Verified, version_text
from bqx_assets.base.store.sidecars import FOLDER, Facts, Reading, Sidecars, state_of

_VERSIONS = ".versions"
_IDLE_SECONDS = 3_600
"""Time without a write after which a dead writer's copy is removed: a living one reads its copy back for minutes."""
_GENERATION = re.compile(r"[0-9]{19}")
"""A generation as a file's name: nanoseconds since 1970. Other files among the versions are somebody else's."""


class LocalObjectStore:
    """An object store in a local folder. Implements ``ObjectStore``.

    ``keep_versions``: how many earlier versions of an object stay under ``.versions/{name}/{generation}`` when it is
    replaced; 0 keeps none. ``sidecars``: False for working files, of which no facts are kept: metadata are dropped,
    ``head`` states no CRC32C, the version is the modification time, and nothing but the files themselves is written.
    """

    def __init__(self, root: Path, *, keep_versions: int = 0, sidecars: bool = True) -> None:
        self.root = root
        self.keep_versions = keep_versions
        self._sidecars = Sidecars(root, kept=sidecars)

    def local_path(self, name: str) -> Path:
        """Return the file of object ``name``. Raises BadSetting for a name that would leave the folder."""
        return self.root.joinpath(*object_name(name).split("/"))

    def uri(self, name: str) -> str:
        """Return the file's path."""
        return str(self.local_path(name))

    @contextmanager
    def scratch(self, beside: str = "") -> Generator[Path]:
        """Give a hidden folder on the same file system as the objects whose names begin with ``beside``."""
        folder = self.root / FOLDER if self._sidecars.kept else self.root.joinpath(*beside.split("/")[:-1])
        path = folder / files.scratch_name()
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self, name: str) -> Generator[None]:
        """Hold a lock file beside the objects; it is free at once when its process is killed.

        Locking a whole folder also removes what dead writers left half-written there.
        """
        folder, _, last = name.rpartition("/")
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        with files.locked(path, f".{last}.lock" if last else ".lock", busy="in use by another extraction"):
            if not last:
                files.remove_partials(path)
            yield

    def head(self, name: str) -> ObjectInfo | None:
        """Return the object's facts; a file without valid facts has no CRC32C."""
        while (stat := self._stat(name)) is not None:
            facts, reading = self._sidecars.facts(name, stat), self._sidecars.reading(name, stat)
            own = self._sidecars.are_of_ours(name, stat)
            if not self._sidecars.kept or self._is_still(name, stat):
                return _info(name, stat, facts, reading, own=own)
        return None

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        """Return the object's facts with the CRC32C of its bytes, read from the disk unless that was done ``since``.

        **Cost**: one sequential read, 1 MiB in memory.
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
        """Return the facts of the kept earlier versions, oldest first; their CRC32C dates from when they were kept."""
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
        """Yield all objects whose name starts with ``prefix``, by name, without files of names that none may have."""
        for name in sorted(name for name in self._names(prefix) if name.startswith(prefix) and not _is_hidden(name)):
            info = self.head(name)
            if info is not None:
                yield info

    def _names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the files below the folder that ``prefix`` begins with."""
        for folder, below, names in os.walk(self.root / prefix.rpartition("/")[0]):
            path = Path(folder)
            if path == self.root:
                below[:] = [each for each in below if not each.startswith(".")]
            yield from ((path / name).relative_to(self.root).as_posix() for name in names if (path / name).is_file())

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
        """Return a range of the object's bytes."""
        try:
            if self._check(name, only_if) is None:
                raise _missing(name)
            with files.open_regular(self.local_path(name)) as file:
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(name) from error

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, only_if: Condition | None = None
    ) -> ObjectInfo:
        """Store ``data`` atomically."""
        return self._store(name, [data], metadata, only_if)

    def put_blocks(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        crc: int | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of ``blocks`` atomically."""
        del crc  # as in ``put_file``
        return self._store(name, blocks, metadata, only_if)

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
        """Store a copy of ``path`` atomically; with ``move`` the file itself, renamed if it is on this file system."""
        del crc  # computed from what is stored, which is read again
        return self._store(name, [path], metadata, only_if, move=move)

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
    ) -> ObjectInfo:
        """Store the concatenation of ``parts`` atomically."""
        missing = [part for part in parts if not self.local_path(part).is_file()]
        if missing:
            raise _missing(missing[0])
        return self._store(name, [self.local_path(part) for part in parts], metadata, only_if)

    def delete(self, name: str, *, only_if: Condition | None = None) -> None:
        """Delete the object and its facts, but not its earlier versions."""
        path = self.local_path(name)
        with self._locked(path.parent, needed=only_if is not None):
            self._check(name, only_if)
            if not path.is_file():
                raise _missing(name)
            path.unlink(missing_ok=True)  # another process may be faster
            self._sidecars.remove(name)

    def versions(self, name: str) -> list[Path]:
        """Return the kept earlier versions of an object, oldest first."""
        folder = self.root / _VERSIONS / name
        kept = folder.iterdir() if folder.is_dir() else ()
        return sorted(path for path in kept if _GENERATION.fullmatch(path.name) and path.is_file())

    def _store(
        self,
        name: str,
        parts: Sequence[Path | bytes],
        metadata: Mapping[str, str] | None,
        only_if: Condition | None,
        *,
        move: bool = False,
    ) -> ObjectInfo:
        self._check(name, only_if)  # early, before any byte is copied
        incoming = self._incoming(name)
        try:
            files.write_parts(parts, incoming, move=move)
            at = datetime.now(UTC)
            # Read back, so that the facts describe the bytes that were stored and not those that were sent.
            crc = crc32c_of_file(incoming) if self._sidecars.kept else None
            return self._swap(name, incoming, (crc, at), metadata, only_if)
        finally:
            incoming.unlink(missing_ok=True)

    def _incoming(self, name: str) -> Path:
        """Return the path for writing an object before it gets its name; it is on the same file system."""
        if not self._sidecars.kept:
            path = self.local_path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            return files.partial_path(path)
        folder = self.root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_partials(folder, idle_seconds=_IDLE_SECONDS)
        return files.partial_path(folder / "incoming")

    def _swap(
        self,
        name: str,
        incoming: Path,
        read: tuple[int | None, datetime],
        metadata: Mapping[str, str] | None,
        only_if: Condition | None,
    ) -> ObjectInfo:
        path, (crc, at) = self.local_path(name), read
        with self._locked(path.parent, needed=only_if is not None):
            before = self._check(name, only_if)
            # Greater than the version before, even if the clock was set back.
            generation = max(time.time_ns(), (before or 0) + 1)
            if crc is None:
                os.utime(incoming, ns=(generation, generation))
            stat = incoming.stat()
            facts = Facts(
                size_bytes=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
                crc32c=crc or 0,
                generation=generation,
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
                files.sync_file(path.parent)
            if crc is None:
                return _info(name, stat, None, None, own=False)  # without looking again: nobody need be locked out
            # A reading holds for one state of the file, and renaming has changed that state.
            stat = path.stat()
            reading = self._sidecars.keep_reading(name, crc, at, stat)
        return _info(name, stat, facts, reading, own=True)

    def _keep_version(self, name: str, path: Path, coming: Facts) -> None:
        if not self.keep_versions or not path.is_file():
            return
        stat = path.stat()
        facts, reading = self._sidecars.facts(name, stat), self._sidecars.reading(name, stat)
        rotten = facts is not None and reading is not None and reading.crc32c != facts.crc32c
        same = facts is not None and same_bytes(facts, coming)
        if rotten or same:
            return  # else an earlier version that is whole would be removed
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

    def _check(self, name: str, only_if: Condition | None) -> int | None:
        """Return the generation of the object, None if there is none. Raises PreconditionFailed where it differs.

        The generation may be 0: archives that are made the same each time date their files to 1970.
        """
        stat = self._stat(name)
        facts = self._sidecars.facts(name, stat) if stat else None
        generation = facts.generation if facts else stat.st_mtime_ns if stat else None
        found = ABSENT if generation is None else str(generation)
        if only_if not in (None, found):
            raise PreconditionFailed(
                name,
                got=version_text(found),
                expected=version_text(only_if),
                cure="Another run wrote this object meanwhile; look at it before writing again.",
            )
        return generation

    def _stat(self, name: str) -> os.stat_result | None:
        path = self.local_path(name)
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat if _is_object(path, stat) else None

    def _is_still(self, name: str, stat: os.stat_result) -> bool:
        now = self._stat(name)
        return now is not None and state_of(now) == state_of(stat)

    def _read_all(self, name: str, stat: os.stat_result) -> Reading | None:
        """Read the file's bytes from the disk and record their CRC32C; None if the file changed since ``stat``."""
        path, at = self.local_path(name), datetime.now(UTC)
        try:
            with files.open_regular(path) as file:
                # The page cache may still have bytes that the disk has lost.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            crc = crc32c_of_file(path)
        except FileNotFoundError:
            return None
        return self._sidecars.keep_reading(name, crc, at, stat) if self._is_still(name, stat) else None

    @contextmanager
    def _locked(self, folder: Path, *, needed: bool) -> Generator[None]:
        """Exclude other writers of this store while a condition is checked and the file is renamed.

        With working files only a write with a condition needs this, and no lock file is left beside them.
        """
        if self._sidecars.kept:
            own = self.root / FOLDER
            own.mkdir(parents=True, exist_ok=True)
            with files.locked(own):
                yield
        elif needed and folder.is_dir():
            with files.locked_folder(folder):
                yield
        else:
            yield


def _is_hidden(name: str) -> bool:
    """Return whether a file is no object: it is being written, is a lock, or has a name that no object may have."""
    last = name.rpartition("/")[2]
    lock = last.startswith(".") and last.endswith(".lock")
    return lock or files.TEMP_MARK in name or not is_object_name(name)


def _is_object(path: Path, stat: os.stat_result) -> bool:
    """Return whether a path is a file; a folder is no object, as in a bucket. Raises ForeignFile for a special file."""
    kind = files.kind_of(stat.st_mode)
    if kind not in (files.FILE, files.FOLDER):
        raise ForeignFile(
            str(path), got=kind, expected="a file or nothing", cure="Move it away, or name another output folder."
        )
    return kind == files.FILE


def _info(name: str, stat: os.stat_result, facts: Facts | None, reading: Reading | None, *, own: bool) -> ObjectInfo:
    return ObjectInfo(
        name=name,
        size_bytes=stat.st_size,
        crc32c=reading.crc32c if reading else facts.crc32c if facts else None,
        version=str(facts.generation if facts else stat.st_mtime_ns),
        updated=datetime.fromtimestamp(stat.st_mtime, UTC),
        metadata=facts.metadata if facts else {},
        own=own,
        verified=Verified(reading.at, "reading") if reading else None,
    )


def _missing(name: str) -> ObjectMissing:
    return ObjectMissing(name, got="no such object", expected="an object", cure="Publish or extract it first.")


def working_folder(folder: Path) -> LocalObjectStore:
    """Return a store of working files: slabs, merged files, or any folder that a user names."""
    return LocalObjectStore(folder, sidecars=False)
