"""Writes local files that are either complete or absent (temporary name, fsync, rename), and locks folders.

All writing of local files in this package goes through this module.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from bisect import bisect_right
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from itertools import accumulate
from pathlib import Path

from bqx_assets.base.direct_io import DirectFile, Span
from bqx_assets.base.errors import FolderBusy, ForeignFile

TEMP_MARK = ".partial-"
"""A part of the name of every file that is being written. Code that lists a folder leaves such names out."""
_PARTIAL = re.compile(rf"\..+{re.escape(TEMP_MARK)}(?P<process>[0-9]{{1,10}})-[0-9a-f]{{8}}", re.DOTALL)
"""The form of such a name as a whole; ``.notes.partial-old`` is somebody else's file."""
_SCRATCH = ".scratch"
_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EMLINK}
"""Error numbers of opening a link, a folder and a socket."""
FILE, FOLDER = "a file", "a folder"
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """Return the kind of thing that has this mode: "a file", "a folder", "a named pipe" and so on."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def regular_file(path: Path) -> Path:
    """Return ``path`` if it is a file or a link to one; opening a named pipe would wait for ever.

    Raises:
        OSError: it is missing or something else.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise _no_file(path, mode)
    return path


def open_regular(path: Path) -> BufferedReader:
    """Open a file, or a link to one, for reading; anything else of that name is refused without waiting for it.

    Raises:
        OSError: as :func:`regular_file`.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise _no_file(path, mode)


def read_regular(path: Path) -> bytes:
    """Return the bytes of a small file, opened as :func:`open_regular` does. Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def _no_file(path: Path, mode: int) -> OSError:
    return OSError(f"{kind_of(mode)}, not a file: {path}")


def partial_path(path: Path) -> Path:
    """Return a new hidden name beside ``path`` for the file while it is written; :func:`remove_partials` knows it."""
    return path.with_name(f".{path.name}{_partial_mark()}")


def scratch_name() -> str:
    """Return a new hidden name for a folder of temporary files; :func:`remove_partials` knows it."""
    return f"{_SCRATCH}{_partial_mark()}"


def _partial_mark() -> str:
    return f"{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Give a temporary path in ``path``'s folder; on success fsync and rename it to ``path``, on failure remove it.

    A reader sees the old file or the new one, never a part. ``kill -9`` leaves a ``.partial-`` file behind, which
    nothing reads and :func:`remove_partials` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = partial_path(path)
    try:
        yield temp
        sync_file(temp)
        temp.replace(path)
        sync_file(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temp.unlink()


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` as the whole content of ``path``, atomically."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


def sync_file(path: Path) -> None:
    """Force a file's bytes, or the renames inside a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partials(folder: Path, *, idle_seconds: float = 0.0) -> list[str]:
    """Remove what dead processes left half-written in ``folder``; return the names.

    Only files with a name of :func:`partial_path` and folders with one of :func:`scratch_name` are removed, and only if
    their process is dead. For folders shared with other machines or containers, whose processes are not seen here,
    ``idle_seconds`` spares what was written in that time.
    """
    removed: list[str] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        own = _PARTIAL.fullmatch(path.name)
        if own and not Path("/proc", own["process"]).exists():
            with suppress(FileNotFoundError):  # its writer, or another process that cleans up, was faster
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime >= idle_seconds:
                    path.unlink()
                    removed.append(path.name)
                elif stat.S_ISDIR(found.st_mode) and path.name.startswith(f"{_SCRATCH}{TEMP_MARK}"):
                    written = max(each.lstat().st_mtime for each in (path, *path.iterdir()))
                    if time.time() - written >= idle_seconds:
                        shutil.rmtree(path)
                        removed.append(path.name)
    return removed


@contextmanager
def locked(folder: Path, name: str = ".lock", *, busy: str | None = None) -> Generator[None]:
    """Hold the lock file ``name`` of ``folder``, against threads too; wait for it, or raise if ``busy`` is given.

    The file is created if it is missing, and stays. It is neither written to nor emptied, and no link is followed: a
    lock that was a link to another file once emptied that file.

    Raises:
        FolderBusy: somebody else holds the lock; ``busy`` is the error's text.
        ForeignFile: a link, a folder or a special file has the lock's name.
    """
    path = folder / name
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # never wait for a named pipe
    try:
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _foreign_lock(path) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _foreign_lock(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderBusy.of(str(folder), busy or "") from error
        yield
    finally:
        os.close(handle)


@contextmanager
def locked_folder(folder: Path) -> Generator[None]:
    """Wait for a lock on a folder and hold it, without a lock file; go on where the file system has no such lock."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # NFS locks only files
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _foreign_lock(path: Path) -> ForeignFile:
    return ForeignFile(
        f"lock {path}",
        got=kind_of(path.lstat().st_mode),
        expected="a file of its own, or nothing",
        cure=f"Look who put it there, then move it away: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.moved')}",
    )


def concatenate(parts: Iterable[Path | Span | bytes], target: Path) -> int:
    """Write the concatenation of ``parts`` as ``target``, atomically; return the number of bytes.

    A part is bytes, a file, or a file from an offset on. ``parts`` is consumed lazily, so a generator may make each
    part when its turn comes, the footer last.
    """
    with atomic_path(target) as temp:
        return join(parts, temp)


def join(parts: Iterable[Path | Span | bytes], target: Path) -> int:
    """Write the concatenation of ``parts`` as the new file ``target``, without fsync; return the number of bytes."""
    with DirectFile(target) as file:
        for part in parts:
            if isinstance(part, bytes):
                file.append(part)
            elif isinstance(part, Path):
                file.append_file(part)
            else:
                file.append_file(*part)
    return file.size_bytes


def write_parts(parts: Sequence[Path | bytes], target: Path, *, move: bool) -> None:
    """Write the concatenation of parts as a new file, with fsync; with ``move`` rename the only part to it."""
    if move and isinstance(parts[0], Path):
        try:
            parts[0].replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            join(parts, target)
            parts[0].unlink()
    elif len(parts) == 1 and isinstance(parts[0], bytes):
        target.write_bytes(parts[0])  # a record needs neither buffers nor threads
    else:
        join(parts, target)
    sync_file(target)


class Blocks:
    """A file in memory, kept as the blocks that are written: one buffer that grows would be copied again and again."""

    closed = False

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        """Keep the next block, uncopied."""
        self.blocks.append(block)
        return len(block)

    def flush(self) -> None:
        """Do nothing: a file has this method."""

    def close(self) -> None:
        """Do nothing, as ``flush``."""


class JoinedBlocks(io.RawIOBase):
    """A file for reading that is the concatenation of blocks in memory, which are not joined for it."""

    def __init__(self, blocks: Sequence[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._ends = list(accumulate(map(len, blocks)))
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset from the beginning, from the present place or from the end; return the new place."""
        self._at = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        )
        return self._at

    def readinto(self, target: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill ``target``, across the ends of blocks, from the present place on; return the number of bytes."""
        free = memoryview(target).cast("B")
        begin = self._at
        for number in range(bisect_right(self._ends, begin), len(self._blocks)):
            block = memoryview(self._blocks[number])
            part = block[self._at - self._ends[number] + len(block) :][: len(free)]
            free[: len(part)] = part
            free, self._at = free[len(part) :], self._at + len(part)
            if not free:
                break
        return self._at - begin
