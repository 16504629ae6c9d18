"""Makes a slab of a raw checkpoint: copies its bytes if its rows are the spine's, else aligns and encodes them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.checksums import Sums, sums_of_files
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.content import Contents, Periods
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import PAIR_COLUMN, family_of
from bqx_assets.extract.align import RowMatch, align, as_key, match_rows, refuse_empty
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.slabs import slab_fingerprint
from bqx_assets.merge.footer import read_footer, select, trim
from bqx_assets.merge.pages import Page, refuse_false_statistics, unordered_texts
from bqx_assets.merge.plan import Piece, Prepared
from bqx_assets.merge.raw_file import RawFile
from bqx_assets.merge.raw_source import RawSource

RAW_DATASET = "raw"
"""Stands for the dataset of a source that is a raw checkpoint, not a table of a warehouse."""


def encode(frame: pl.DataFrame, columns: Sequence[Column], scratch: Path, table: str, spine: Spine) -> Piece:
    """Write the frame's ``columns`` under their output names as a temporary file in ``scratch``."""
    path = scratch / f"{table}-{secrets.token_hex(4)}.parquet"
    kept = frame.select(cast(column) for column in columns)
    with parquet_writer(path, kept) as writer:
        writer.write_table(as_arrow(kept), row_group_size=max(spine.row_groups))
    return Piece(path, read_footer(path, table))


def digests(frame: pl.DataFrame, columns: Sequence[Column], periods: Periods) -> dict[str, str]:
    """Return the content digests of the frame's ``columns`` by output name, in the types they are encoded in."""
    kept = frame.select(cast(column) for column in columns)
    contents = Contents(periods)
    contents.add(as_arrow(kept))
    return dict(zip(kept.columns, contents.digests(kept.columns), strict=True))


def record_of(sums: Sums, provenance: SlabProvenance, content: Mapping[str, str]) -> SlabRecord:
    """Return the record of a slab whose bytes have these checksums."""
    name = f"{provenance.source.table}.parquet"
    known = tuple(content[column.name] for column in provenance.columns)
    return SlabRecord(provenance=provenance, object_name=name, content=known, **sums._asdict())


def cast(column: Column) -> pl.Expr:
    """Return the column under its output name, in the type that its BigQuery type is read as."""
    return pl.col(column.source).cast(COLUMN_TYPES[column.type].polars).alias(column.name)


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
    mark = slab_fingerprint(source, columns, spine_fingerprint=spine.fingerprint, filters={}, policy=policy)
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


_COPIES = 3
"""Columns are in memory three times: as read, aligned, and while they are encoded."""
_STRIP_BYTES = 32 << 20
"""Decoded size of the columns that are worked on at once; a single column of a very long history may exceed it."""
_PLACE_BYTES = 100
"""Memory that finding a row's position in the spine takes for a moment."""


@dataclass(frozen=True, slots=True)
class RawSpine:
    """The spine that all raw tables are aligned with."""

    facts: Spine
    keys: pl.Series
    forward: LookaheadDetector
    periods: Periods


@dataclass(frozen=True)
class _RawPart:
    """The facts that a targets file and a table's file have in common as parts of a merge."""

    file: RawFile
    spine: RawSpine
    settings: Settings

    @property
    def path(self) -> Path | None:
        """The file."""
        return self.file.source.path

    @property
    def table(self) -> str:
        """The file's stem."""
        return self.file.table

    @property
    def size_bytes(self) -> int:
        """The raw file's size, as an estimate."""
        return self.file.size_bytes


