"""Plans a pair's merge: its parts in column order, each checked before a byte is copied; checks memory and disk.

A **part** is one table of the merge, the spine first. Its work gives parquet files, in memory or on disk, whose
bytes are copied one behind another, period by period. A part is a slab of an extraction (here), which has a piece for
each period, or a raw checkpoint (``raw_part``), which is worked on as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    ExtractionRecord,
    Piece,
    SlabRecord,
)
from bqx_assets.base.checksums import Sums
from bqx_assets.base.direct_io import Span
from bqx_assets.base.errors import NotEnoughDisk, NotEnoughMemory
from bqx_assets.base.names import refuse_same_names
from bqx_assets.base.pairs import Pair
from bqx_assets.base.process import disk_free_bytes, memory_free_bytes
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.merge.footer import Footer

_NAMED = 10
_READERS = 16
"""Footers of objects that are requested at once."""
_DISK_MARGIN = 1.05
_DISK_MARGIN_BYTES = 64 << 20
"""Room for the footer and the manifest: 1.5 MB and 6 MB at 17,031 columns."""
_CHUNK_MEMORY_BYTES = 1_300
"""A column chunk's share of the footers: 700 bytes as it was parsed, and at most 600 while it is rendered."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A parquet file in memory with some of a part's columns."""

    blocks: tuple[bytes, ...]
    footer: Footer


@dataclass(frozen=True, slots=True)
class Prepared:
    """A part's piece whose bytes are ready to be copied, or are copied already as those of its steps."""

    record: SlabRecord
    piece: Piece
    files: tuple[tuple[Span, Footer], ...] = ()
    """Files with the part's columns, each from a byte on, and the footers that find the columns there."""
    note: str = ""
    """The way it was prepared, for progress."""
    temporary: bool = False
    """Whether its files are removed once their bytes are copied."""

    def remove(self) -> None:
        """Remove its files if they are temporary."""
        for (path, _), _ in self.files if self.temporary else ():
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Work:
    """The work on one part in one period."""

    steps: Sequence[Callable[[], Encoded | None]]
    """At least one. They may run at the same time in several threads; the columns that they return are in order."""
    finish: Callable[[Sums], Prepared]
    """Called once all steps are done, with the checksums of what they returned."""


class Part(Protocol):
    """One table of a merge, the spine or a feature table."""

    @property
    def paths(self) -> Sequence[Path]:
        """The local files that it is read from; none for objects of a bucket."""
        ...

    @property
    def table(self) -> str:
        """The name of the source table."""
        ...

    @property
    def periods(self) -> int:
        """The number of periods that it is worked on in, the same for all parts of a merge."""
        ...

    @property
    def size_bytes(self) -> int:
        """The bytes that it adds to the output; an estimate if it must be encoded first."""
        ...

    @property
    def column_count(self) -> int:
        """The number of its columns, at most."""
        ...

    @property
    def memory_bytes(self) -> int:
        """The memory that a step of its work takes."""
        ...

    def begin(self, period: int, scratch: Path, earlier: SlabRecord | None) -> Work:
        """Return the work that prepares it in a period, with temporary files in ``scratch``.

        ``earlier`` is its last record.
        """
        ...

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the table's columns under their output names, on the spine's rows, and its record; for the join."""
        ...


@dataclass(frozen=True, slots=True)
class MergePlan:
    """The plan of one pair's merge. ``extraction`` lists no slabs yet if the parts are raw checkpoints."""

    pair: Pair
    extraction: ExtractionRecord
    parts: tuple[Part, ...]
    """In column order, the spine first."""
    left_out: tuple[str, ...] = ()
    """The names of other files that lie beside raw checkpoints."""
    earlier: tuple[SlabRecord, ...] = ()
    """The slabs of the file that is replaced: columns keep their encodings."""

    @property
    def size_bytes(self) -> int:
        """The size of the output, without its footer."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def column_count(self) -> int:
        """The number of columns of the output, at most: some of a raw checkpoint may still be quarantined."""
        return sum(part.column_count for part in self.parts)

    @property
    def periods(self) -> int:
        """The number of periods in which its parts are worked on, one after another."""
        return self.parts[0].periods


def place_of(store: ObjectStore, prefix: str) -> str:
    """Return the folder or URI of the checkpoints under ``prefix``, for messages."""
    return store.uri(f"{prefix}{EXTRACTION_FILE}").removesuffix(f"/{EXTRACTION_FILE}")


def refuse_collisions(pair: Pair, slabs: Sequence[SlabRecord]) -> None:
    """Refuse slabs that have the same column name twice. Raises ColumnCollision."""
    refuse_same_names(f"{pair}", ((slab.table, each.name) for slab in slabs for each in slab.provenance.columns))


def footers_memory_bytes(columns: int, row_groups: int) -> int:
    """Return what the footers of a merge take: the parts' as Python holds them, and the merged one in bytes."""
    return (64 << 20) + columns * row_groups * _CHUNK_MEMORY_BYTES


def check_disk(folder: Path, output_bytes: int, subject: str) -> None:
    """Raise NotEnoughDisk unless the output and a margin of 5% and 64 MiB fit beside what is there."""
    needed_bytes = int(output_bytes * _DISK_MARGIN) + _DISK_MARGIN_BYTES
    free_bytes = disk_free_bytes(folder)
    if free_bytes < needed_bytes:
        raise NotEnoughDisk(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB free in {folder}",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure="Free disk space, or choose another place with --output.",
        )


def check_memory(needed_bytes: int, subject: str, *, also: str = "") -> None:
    """Raise NotEnoughMemory unless this process may still take that much, by its container's own limit.

    ``also``: what would help besides more memory.
    """
    free_bytes = memory_free_bytes()
    if free_bytes < needed_bytes:
        raise NotEnoughMemory(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB of memory free",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure=f"Give the container more memory{also}.",
        )
