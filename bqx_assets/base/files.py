"""Files that are whole or not there: temp name, fsync, rename; and concatenation inside the kernel.

Belongs here: the two ways this package writes a local file. Does not: what the bytes mean.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

TEMP_MARK = ".partial-"
"""Part of the name of every file being written; whoever lists a folder leaves such names out."""


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Give a temp path in ``path``'s folder; on success fsync it and rename it to ``path``, on failure remove it.

    A reader sees the old file or the new one, never a part. ``kill -9`` leaves a ``.partial-`` file behind that
    nothing trusts and :func:`remove_partials` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}")
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


def remove_partials(folder: Path) -> list[str]:
    """Remove what dead processes left half-written in ``folder``; return the names. Living writers are spared."""
    removed: list[str] = []
    for path in folder.glob(f".*{TEMP_MARK}*") if folder.is_dir() else ():
        owner = path.name.rpartition(TEMP_MARK)[2].partition("-")[0]
        if not (owner.isdigit() and Path("/proc", owner).exists()):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def append_file(source: Path, target_handle: int) -> int:
    """Append a file's bytes to an open file with ``copy_file_range`` (``sendfile`` where that is refused).

    Returns the bytes appended. No byte enters this process.
    """
    with source.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        _copy(file.fileno(), target_handle, size_bytes)
    return size_bytes


def _copy(source_handle: int, target_handle: int, size_bytes: int) -> None:
    done = 0
    kernel_copy = True
    while done < size_bytes:
        try:
            if kernel_copy:
                step = os.copy_file_range(source_handle, target_handle, size_bytes - done, done)
            else:
                step = os.sendfile(target_handle, source_handle, done, size_bytes - done)
        except OSError:
            if not kernel_copy:
                raise
            kernel_copy = False  # another file system, or one without the call
            continue
        if step == 0 and not kernel_copy:
            msg = f"source ended after {done} of {size_bytes} bytes"
            raise OSError(msg)
        kernel_copy = kernel_copy and step > 0
        done += step


def concatenate(parts: Iterable[Path | bytes], target: Path) -> int:
    """Write ``parts`` end to end as ``target``, atomically. Returns the bytes written.

    ``parts`` is consumed lazily, so a generator may make each part when its turn comes, the footer last.
    """
    with atomic_path(target) as temp:
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            return sum(_append(part, handle) for part in parts)
        finally:
            os.close(handle)


def _append(part: Path | bytes, target_handle: int) -> int:
    if isinstance(part, Path):
        return append_file(part, target_handle)
    view = memoryview(part)
    while view:
        view = view[os.write(target_handle, view) :]
    return len(part)
