"""What a folder store knows of its files: the facts they were written with, and when somebody last read their bytes.

Belongs here: the small files under ``.objects``, and for which state of an object's file each of them holds. Does not:
objects, generations' conditions, locking (``local``).

A file's size and modification time can be set back by anybody, so facts that fit them are a claim. Its inode change
time cannot: a reading holds for exactly the state of the file it was made of.
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
    """What an object was written with; holds for a file of this size and modification time."""

    size_bytes: int
    mtime_ns: int
    crc32c: int
    generation: int
    metadata: dict[str, str]


class Reading(BaseModel):
    """That all bytes of a file were read, what they were, and for which state of the file that holds."""

    crc32c: int
    at: datetime
    state: tuple[int, int, int, int]


_Kind = TypeVar("_Kind", Facts, Reading)


class Sidecars:
    """The facts and readings of a folder's objects; with ``kept`` False there are none, and nothing is written."""

    def __init__(self, root: Path, *, kept: bool = True) -> None:
        self._folder = root / FOLDER
        self.kept = kept

    def facts(self, name: str, stat: os.stat_result) -> Facts | None:
        """Return the facts of the file that ``stat`` is of; None where there are none that fit it."""
        if not self.kept:
            return None
        for path in (self._path(name), self._coming(name)):
            found = _load(path, Facts)
            if found is not None and (found.size_bytes, found.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return found
        return None

    def are_of_ours(self, name: str, stat: os.stat_result) -> bool:
        """Return whether an object was written through this package, as far as its size tells."""
        if not self.kept:
            return False
        known = [_load(path, Facts) for path in (self._path(name), self._coming(name))]
        return any(found is not None and found.size_bytes == stat.st_size for found in known)

    def reading(self, name: str, stat: os.stat_result) -> Reading | None:
        """Return the last reading of the file that ``stat`` is of; None where it could have changed since."""
        found = _load(self._read(name), Reading) if self.kept else None
        return found if found is not None and found.state == state_of(stat) else None

    @contextmanager
    def replacing(self, name: str, facts: Facts) -> Generator[None]:
        """Give an object these facts by the block that swaps its file in, the old facts holding until then.

        A crash at any moment leaves old bytes with old facts or new bytes with new facts: both lie there while the
        file is renamed, and only one of them fits it.
        """
        if not self.kept:
            yield
            return
        files.write_atomic(self._coming(name), facts.model_dump_json().encode())
        yield
        self._coming(name).replace(self._path(name))
        files.sync_folder(self._path(name).parent)

    def keep_reading(self, name: str, crc32c: int, at: datetime, stat: os.stat_result) -> Reading:
        """Record that the file's bytes were read; where nothing can be written, the reading counts this once."""
        if not self.kept:
            return Reading(crc32c=crc32c, at=at.astimezone(UTC), state=state_of(stat))
        since_seconds = (time.time_ns() - stat.st_ctime_ns) / 1e9
        # No more than a tick: a file server's clock may be hours ahead of this machine's, or this one was set back.
        time.sleep(min(_TICK_SECONDS, max(0.0, _TICK_SECONDS - since_seconds)))
        reading = Reading(crc32c=crc32c, at=at.astimezone(UTC), state=state_of(stat))
        with suppress(OSError):
            files.write_atomic(self._read(name), reading.model_dump_json().encode())
        return reading

    def keep(self, name: str, facts: Facts) -> None:
        """Record an object's facts where no other facts of it are to be kept: of an earlier version."""
        files.write_atomic(self._path(name), facts.model_dump_json().encode())

    def remove(self, name: str) -> None:
        """Remove what is known of an object."""
        for path in (self._path(name), self._coming(name), self._read(name)) if self.kept else ():
            path.unlink(missing_ok=True)

    # An object's facts end in ".json", and so no other object's file can have one of the two longer names.
    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _coming(self, name: str) -> Path:
        return self._folder / f"{name}.json.coming"

    def _read(self, name: str) -> Path:
        return self._folder / f"{name}.json.read"


def state_of(stat: os.stat_result) -> tuple[int, int, int, int]:
    """Return what no change of a file leaves as it was."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _load(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return kind.model_validate_json(files.read_regular(path))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