@dataclass(frozen=True)
class SpinePart(_RawPart):
    """The targets file as a part of a merge: 50 columns, always encoded anew. Implements ``Part``."""

    columns: tuple[Column, ...]
    rows: RowAccount

    @property
    def column_count(self) -> int:
        """The number of its columns, key and targets."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """The memory that the frame takes as read, aligned and encoded."""
        return targets_memory_bytes(self.file, [column.source for column in self.columns])

    def prepare(self, scratch: Path) -> Prepared:
        """Return the rows of the file that are in the spine, as a slab."""
        rows = self._rows()
        piece = encode(rows, self.columns, scratch, self.table, self.spine.facts)
        return Prepared((piece,), self._record(sums_of_files([piece.span]), rows), note="aligned", temporary=True)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return key and targets on the spine's rows."""
        rows = self._rows()
        return rows, self._record(self.file.source.sums(), rows)

    def _record(self, sums: Sums, rows: pl.DataFrame) -> SlabRecord:
        return record_of(sums, self._provenance(), digests(rows, self.columns, self.spine.periods))

    def _rows(self) -> pl.DataFrame:
        read = self.file.rows([column.source for column in self.columns], floats=True)
        aligned, _ = align(read, self.spine.keys, subject=self.file.subject, policy=self.settings.duplicates)
        return aligned.insert_column(0, self.spine.keys)

    def _provenance(self) -> SlabProvenance:
        return provenance_of(
            self.file.source,
            self.file.pair,
            self.spine.facts,
            role="spine",
            family="targets",
            columns=self.columns,
            rows=self.rows,
            policy=self.settings.duplicates,
        )


