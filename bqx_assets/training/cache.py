"""Keeps published training files on this machine by content digest, and finds what models are trained on there.

A file appears in ``{home}/cache/{digest}`` with one rename, after its manifest and dictionary, and once all its bytes
were compared with the manifest. Who copies holds the lock of the digest, so a part whose lock is free was left behind
by a process that died, on this machine or on another one that has the folder too.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from bqx_assets.base.artifacts import MANIFEST_SUFFIX
from bqx_assets.base.checksums import size_and_crc
from bqx_assets.base.errors import (
    CheckpointCorrupt,
    ChecksumMismatch,
    FolderBusy,
    NotEnoughDisk,
    OtherData,
    SystemRefused,
)
from bqx_assets.base.files import TEMP_MARK, locked, sync_file, write_atomic
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import Settings, training_name
from bqx_assets.base.threads import in_threads
from bqx_assets.dictionary.schema import DICTIONARY_SUFFIX
from bqx_assets.quality.stored_file import Source, StoredFile
from bqx_assets.training.located import Located, Pin, locate, place_of, verify_command

STAGE = "fetch"
_PIECE_BYTES = 32 << 20
_PART = re.compile(rf"\.(?P<digest>[0-9a-f]+(-[0-9a-f]+)?){re.escape(TEMP_MARK)}.+")
_AT_ONCE = 4
"""Pieces that are read at the same time."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A pair's training file on this machine, with its manifest and dictionary beside it."""

    path: Path
    digest: str
    size_bytes: int
    was_there: bool


def located(pair: Pair, source: str | Path | None, pin: Pin | None, settings: Settings) -> Located:
    """Return the training file of a pair: the cached one if its digest is pinned, or is that of an object in a bucket.

    Raises:
        ObjectMissing, CheckpointCorrupt, ChecksumMismatch, OtherData, BadSetting: as ``locate``.
    """
    kept = _kept(settings, pair, pin)
    if kept is not None:
        return locate(pair, kept, pin)
    found = locate(pair, place_of(pair, source, settings), pin)
    kept = _kept(settings, pair, found.manifest.file.content_digest) if found.source.local is None else None
    return found if kept is None else locate(pair, kept)


def cache_folder(settings: Settings) -> Path:
    """Return the folder of all cached files."""
    return settings.home / "cache"


