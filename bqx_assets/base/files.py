"""Files that are whole or not there: temp name, fsync, rename; concatenation; and the lock on a folder.

Belongs here: every way in which this package opens a local file for writing. Does not: what the bytes mean.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from bqx_assets.base.direct_io import DirectFile, Span
from bqx_assets.base.errors import FolderBusy, ForeignFile

TEMP_MARK = ".partial-"
"""Part of the name of every file being written; whoever lists a folder leaves such names out."""
_PARTIAL = re.compile(rf"\..+{re.escape(TEMP_MARK)}(?P<process>[0-9]{{1,10}})-[0-9a-f]{{8}}", re.DOTALL)
"""The whole of such a name. ``.notes.partial-old`` is somebody else's."""
_SCRATCH = ".scratch"
_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EMLINK}
"""What opening says of a link, a folder and a socket."""
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
    """Return what stands at a path, by its mode: "a file", "a folder", "a named pipe" and so on."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def regular_file(path: Path) -> Path:
    """Return ``path`` if it is a file or a link to one: a named pipe would be waited for without an end.

    Raises:
        OSError: it is missing or something else.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise _no_file(path, mode)
    return path


def open_regular(path: Path) -> BufferedReader:
    """Open a file, or a link to one, for reading; whatever else has the name is refused and never waited for.

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
    """Return a new hidden name beside ``path`` for what is to become it; one that :func:`remove_partials` knows."""
    return path.with_name(f".{path.name}{_partial_mark()}")


def scratch_name() -> str:
    """Return a new hidden name for a folder of temporary files; one that :func:`remove_partials` knows."""
    return f"{_SCRATCH}{_partial_mark()}"


def _partial_mark() -> str:
    return f"{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Give a temp path in ``path``'s folder; on success fsync it and rename it to ``path``, on failure remove it.

    A reader sees the old file or the new one, never a part. ``kill -9`` leaves a ``.partial-`` file behind that
    nothing trusts and :func:`remove_partials` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = partial_path(path)
    try:
        yield temp
        sync_file(temp)
        temp.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temp.unlink()


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` as the whole of ``path``, atomically."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


def sync_file(path: Path) -> None:
    """Force a file's bytes to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Force a rename inside ``path`` to the disk."""
    sync_file(path)


def remove_partials(folder: Path, *, idle_seconds: float = 0.0) -> list[str]:
    """Remove what dead processes left half-written in ``folder``; return the names. Living writers are spared.

    So is whatever has not the whole form of a name that :func:`partial_path` gives and is a file, or that
    :func:`scratch_name` gives and is a folder. ``idle_seconds`` spares what was written to since, too: for folders that
    other machines or containers share, whose processes are not seen here.
    """
    removed: list[str] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        own = _PARTIAL.fullmatch(path.name)
        if own and not Path("/proc", own["process"]).exists():
            with suppress(FileNotFoundError):  # its writer, or another cleaner, was quicker
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
    """Hold the lock file ``name`` of ``folder``, against threads too; wait for it, or raise where ``busy`` is given.

    The file is made where it is missing, and stays. It is neither written to nor emptied, and no link is followed: a
    lock that is a link to another file emptied that file.

    Raises:
        FolderBusy: somebody else holds it, and ``busy`` says what that means.
        ForeignFile: a link, a folder or a special file has the lock's name.
    """
    path = folder / name
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a named pipe must not be waited for
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
            raise FolderBusy(str(folder), got=busy or "", expected="one at a time", cure="Wait for it.") from error
        yield
    finally:
        os.close(handle)


@contextmanager
def locked_folder(folder: Path) -> Generator[None]:
    """Wait for, and hold, a lock on a folder that leaves no file in it; where the file system has none, go on."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # NFS locks files alone
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
    """Write ``parts``, files whole or from a byte on, end to end as ``target``, atomically. Returns the bytes written.

    ``parts`` is consumed lazily, so a generator may make each part when its turn comes, the footer last.
    """
    with atomic_path(target) as temp:
        return join(parts, temp)


def join(parts: Iterable[Path | Span | bytes], target: Path) -> int:
    """Write a new file of ``parts`` end to end, as :func:`concatenate` does, neither synced nor renamed."""
    with DirectFile(target) as file:
        for part in parts:
            if isinstance(part, bytes):
                file.append(part)
            elif isinstance(part, Path):
                file.append_file(part)
            else:
                file.append_file(*part)
    return file.size_bytes