@dataclass(frozen=True)
class RawTable(_RawPart):
    """A feature table's file as a part of a merge. Implements ``Part``."""

    @property
    def column_count(self) -> int:
        """The number of its features, including those that may turn out to look forward."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """The memory for the columns that are worked on at once, or for finding the positions of its rows if larger."""
        largest_bytes = max((sum(map(self._column_bytes, strip)) for strip in self._strips()), default=0)
        return max(_copies(self.file) * largest_bytes, _PLACE_BYTES * self.file.footer.rows)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The features under their output names, without those whose name looks forward; types are the file's.

        Raises:
            SchemaDrift, BadSetting: a column has another type, or a name that BigQuery does not accept.
        """
        prefix, types = table_prefix(self.table, self.file.pair), self.file.types
        kept = [name for name in types if name not in (KEY, PAIR_COLUMN) and not self._looks_forward(name)]
        named = [(output_column(prefix, name, owner=self.file.subject), name) for name in kept]
        self.file.refuse_types(kept)
        return tuple(Column(name=name, source=source, type=types[source]) for name, source in named)

    def _column_bytes(self, column: Column) -> int:
        """Return a column's decoded size, in the file or on the spine, whichever has more rows."""
        rows, there, stated = self.spine.facts.rows, self.file.footer.rows, self.file.decoded_bytes[column.source]
        return max(8 * rows, stated * -(-rows // there) if 0 < there < rows else stated)

    def _looks_forward(self, name: str) -> bool:
        return name.lower().startswith(FORWARD_PREFIX) and not self.settings.include_forward_looking

    def prepare(self, scratch: Path) -> Prepared:
        """Return the table as a slab. **Cost**: ``_STRIP_BYTES`` of its columns in memory, about three times.

        Raises:
            TableDefect: keys are null or repeated, or no row is in the spine.
            FooterError: the file is damaged.
        """
        placed = self._place()
        if placed.index is not None or not self._lies_as_the_spine():
            return self._slab(scratch, placed, None)
        if self.file.source.path is not None:
            return self._slab(scratch, placed, self._usable_pages())
        # The object's bytes are copied unchanged, so they are fetched once, into a temporary file.
        fetched = self.file.source.fetch(scratch)
        near = replace(self, file=replace(self.file, source=fetched))
        slab = near._slab(scratch, placed, near._usable_pages())  # noqa: SLF001 -- this very table
        if slab.temporary and fetched.path is not None:
            fetched.path.unlink()  # its pages were not usable: the columns were encoded anew
        return replace(slab, temporary=True)

    def _slab(self, scratch: Path, placed: RowMatch, pages: dict[str, list[Page]] | None) -> Prepared:
        """Return the file itself as the slab if its ``pages`` are usable; None: encode the columns."""
        pieces: list[Piece] = []
        looks_forward: dict[str, str] = {}
        content: dict[str, str] = {}
        for columns in self._strips():
            frame, found = self._strip(columns, placed)
            looks_forward |= found
            kept = [column for column in columns if column.source not in found]
            content |= digests(frame, kept, self.spine.periods)
            if pages is not None:
                refuse_false_statistics(self.file.footer, frame.select(column.source for column in kept), pages)
            elif kept:
                pieces.append(encode(frame, kept, scratch, self.table, self.spine.facts))
        provenance = self._provenance(placed.rows, looks_forward)
        if pieces or self.path is None:
            record = record_of(sums_of_files(piece.span for piece in pieces), provenance, content)
            return Prepared(tuple(pieces), record, note="aligned", temporary=True)
        narrowed = select(self.file.footer, {column.source: column.name for column in provenance.columns})
        # In most files the key comes first. Its 8 bytes a row are left out, because nobody would read them.
        piece = Piece(self.path, *trim(narrowed))
        return Prepared((piece,), record_of(sums_of_files([piece.span]), provenance, content), note="as it lies")

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the features on the spine's rows."""
        placed = self._place()
        strips = [self._strip(columns, placed) for columns in self._strips()]
        whole = pl.concat([frame for frame, _ in strips], how="horizontal")
        provenance = self._provenance(placed.rows, {name: why for _, found in strips for name, why in found.items()})
        content = digests(whole, provenance.columns, self.spine.periods)
        rows = whole.select(cast(column) for column in provenance.columns)
        return rows, record_of(self.file.source.sums(), provenance, content)

    def _place(self) -> RowMatch:
        key, keys, subject = as_key(self.file.rows([KEY]), self.file.subject), self.spine.keys, self.file.subject
        placed = match_rows(key, keys, subject=subject, policy=self.settings.duplicates, part=True)
        if not placed.rows.matched:
            stated = load_expectations(self.settings.expectations)  # only in this case: reading them may be a request
            if not stated.may_be_empty(self.file.pair, (column.name for column in self.columns)):
                refuse_empty(placed.rows, keys, subject, key)
        return placed

    def _lies_as_the_spine(self) -> bool:
        """Return whether the file's row groups and types are those of the training file, by its footer."""
        footer = self.file.footer
        if footer.row_groups != self.spine.facts.row_groups:
            return False
        narrowed = select(footer, {column.source: column.name for column in self.columns})
        return narrowed.types == tuple(column.type for column in self.columns)

    def _usable_pages(self) -> dict[str, list[Page]] | None:
        """Return the file's pages if they may be copied into the training file as they are, else None."""
        pages = self.file.pages([column.source for column in self.columns])
        return None if unordered_texts(self.file.footer, pages) else pages

    def _strips(self) -> list[list[Column]]:
        """Return the columns in groups of at most ``_STRIP_BYTES``, or of a single column."""
        strips: list[list[Column]] = []
        room_bytes = 0
        for column in self.columns:
            size_bytes = self._column_bytes(column)
            if not strips or size_bytes > room_bytes:
                strips.append([])
                room_bytes = _STRIP_BYTES
            strips[-1].append(column)
            room_bytes -= size_bytes
        return strips

    def _strip(self, columns: Sequence[Column], placed: RowMatch) -> tuple[pl.DataFrame, dict[str, str]]:
        """Return the columns on the spine's rows, and for those that look forward the reason."""
        frame = placed.apply(self.file.rows([column.source for column in columns]))
        return frame, {} if self.settings.include_forward_looking else self.spine.forward.find_all(frame)

    def _provenance(self, rows: RowAccount, looking: Mapping[str, str]) -> SlabProvenance:
        named = {name: "its name looks forward" for name in self.file.types if self._looks_forward(name)}
        return provenance_of(
            self.file.source,
            self.file.pair,
            self.spine.facts,
            role="feature",
            family=raw_family(self.table, self.file.pair),
            columns=tuple(column for column in self.columns if column.source not in looking),
            rows=rows,
            policy=self.settings.duplicates,
            quarantined=tuple(
                Quarantined(table=self.table, column=name, reason=why) for name, why in {**named, **looking}.items()
            ),
        )


def raw_family(table: str, pair: Pair) -> str:
    """Return the family of a file's table; "other" if no family's rule selects its name."""
    return family_of(table, pair) or "other"


def targets_memory_bytes(file: RawFile, columns: Sequence[str]) -> int:
    """Return the memory that these columns of a targets file take as read, aligned and encoded."""
    return _copies(file) * sum(file.decoded_bytes[name] for name in columns) + _PLACE_BYTES * file.footer.rows


def _copies(file: RawFile) -> int:
    """Return how many copies of columns are in memory at once: of an object also the fetched bytes."""
    return _COPIES if file.source.path else _COPIES + 1