def fetch(
    pair: Pair,
    settings: Settings,
    progress: Progress,
    *,
    source: str | Path | None = None,
    pin: Pin | None = None,
    to: Path | None = None,
) -> Fetched:
    """Copy a published file with manifest and dictionary into the cache, or below ``to``, and compare every byte.

    A second call compares the bytes of the copy that is there, and copies again what was damaged since. Of several
    calls at once one copies, and the others wait for it.

    Raises:
        ObjectMissing, CheckpointCorrupt, OtherData, BadSetting: as ``locate``.
        ChecksumMismatch: the bytes that arrived are not those of the manifest.
        NotEnoughDisk, SystemRefused: there is no room, or the folder cannot be written.
        PreconditionFailed: the object was replaced meanwhile.
    """
    root = to or cache_folder(settings)
    if (kept := _kept_in(root, pair, pin)) is not None and _is_whole(pair, kept, pin, progress):
        return _fetched(kept, str(pin), was_there=True)
    found = locate(pair, place_of(pair, source, settings), pin)
    file = found.manifest.file
    digest = file.content_digest or f"{file.size_bytes}-{file.crc32c:08x}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with closing(found.source), locked(root, _lock(digest)):
            found.dictionary()  # one that does not fit would be kept with the file
            if (kept := _kept_in(root, pair, digest)) is not None and _is_whole(pair, kept, None, progress):
                return _fetched(kept, digest, was_there=True)
            _remove_left_behind(root, digest)
            _refuse_too_large(root, file.size_bytes)
            progress.start(STAGE, -(-file.size_bytes // _PIECE_BYTES))
            with waiting(progress, STAGE, at_work(f"reading {found.file.place}")):
                _copy(found, root / digest, progress)
    except OSError as error:
        raise SystemRefused.of(error) from error
    return _fetched(StoredFile.at(root / digest / training_name(pair)), digest, was_there=False)


def _is_whole(pair: Pair, kept: StoredFile, pin: Pin | None, progress: Progress) -> bool:
    """Return whether a kept file has all bytes of its manifest, and its own dictionary. **Cost**: reads the file."""
    try:
        found = locate(pair, kept, pin)
        with closing(found.source), waiting(progress, STAGE, at_work(f"comparing {kept.place}")):
            found.dictionary()
            return found.source.holds(found.manifest.file)
    except (ChecksumMismatch, CheckpointCorrupt, OtherData):
        return False


def _copy(found: Located, folder: Path, progress: Progress) -> None:
    """Copy file, manifest and dictionary into a hidden folder, and give them their names once the bytes are right."""
    hidden = folder.with_name(f".{folder.name}{TEMP_MARK}{secrets.token_hex(4)}")
    hidden.mkdir()
    try:
        copy = StoredFile.at(hidden / training_name(found.pair))
        _copy_bytes(found.source, hidden / copy.name, progress)
        opened = Source(copy, (hidden / copy.name).open("rb"))
        with closing(opened):
            if not opened.holds(found.manifest.file):
                raise ChecksumMismatch(
                    found.file.place,
                    got=size_and_crc(opened.size_bytes, opened.crc32c),
                    expected=size_and_crc(found.manifest.file.size_bytes, found.manifest.file.crc32c),
                    cure=f"Nothing was kept. Fetch again, and look at the file: {verify_command(found.file)}",
                )
        folder.mkdir(exist_ok=True)
        write_atomic(folder / copy.beside(MANIFEST_SUFFIX).name, found.manifest_bytes)
        if found.stored_dictionary is not None:
            write_atomic(folder / copy.beside(DICTIONARY_SUFFIX).name, found.stored_dictionary)
        (hidden / copy.name).replace(folder / copy.name)
        sync_file(folder)
        sync_file(folder.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _lock(digest: str) -> str:
    return f".{digest}.lock"


def _remove_left_behind(root: Path, own: str) -> None:
    """Remove the parts that dead processes left; the caller holds the lock of the digest ``own``."""
    for path in root.iterdir():
        found = _PART.fullmatch(path.name)
        if found is None:
            continue
        # Not waiting: who holds the lock of another digest is copying it now.
        held = nullcontext() if found["digest"] == own else locked(root, _lock(found["digest"]), busy="a copy")
        with suppress(FolderBusy), held:
            shutil.rmtree(path, ignore_errors=True)


def _copy_bytes(source: Source, target: Path, progress: Progress) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def piece(start: int) -> int:
        data = source.read_same(start, _PIECE_BYTES)
        written = 0
        while written < len(data):
            written += os.pwrite(handle, data[written:], start + written)
        return written

    try:
        for written in in_threads(piece, range(0, source.size_bytes, _PIECE_BYTES), _AT_ONCE, STAGE, ahead=_AT_ONCE):
            progress.advance(STAGE, f"{written / 1e6:,.1f} MB")
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(settings: Settings, pair: Pair, pin: Pin | None) -> StoredFile | None:
    return _kept_in(cache_folder(settings), pair, pin)


def _kept_in(root: Path, pair: Pair, pin: Pin | None) -> StoredFile | None:
    """Return the pair's file in the folder of a digest; None if it is not there, or no digest is given."""
    path = root / str(pin) / training_name(pair)
    return StoredFile.at(path) if pin is not None and path.is_file() else None


def _fetched(file: StoredFile, digest: str, *, was_there: bool) -> Fetched:
    path = file.path or Path(file.place)
    return Fetched(path, digest, path.stat().st_size, was_there)


def _refuse_too_large(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise NotEnoughDisk(
            str(folder),
            got=f"{free / 1e6:,.0f} MB free",
            expected=f"{size_bytes / 1e6:,.0f} MB",
            cure=f"Remove cached files that are no longer needed: rm -r {folder}/DIGEST. Or name another folder: --to",
        )
