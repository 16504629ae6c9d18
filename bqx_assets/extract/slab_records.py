"""Defines the records of slabs: the spine's, and of each table its finished pieces and what determined them.

``slabs`` keeps them beside the pieces.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from bqx_assets.base.artifacts import (
    FORMAT_VERSION,
    Column,
    FormatVersion,
    Piece,
    Quarantined,
    Record,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
    fingerprint,
)
from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.periods import bounds_in

CODE_VERSION = "2"
"""Part of every fingerprint; to be raised when the same rows would give another piece."""


class SpineRecord(Record):
    """The result of the spine step for the feature step: rows, slab, and the run's snapshot."""

    spine: Spine
    slab: SlabRecord
    snapshot_time: datetime
    span: str = ""
    """The requested range in words; empty for the whole history."""
    bounds: tuple[tuple[datetime, datetime], ...] = ()
    """The first and the last key of each piece."""

    def piece(self, period: str) -> tuple[Piece, datetime, datetime]:
        """Return the spine's piece in a period, and its first and last key. Raises KeyError if there is none."""
        number = {piece.period: number for number, piece in enumerate(self.slab.pieces)}[period]
        return (self.slab.pieces[number], *self.bounds[number])

    def read_range(self, period: str) -> tuple[datetime, datetime]:
        """Return the range of keys, inclusive, that is read of a table for its piece in a period.

        It is the whole period, so that rows between two keys of the spine are counted wherever they are; the first and
        the last period end where the spine does.
        """
        pieces = self.slab.pieces
        first, last = self.bounds[0][0], self.bounds[-1][1]
        start = first if period == pieces[0].period else bounds_in(period)[0]
        return start, last if period == pieces[-1].period else bounds_in(period)[1]


class KeptPiece(Record):
    """A finished piece, and what a later extraction needs to use it without reading it."""

    piece: Piece
    columns: tuple[Column, ...]
    by_value: tuple[Quarantined, ...] = ()
    """Columns that were left out because their values look forward in the piece's own rows. It may lack others, whose
    values do so in another period."""
    encodings: tuple[str, ...] = ()
    """The encoding of each column."""
    months: tuple[str, ...] = ()
    """For each column in base64 what its content digest takes of the piece's months."""
    after: datetime | None = None
    """The moment before the first key, where the range of the spine begins within the period."""


class TableRecord(Record):
    """The finished pieces of a table, in order, and its slab once no piece is missing."""

    format_version: FormatVersion = FORMAT_VERSION
    table: str
    encoding: str
    pieces: tuple[KeptPiece, ...]
    slab: SlabRecord | None = None

    def by_period(self) -> dict[str, KeptPiece]:
        """Return the pieces by the name of their period."""
        return {kept.piece.period: kept for kept in self.pieces}


def source_of(description: TableDescription) -> SourceTable:
    """Return a table's identity as manifests keep it."""
    return SourceTable(
        dataset=description.dataset,
        table=description.table,
        last_modified=description.last_modified,
        etag=description.etag,
        rows=description.rows,
        size_bytes=description.size_bytes,
    )


def slab_fingerprint(
    state: Mapping[str, object],
    columns: Sequence[Column],
    *,
    spine_fingerprint: str,
    filters: dict[str, str],
    policy: str,
) -> str:
    """Return the fingerprint of everything that determines a piece's content; ``state`` is that of its source.

    The snapshot time is not part of it: a table that was last modified before two snapshots has the same rows at both.
    """
    return fingerprint(
        {
            "source": dict(state),
            "columns": [column.model_dump() for column in columns],
            "spine": spine_fingerprint,
            "filters": filters,
            "duplicates": policy,
            "code": CODE_VERSION,
        }
    )


def pieces_fingerprint(pieces: Iterable[KeptPiece]) -> str:
    """Return the fingerprint of a slab by those of its pieces."""
    return fingerprint({"pieces": [kept.piece.fingerprint for kept in pieces]})


def encodings_of(record: SlabRecord | None, encoding: EncodingPolicy) -> dict[str, Encoding]:
    """Return the encodings of a slab's columns by name, as far as they are known and were chosen by the same setting.

    None of a record that does not state one for each column: an encoding is advice, no reason to refuse a good slab.
    """
    if record is None or record.encoding != encoding:
        return {}
    return named_encodings(record.provenance.columns, record.encodings)


def named_encodings(columns: Sequence[Column], encodings: Sequence[str]) -> dict[str, Encoding]:
    """Return the known encodings by column name; nothing where there is not one for each column."""
    if len(encodings) != len(columns):
        return {}
    named = zip(columns, map(Encoding.parse, encodings), strict=True)
    return {column.name: known for column, known in named if known is not None}


def texts_of(provenance: SlabProvenance, encodings: Mapping[str, Encoding]) -> tuple[str, ...]:
    """Return the encodings of a slab's columns as its record keeps them; none if none were chosen."""
    return tuple(str(encodings[column.name]) for column in provenance.columns) if encodings else ()


def as_text(months: bytes) -> str:
    """Return what a content digest takes of a piece's months as a record keeps it."""
    return base64.b64encode(months).decode()


def from_text(text: str) -> bytes:
    """Return the bytes that ``as_text`` wrote. Raises ValueError where it did not."""
    return base64.b64decode(text, validate=True)
