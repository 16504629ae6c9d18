"""Scans a training file in a bucket as a lazy frame: only the chosen columns of the row groups that are needed.

Polars can scan a ``gs://`` URI itself, but not a certain generation of it: if a publication replaced the object between
two reads, offsets of one file would be applied to the bytes of another. Every read here names the generation that was
opened, uses the store's own client, credentials and retries, and fails with a typed error if the object is gone.

The footer of 24 periods of 17,000 columns has 409,000 chunks. Arrow reads it in half a second and is asked for the
chunks of the chosen columns alone; checking all of them in Python, as a validation does, takes 11 s. The bytes are
those of the manifest, as the store's CRC32C says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import FooterError
from bqx_assets.base.parquet_fields import (
    BIT_PACKED,
    BROTLI,
    DELTA,
    DELTA_BYTES,
    DELTA_LENGTH,
    GZIP,
    LZ4,
    PLAIN,
    PLAIN_DICTIONARY,
    RLE,
    RLE_DICTIONARY,
    SNAPPY,
    SPLIT,
    UNCOMPRESSED,
    ZSTD,
)
from bqx_assets.base.printable import some_of
from bqx_assets.base.threads import in_threads
from bqx_assets.merge.chunks import UNKNOWN, Chunk
from bqx_assets.merge.footer import Footer, RowGroup, footer_as_file, parse_columns
from bqx_assets.quality.chunk_reader import Unreadable, decode, group_of
from bqx_assets.quality.scan import stated_groups
from bqx_assets.quality.stored_file import Source

_REQUESTS = 16
"""Ranges that are read at the same time."""
_COLUMNS_AT_ONCE = 256
"""Columns of a row group that are read and decoded together: 180 MB of a quarter's rows."""


def scan_object(source: Source, end: bytes) -> pl.LazyFrame:
    """Return all columns of an opened training file as a lazy frame, which reads by ranges what a query needs.

    ``end`` is the file's footer with its length and the magic. A filter's own columns are read first, and the others
    only of row groups in which a row passes it.

    **Shape**: the file's rows x its columns.
    **Cost**: ``end`` is kept, 120 bytes a column and row group. A query takes half a second to read 50 MB of it, holds
    six times its size, and the chosen columns of one row group.

    Raises:
        FooterError: the columns cannot be read.
    """
    file = _File(source, end)

    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a row group is a batch
        left = n_rows
        ranges = _Ranges(file)
        for number in range(ranges.groups):
            if left == 0:
                return
            frame = ranges.rows(number, with_columns or [*file.places], predicate)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame

    return register_io_source(batches, schema=file.schema(), is_pure=True)


class _File:
    """An opened file, and its columns."""

    def __init__(self, source: Source, end: bytes) -> None:
        self.source, self.end = source, end
        self.leaves = parse_columns(end, source.size_bytes, source.name)
        self.places = {leaf.name: place for place, leaf in enumerate(self.leaves)}

    def schema(self, names: Iterable[str] | None = None) -> pl.Schema:
        """Return the columns with their types: all, or those that are named."""
        leaves = self.leaves if names is None else (self.leaves[self.places[name]] for name in names)
        return pl.Schema({leaf.name: COLUMN_TYPES[cast("str", leaf.type)].polars for leaf in leaves})


class _Ranges:
    """Reads and decodes columns of single row groups."""

    def __init__(self, file: _File) -> None:
        self._file, self._stated = file, pq.read_metadata(pa.BufferReader(footer_as_file(file.end)))
        self.groups = self._stated.num_row_groups

    def rows(self, number: int, names: Sequence[str], predicate: pl.Expr | None) -> pl.DataFrame:
        """Return the rows of a row group that pass the predicate.

        **Shape**: those rows x ``names``.
        """
        if predicate is None:
            return self._read(number, names)
        asked = dict.fromkeys(predicate.meta.root_names())
        tried = self._read(number, [*asked])
        passes = tried.select(predicate.alias("passes"))["passes"]
        if not passes.any():
            return pl.DataFrame(schema=self._file.schema(names))
        others = [name for name in names if name not in asked]
        frames = [tried.filter(passes)] + ([self._read(number, others).filter(passes)] if others else [])
        return pl.concat(frames, how="horizontal").select(names)

    def _read(self, number: int, names: Sequence[str]) -> pl.DataFrame:
        places = sorted(self._file.places[name] for name in names)
        some = iter(places)
        parts = [self._decoded(number, part) for part in iter(lambda: list(islice(some, _COLUMNS_AT_ONCE)), [])]
        return pl.concat(parts, how="horizontal").select(names)

    def _decoded(self, number: int, places: Sequence[int]) -> pl.DataFrame:
        footer, source = self._footer(number, places), self._file.source
        (stated,) = stated_groups(footer)
        ranges = group_of(0, range(len(places)), stated).ranges

        def read(at: int) -> bytes:
            return source.read_same(ranges[at].start, ranges[at].end - ranges[at].start)

        blocks = list(in_threads(read, range(len(ranges)), _REQUESTS, "training"))
        starts = (each.start for each in ranges)
        try:
            frame = decode(footer, stated, range(len(places)), [*zip(starts, blocks, strict=True)])
        except Unreadable as error:
            named = some_of([*footer.columns], 3)
            raise FooterError(
                source.name, got=f"{named}: {error}", expected="readable pages", cure="bqx verify --all"
            ) from error
        frame.columns = [*footer.columns]
        return frame

    def _footer(self, number: int, places: Sequence[int]) -> Footer:
        """Return the footer of a row group's columns at ``places`` alone."""
        group = self._stated.row_group(number)
        chunks = tuple(_chunk(group.column(place), self._file.leaves[place].kind) for place in places)
        leaves = tuple(self._file.leaves[place] for place in places)
        return Footer(self._file.source.name, self._file.source.size_bytes, leaves, (RowGroup(group.num_rows, chunks),))


def _chunk(stated: pq.ColumnChunkMetaData, kind: int) -> Chunk:
    """Return a chunk as Arrow states it, without statistics."""
    dictionary = stated.dictionary_page_offset
    return Chunk(
        b"", kind, stated.num_values, tuple(_ENCODINGS[each] for each in stated.encodings),
        _CODECS[stated.compression], stated.total_uncompressed_size, stated.total_compressed_size,
        stated.data_page_offset, UNKNOWN if dictionary is None else dictionary, UNKNOWN,
        None, None, None, None, (), (0, 0, False),
    )  # fmt: skip


_ENCODINGS = {
    "PLAIN": PLAIN, "PLAIN_DICTIONARY": PLAIN_DICTIONARY, "RLE": RLE, "BIT_PACKED": BIT_PACKED,
    "DELTA_BINARY_PACKED": DELTA, "DELTA_LENGTH_BYTE_ARRAY": DELTA_LENGTH, "DELTA_BYTE_ARRAY": DELTA_BYTES,
    "RLE_DICTIONARY": RLE_DICTIONARY, "BYTE_STREAM_SPLIT": SPLIT,
}  # fmt: skip
_CODECS = {
    "UNCOMPRESSED": UNCOMPRESSED, "SNAPPY": SNAPPY, "GZIP": GZIP, "BROTLI": BROTLI, "ZSTD": ZSTD, "LZ4": LZ4,
}  # fmt: skip
"""Arrow's names. It calls both forms of LZ4 by one; a training file has the newer one, which all readers take."""
