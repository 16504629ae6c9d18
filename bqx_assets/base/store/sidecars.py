"""Keeps the sidecars of a folder store, small files under ``.objects`` with the facts and readings of its files.

Facts are the size, the CRC32C and so on that a file was written with; a reading tells when the file was last read.
Anybody can set back a file's size and modification time, so facts that fit them are only a claim. Nobody can set back
its inode change time, so a reading holds for exactly the state of the file that was read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bqx_assets.base import files

FOLDER = ".objects"
_TICK_SECONDS = 0.01
"""Two changes of a file within one tick of the kernel's clock have the same change time: 4 or 10 ms."""


class Facts(BaseModel):
    """The facts that an object was written with. They hold for a file of this size and modification time."""

    size_bytes: int
    mtime_ns: int
    crc32c: int
    generation: int
    metadata: dict[str, str]


class Reading(BaseModel):
    """The record that all bytes of a file were read: their CRC32C, the time, and the state of the file."""

    crc32c: int
    at: datetime
    state: tuple[int, int, int, int]


_Kind = TypeVar("_Kind", Facts, Reading)


class Sidecars:
    """The facts and readings of a folder's objects. If ``kept`` is False there are none, and nothing is written."""

    def __init__(self, root: Path, *, kept: bool = True) -> None:
        self._folder = root / FOLDER
        self.kept = kept

    def facts(self, name: str, stat: os.stat_result) -> Facts | None:
        """Return the facts of the file with this ``stat``; None if no facts fit it."""
        if not self.kept:
            return None
        for path in (self._path(name), self._coming(name)):
            found = _load(path, Facts)
            if found is not None and (found.size_bytes, found.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return found
        return None

    def are_of_ours(self, name: str, stat: os.stat_result) -> bool:
        """Return whether this package wrote an object, as far as its size tells."""
        if not self.kept:
            return False
        known = [_load(path, Facts) for path in (self._path(name), self._coming(name))]
        return any(found is not None and found.size_bytes == stat.st_size for found in known)

    def reading(self, name: str, stat: os.stat_result) -> Reading | None:
        """Return the last reading of the file with this ``stat``; None if the file could have changed since."""
        found = _load(self._read(name), Reading) if self.kept else None
        return found if found is not None and found.state == state_of(stat) else None

    @contextmanager
    def replacing(self, name: str, facts: Facts) -> Generator[None]:
        """Give an object these facts while the block puts its new file in place.

        A crash at any moment leaves old bytes with old facts or new bytes with new facts: both facts exist while the
        file is renamed, and only one of them fits it.
        """
        if not self.kept:
            yield
            return
        files.write_atomic(self._coming(name), facts.model_dump_json().encode())
        yield
        self._coming(name).replace(self._path(name))
        files.sync_file(self._path(name).parent)

    def keep_reading(self, name: str, crc32c: int, at: datetime, stat: os.stat_result) -> Reading:
        """Record that the file's bytes were read; if that cannot be written, the reading counts only this time."""
        if not self.kept:
            return Reading(crc32c=crc32c, at=at.astimezone(UTC), state=state_of(stat))
        since_seconds = (time.time_ns() - stat.st_ctime_ns) / 1e9
        # At most one tick, because a file server's clock may be hours ahead, and this machine's may have been set back.
        time.sleep(min(_TICK_SECONDS, max(0.0, _TICK_SECONDS - since_seconds)))
        reading = Reading(crc32c=crc32c, at=at.astimezone(UTC), state=state_of(stat))
        with suppress(OSError):
            files.write_atomic(self._read(name), reading.model_dump_json().encode())
        return reading

    def keep(self, name: str, facts: Facts) -> None:
        """Record the facts of an earlier version, of which there are no facts yet."""
        files.write_atomic(self._path(name), facts.model_dump_json().encode())

    def remove(self, name: str) -> None:
        """Remove an object's facts and reading."""
        for path in (self._path(name), self._coming(name), self._read(name)) if self.kept else ():
            path.unlink(missing_ok=True)

    # The facts of every object end in ".json", so no facts of another object can have one of the two longer names.
    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _coming(self, name: str) -> Path:
        return self._folder / f"{name}.json.coming"

    def _read(self, name: str) -> Path:
        return self._folder / f"{name}.json.read"


def state_of(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Return the state of a file; every change of the file changes it."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _load(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return kind.model_validate_json(files.read_regular(path))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
