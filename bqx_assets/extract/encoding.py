"""Writes columns as Parquet, each in the encoding that was chosen for it.

Slabs and the columns that a merge encodes itself are written in this one way. The join and the frames of other Dagster
assets are written as Polars does by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, SlabProvenance
from bqx_assets.base.checksums import Sums, sums_of_blocks
from bqx_assets.base.content import Contents
from bqx_assets.base.files import Blocks
from bqx_assets.extract.encodings import PARQUET_NAMES, Encoding
from bqx_assets.extract.strips import JoinedFile, collected, strips

_PAGE_ROWS = 131_072
"""Number of rows in a page, of which each byte of a float then fills one block of zstd: pages of 20,000 rows, Arrow's
default, give 2 to 5% larger files and take longer."""
_PAGE_BYTES = 2 << 20
"""Size of a page, which only long texts reach: as pages of 131,072 rows they would be in memory twice, 30 MB each."""
_BATCH_ROWS = 16_384
"""Number of rows that Arrow encodes at once: a tenth less time than by its default of 1,024. Of long texts it is fewer,
because Arrow ends a page only after a batch."""
_BATCH_BYTES = 64 << 20
"""Size of a batch if all its texts were as long as the longest; Arrow refuses a page of 2 GiB."""


END_BLOCKS = 3
"""Arrow writes the footer, its length and the magic as three last blocks."""


def parquet_writer(path: Path | Blocks, frame: pl.DataFrame, encodings: Mapping[str, Encoding]) -> pq.ParquetWriter:
    """Return an open writer for row groups with the columns of ``frame`` in their ``encodings``."""
    in_dictionary = [name for name, each in encodings.items() if each.kind == "dictionary"]
    others = {name: PARQUET_NAMES[each.kind] for name, each in encodings.items() if each.kind != "dictionary"}
    return pq.ParquetWriter(
        cast("Path", path),
        as_arrow(frame.clear()).schema,
        compression={name: each.codec for name, each in encodings.items()},
        compression_level={name: each.level for name, each in encodings.items() if each.level is not None},
        use_dictionary=in_dictionary,  # pyright: ignore[reportArgumentType] -- names as well
        column_encoding=others or None,
        max_rows_per_page=_PAGE_ROWS,
        data_page_size=_PAGE_BYTES,
        write_batch_size=_batch_rows(frame),
        store_schema=False,
    )


def encoded_blocks(frame: pl.DataFrame, encodings: Mapping[str, Encoding], row_group_rows: int) -> list[bytes]:
    """Return a frame (any rows x columns) as a parquet file in memory; its last ``END_BLOCKS`` blocks are its end."""
    output = Blocks()
    with parquet_writer(output, frame, encodings) as writer:
        writer.write_table(as_arrow(frame), row_group_size=row_group_rows)
    return output.blocks


def _batch_rows(frame: pl.DataFrame) -> int:
    """Return how many rows are encoded at once, by the column with the longest texts, on average and at most."""
    rows = _BATCH_ROWS
    for column in frame.iter_columns():
        if isinstance(column.dtype, pl.String):
            lengths = column.str.len_bytes()
            mean, longest = cast("float", lengths.mean() or 0.0), cast("int", lengths.max() or 0)
            rows = min(rows, int(_PAGE_BYTES / max(1.0, mean)), _BATCH_BYTES // max(1, longest))
    return max(1, rows)


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return the frame's rows and columns as Arrow. Nothing is copied, and equal texts are still stored once.

    As plain texts, 22 columns of 220 characters took 1 GB instead of 20 kB of dictionaries, and 12 times as long.
    """
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


ProvenanceAtEnd = Callable[[], SlabProvenance]
"""Called once, after the last frame: only then the account of all rows is complete."""
Choose = Callable[[pl.DataFrame], dict[str, Encoding]]
"""Returns the encoding of each column from a row group's rows; see ``choose.choose``."""


class EncodedPiece(NamedTuple):
    """A piece of a slab: a parquet file of one row group in memory."""

    provenance: SlabProvenance
    encodings: dict[str, Encoding]
    """The encoding of each column, by name."""
    blocks: tuple[bytes, ...]
    """The bytes of the file, in order."""
    sums: Sums
    """Size and checksums of the file."""
    end_bytes: int
    """The size of the footer with its length and the magic."""


def encode_piece(
    frames: Iterable[pl.DataFrame],
    rows: int,
    provenance: ProvenanceAtEnd,
    choose: Choose,
    contents: Contents | None = None,
) -> EncodedPiece:
    """Return frames of the same columns as one row group of a parquet file with its provenance as metadata.

    **Shape**: ``rows`` rows x the provenance's columns, in one frame or more. ``contents`` gets all values.
    **Cost**: memory for the decoded piece, some frames and 64 MiB: encoded columns take the place of decoded ones. Of a
    single frame, both.

    Raises what ``frames`` raises, unchanged; ValueError if they have another number of rows.
    """
    columns = collected(frames, rows)
    encodings, file = choose(pl.DataFrame(list(columns.values()))), JoinedFile()
    for strip in strips(columns):
        if contents is not None:
            contents.add(as_arrow(strip))
        blocks = encoded_blocks(strip, {name: encodings[name] for name in strip.columns}, rows)
        del strip
        file.add(blocks[:-END_BLOCKS], blocks[-END_BLOCKS])
    told = provenance()
    end_bytes = file.close({SLAB_METADATA_KEY: told.model_dump_json()})
    return EncodedPiece(told, encodings, tuple(file.blocks), sums_of_blocks(file.blocks), end_bytes)
