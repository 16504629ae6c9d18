"""Checks a file's bytes against its manifest: each slab's range by CRC32C and SHA-256, the whole by its ranges."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from bqx_assets.base.artifacts import Manifest, pieces_in_order
from bqx_assets.base.checksums import combine, crc32c

_PIECE_BYTES = 1 << 20
_HELD_BYTES = 64 << 20
"""Limit of the pieces that wait for an earlier one. The pass follows the file's order closely: a few blocks wait."""
_AGAIN_BYTES = 16 << 20
"""Bytes that are read at once when a range is read a second time."""
FOOTER = "footer"
"""The name of the bytes behind the last slab."""
SPLICED = ("splice", "compose")
"""Engines whose files hold the slabs' bytes as they are."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of the file, and its checksum where one is recorded."""

    name: str
    start: int
    size_bytes: int
    crc32c: int | None
    sha256: str | None = None


@dataclass(slots=True)
class _InOrder:
    """The SHA-256 of one range. Its pieces are hashed in order; a piece that comes too early waits."""

    next: int
    sha: Any = field(default_factory=sha256)
    waiting: dict[int, memoryview] = field(default_factory=dict[int, memoryview])
    busy: bool = False
    given_up: bool = False
    """Whether too many bytes would have had to wait: the range is then read a second time."""

    def give_up(self) -> int:
        """Drop the waiting pieces and return how many bytes they had."""
        held_bytes = sum(map(len, self.waiting.values()))
        self.waiting.clear()
        self.given_up = True
        return held_bytes


def segments(manifest: Manifest, file_bytes: int) -> list[Segment]:
    """Return the file's ranges in order: a splice is its slabs and a footer, any other file one range.

    Where the file is too short, the later ranges are short or empty.
    """
    slabs = manifest.extraction.slabs if manifest.engine in SPLICED else ()
    found: list[Segment] = []
    start = 0
    for slab, piece in pieces_in_order(slabs):
        size_bytes = min(piece.size_bytes, file_bytes - start)
        name = f"{slab.table} {piece.period}" if len(slab.pieces) > 1 else slab.table
        found.append(Segment(name, start, size_bytes, piece.crc32c, piece.sha256))
        start += size_bytes
    return [*found, Segment(FOOTER if slabs else "file", start, file_bytes - start, None, manifest.file.end_sha256)]


@dataclass(slots=True)
class FileChecksum:
    """Checks ranges by pieces that arrive in any order and from any thread. Each byte is added once.

    **Cost**: three numbers for each piece, and up to ``_HELD_BYTES`` of pieces that wait for an earlier one.
    """

    segments: Sequence[Segment]
    _pieces: list[dict[int, tuple[int, int]]] = field(init=False)
    """For each segment, the CRC32C and size of each piece by its position."""
    _missing_bytes: list[int] = field(init=False)
    _running: dict[int, _InOrder] = field(init=False)
    _held_bytes: int = 0
    _wrong: set[int] = field(default_factory=set[int])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Expect all bytes of every range; an empty range with a recorded checksum other than 0 is wrong already."""
        self._pieces = [{} for _ in self.segments]
        self._missing_bytes = [segment.size_bytes for segment in self.segments]
        self._running = {n: _InOrder(each.start) for n, each in enumerate(self.segments) if each.sha256}
        self._wrong.update(n for n, each in enumerate(self.segments) if not each.size_bytes and each.crc32c)

    def add(self, start: int, data: bytes, skip: int = 0) -> None:
        """Add the file's bytes from ``start`` on, without the first ``skip`` of them, which were added before."""
        at, end, view = start + skip, start + len(data), memoryview(data)
        while at < end:
            number = bisect_right(self.segments, at, key=lambda segment: segment.start) - 1
            segment = self.segments[number]
            stop = min(end, segment.start + segment.size_bytes)
            crc = 0
            for piece in range(at, stop, _PIECE_BYTES):
                crc = crc32c(view[piece - start : min(piece + _PIECE_BYTES, stop) - start], crc)
            with self._lock:
                self._pieces[number][at] = crc, stop - at
                self._missing_bytes[number] -= stop - at
                if not self._missing_bytes[number] and segment.crc32c not in (None, _joined(self._ordered(number))):
                    self._wrong.add(number)
            if number in self._running:
                self._hash(number, at, view[at - start : stop - start])
            at = stop

    def _hash(self, number: int, at: int, piece: memoryview) -> None:
        """Hash a piece and the pieces that waited for it. One thread hashes a range; the others do not wait for it."""
        run = self._running[number]
        with self._lock:
            if run.given_up:
                return
            run.waiting[at] = piece
            self._held_bytes += len(piece)
            if run.busy:
                return
            if at != run.next and self._held_bytes > _HELD_BYTES:
                self._held_bytes -= run.give_up()
                return
            run.busy = True
        while True:
            with self._lock:
                following = run.waiting.pop(run.next, None)
                if following is None:
                    run.busy = False
                    self._judge(number, run)
                    return
                self._held_bytes -= len(following)
            run.sha.update(following)
            run.next += len(following)

    def _judge(self, number: int, run: _InOrder) -> None:
        segment = self.segments[number]
        if run.next == segment.start + segment.size_bytes and run.sha.hexdigest() != segment.sha256:
            self._wrong.add(number)

    def read_again(self, read: Callable[[int, int], bytes]) -> None:
        """Read those ranges again whose pieces came too far out of order to be hashed; few files have any."""
        for number, run in self._running.items():
            if run.given_up:
                segment = self.segments[number]
                run.next, run.sha = segment.start, sha256()
                end = segment.start + segment.size_bytes
                while run.next < end:
                    data = read(run.next, min(_AGAIN_BYTES, end - run.next))
                    if not data:
                        break  # cut short meanwhile
                    run.sha.update(data)
                    run.next += len(data)
                self._judge(number, run)

    @property
    def crc32c(self) -> int:
        """The CRC32C of all added bytes, in the file's order."""
        return _joined(piece for number in range(len(self.segments)) for piece in self._ordered(number))

    @property
    def damaged(self) -> list[Segment]:
        """The ranges whose bytes are known to differ from the recorded ones, in order."""
        return [self.segments[number] for number in sorted(self._wrong)]

    def finish(self) -> None:
        """Mark every range with missing bytes as damaged: the file was cut short."""
        self._wrong.update(number for number, missing_bytes in enumerate(self._missing_bytes) if missing_bytes)

    def is_damaged(self, start: int, end: int) -> bool:
        """Return whether the bytes from ``start`` to ``end`` touch a range that is known to be damaged by now."""
        first = max(0, bisect_right(self.segments, start, key=lambda segment: segment.start) - 1)
        numbers = range(first, bisect_left(self.segments, end, key=lambda segment: segment.start))
        return not self._wrong.isdisjoint(numbers)

    def _ordered(self, number: int) -> list[tuple[int, int]]:
        return [piece for _, piece in sorted(self._pieces[number].items())]


def end_crc32c(parts: Sequence[Segment], end: int) -> int:
    """Return the CRC32C that the whole file has if all slabs are as recorded; ``end``: that of the bytes after them."""
    *slabs, last = parts
    return _joined([*((slab.crc32c or 0, slab.size_bytes) for slab in slabs), (end, last.size_bytes)])


def _joined(pieces: Iterable[tuple[int, int]]) -> int:
    whole = 0
    for crc, size_bytes in pieces:
        whole = combine(whole, crc, size_bytes)
    return whole
