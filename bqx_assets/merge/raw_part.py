"""Describes what all parts of a merge of raw checkpoints have in common: their spine, provenance and strips of columns.

``raw_targets`` is the part of the targets, ``raw_table`` that of a feature table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.content import Periods
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.slab_records import encodings_of, slab_fingerprint
from bqx_assets.merge.raw_file import RawFile
from bqx_assets.merge.raw_source import RawSource

RAW_DATASET = "raw"
"""Stands for the dataset of a source that is a raw checkpoint, not a table of a warehouse."""
_STRIP_BYTES = 8 << 20
"""Mean decoded size of the columns that a step works on; a single column of a very long history may exceed it. With
strips of 32 MiB a merge took as long, and a third more memory where tables have 240,000 rows; with 4 MiB it took a
twentieth more processor time."""
PLACE_BYTES = 100
"""Memory that finding a row's position in the spine takes for a moment: 31 where the spine has every minute, 80 where
it has one in 15."""


def provenance_of(  # noqa: PLR0913 -- one parameter a fact
    raw: RawSource,
    pair: Pair,
    spine: Spine,
    *,
    role: Literal["spine", "feature"],
    family: str,
    columns: tuple[Column, ...],
    rows: RowAccount,
    policy: str,
    quarantined: tuple[Quarantined, ...] = (),
) -> SlabProvenance:
    """Return the provenance of a raw file's slab: the file itself is its source."""
    source = SourceTable(
        dataset=RAW_DATASET,
        table=raw.table,
        last_modified=raw.modified,
        etag=raw.etag,
        rows=rows.read,
        size_bytes=raw.size_bytes,
    )
    state = source.model_dump(mode="json")
    mark = slab_fingerprint(state, columns, spine_fingerprint=spine.fingerprint, filters={}, policy=policy)
    return SlabProvenance(
        pair=pair.name,
        role=role,
        family=family,
        fingerprint=mark,
        spine_fingerprint=spine.fingerprint,
        source=source,
        snapshot_time=raw.modified,
        rows=rows,
        duplicate_policy=policy,
        columns=columns,
        quarantined=quarantined,
    )


@dataclass(frozen=True, slots=True)
class RawSpine:
    """The spine that all raw tables are aligned with."""

    facts: Spine
    keys: pl.Series
    """Unique and ascending."""
    forward: LookaheadDetector
    periods: Periods


@dataclass(frozen=True)
class RawPart:
    """The facts that a targets file and a table's file have in common as parts of a merge."""

    file: RawFile
    spine: RawSpine
    settings: Settings

    @property
    def path(self) -> Path | None:
        """The local file; None for an object."""
        return self.file.source.path

    @property
    def paths(self) -> list[Path]:
        """The local file, if it is no object."""
        return [] if self.path is None else [self.path]

    @property
    def periods(self) -> int:
        """One: its rows are worked on as a whole."""
        return 1

    @property
    def table(self) -> str:
        """The file's stem."""
        return self.file.table

    @property
    def size_bytes(self) -> int:
        """The raw file's size, as an estimate."""
        return self.file.size_bytes

    def chosen(self, rows: pl.DataFrame, earlier: SlabRecord | None) -> dict[str, Encoding]:
        """Return the encoding of each column; ``rows`` are the spine's rows x any of the columns."""
        setting = self.settings.encoding
        return choose(rows.head(self.spine.facts.row_groups[0]), setting, encodings_of(earlier, setting))

    def strips_of(self, columns: Sequence[Column]) -> list[Sequence[Column]]:
        """Return columns in few groups of ``_STRIP_BYTES`` that take about as much memory as each other.

        There is at least one group, of no column where there is none: the rows of the file are looked at all the same.
        """
        sizes = [self._column_bytes(column) for column in columns]
        total = sum(sizes)
        count = -(-total // _STRIP_BYTES)
        strips: list[list[Column]] = [[] for _ in range(count)]
        before = 0
        for column, size_bytes in zip(columns, sizes, strict=True):
            strips[(before + size_bytes // 2) * count // total].append(column)
            before += size_bytes
        return [strip for strip in strips if strip] or [[]]

    def strip_memory_bytes(self, columns: Sequence[Column]) -> int:
        """Return the memory for a strip of columns."""
        return copies(self.file) * max(sum(map(self._column_bytes, strip)) for strip in self.strips_of(columns))

    def _column_bytes(self, column: Column) -> int:
        """Return a column's decoded size, in the file or on the spine, whichever has more rows."""
        rows, there, stated = self.spine.facts.rows, self.file.footer.rows, self.file.decoded_bytes[column.source]
        return max(8 * rows, stated * rows // there if 0 < there < rows else stated)


def copies(file: RawFile) -> int:
    """Return how many copies of columns are in memory at once: as read, aligned, encoded; of an object as fetched."""
    return 3 if file.source.path else 4
