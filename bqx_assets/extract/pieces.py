"""Makes the piece of a table in one period, and the slab of a table's pieces.

``spine`` and ``table`` decide on the rows of a piece, ``encoding`` encodes them, ``slabs`` keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import polars as pl

from bqx_assets.base.artifacts import Piece, Quarantined, SlabProvenance, SlabRecord
from bqx_assets.base.content import Contents, digest_of, periods_of
from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import ProvenanceAtEnd, encode_piece
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.periods import is_within
from bqx_assets.extract.slab_records import KeptPiece, TableRecord, as_text, from_text, named_encodings, texts_of
from bqx_assets.extract.slabs import Slabs


def write_piece(  # noqa: PLR0913 -- one parameter a fact
    slabs: Slabs,
    table: str,
    period: str,
    keys: pl.Series,
    frames: Iterable[pl.DataFrame],
    provenance: ProvenanceAtEnd,
    *,
    encoding: EncodingPolicy,
    by_value: Callable[[], Iterable[Quarantined]] = tuple,
    after: datetime | None = None,
) -> KeptPiece:
    """Encode the rows of a period, and keep them as the table's piece.

    **Shape**: the frames have the period's ``keys`` in order, one below another, x the provenance's columns.
    ``by_value`` is called after the last frame. A column keeps the encoding that it has in the table's other pieces,
    unless another is a tenth cheaper. **Cost**: as of ``encode_piece``.

    Raises what ``frames`` raises, unchanged.
    """
    contents = Contents(periods_of(keys))
    before = encodings_before(slabs.kept(table), encoding)
    encoded = encode_piece(frames, keys.len(), provenance, lambda rows: choose(rows, encoding, before), contents)
    told = encoded.provenance
    piece = Piece(
        period=period,
        fingerprint=told.fingerprint,
        spine_fingerprint=told.spine_fingerprint,
        snapshot_time=told.snapshot_time,
        rows=told.rows,
        object_name=slabs.object_name(table, period),
        **encoded.sums._asdict(),
    )
    kept = KeptPiece(
        piece=piece,
        columns=told.columns,
        by_value=tuple(by_value()),
        encodings=texts_of(told, encoded.encodings),
        months=tuple(map(as_text, contents.months(column.name for column in told.columns))),
        after=after,
    )
    slabs.put(kept, encoded, encoding)
    return kept


def pieces_within(record: TableRecord | None, period: str) -> list[KeptPiece]:
    """Return a table's pieces of shorter periods within a period, in order: another unit cut them."""
    pieces = record.pieces if record is not None else ()
    return [kept for kept in pieces if is_within(kept.piece.period, period)]


def encodings_before(record: TableRecord | None, encoding: EncodingPolicy) -> dict[str, Encoding]:
    """Return the encodings of a table's last piece by column name; nothing if another setting chose them."""
    if record is None or record.encoding != encoding or not record.pieces:
        return {}
    return named_encodings(record.pieces[-1].columns, record.pieces[-1].encodings)


def slab_of(slabs: Slabs, pieces: Sequence[KeptPiece], provenance: SlabProvenance, encoding: str) -> SlabRecord:
    """Return the slab of a table's pieces, after its record is written and its other pieces are removed."""
    slab = SlabRecord(
        provenance=provenance,
        pieces=tuple(kept.piece for kept in pieces),
        content=tuple(
            digest_of(from_text(kept.months[place]) for kept in pieces) for place in range(len(provenance.columns))
        ),
        encoding=encoding,
        encodings=pieces[-1].encodings,
    )
    slabs.finish(TableRecord(table=slab.table, encoding=encoding, pieces=tuple(pieces), slab=slab))
    return slab
