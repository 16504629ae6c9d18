"""Files that are whole or not there: temp name, fsync, rename; and concatenation.

Belongs here: the two ways this package writes a local file. Does not: what the bytes mean.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from bqx_assets.base.direct import DirectFile, Span

TEMP_MARK = ".partial-"
"""Part of the name of every file being written; whoever lists a folder leaves such names out."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_file(path: Path) -> Path:
    """Return ``path`` if it is a file or a link to one: a named pipe would be waited for without an end.

    Raises:
        OSError: it is missing or something else.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(f"{_KINDS.get(stat.S_IFMT(mode), 'a special file')}, not a file: {path}")
    return path


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


def concatenate(parts: Iterable[Path | Span | bytes], target: Path) -> int:
    """Write ``parts``, files whole or from a byte on, end to end as ``target``, atomically. Returns the bytes written.

    ``parts`` is consumed lazily, so a generator may make each part when its turn comes, the footer last.
    """
    with atomic_path(target) as temp, DirectFile(temp) as file:
        for part in parts:
            if isinstance(part, bytes):
                file.append(part)
            elif isinstance(part, Path):
                file.append_file(part)
            else:
                file.append_file(*part)
    return file.size_bytes
