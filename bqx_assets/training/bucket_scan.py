"""Scans a training file in a bucket as a lazy frame: only the chosen columns of the row groups that are needed.

Polars can scan a ``gs://`` URI itself, but not a certain generation of it: if a publication replaced the object between
two reads, offsets of one file would be applied to the bytes of another. Every read here names the generation that was
opened, uses the store's own client, credentials and retries, and fails with a typed error if the object is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import polars as pl
from polars.io.plugins import register_io_source

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import FooterError
from bqx_assets.base.printable import some_of
from bqx_assets.base.threads import in_threads
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.chunk_reader import Unreadable, decode, group_of
from bqx_assets.quality.scan import StatedGroup, stated_groups
from bqx_assets.quality.stored_file import Source

_REQUESTS = 16
"""Ranges that are read at the same time."""
_COLUMNS_AT_ONCE = 256
"""Columns of a row group that are read and decoded together: 180 MB of a quarter's rows."""


def scan_object(source: Source, footer: Footer) -> pl.LazyFrame:
    """Return all columns of an opened training file as a lazy frame, which reads by ranges what a query needs.

    A filter's own columns are read first, and the others only of row groups in which a row passes it.

    **Shape**: the file's rows x its columns.
    **Cost**: 170 bytes a column and row group are kept; a query holds the chosen columns of one row group.
    """
    file = _Ranges(source, footer)

    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a row group is a batch
        left = n_rows
        for number in range(len(file.groups)):
            if left == 0:
                return
            frame = file.rows(number, with_columns or file.columns, predicate)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame

    return register_io_source(batches, schema=file.schema(), is_pure=True)


class _Ranges:
    """Reads and decodes columns of single row groups."""

    def __init__(self, source: Source, footer: Footer) -> None:
        self._source, self._footer = source, footer
        self.groups: Sequence[StatedGroup] = stated_groups(footer)
        # The footer makes these tuples anew each time: asked for each column, they took a minute.
        self.columns = footer.columns
        self._types = [COLUMN_TYPES[cast("str", kind)].polars for kind in footer.types]
        self._places = {name: place for place, name in enumerate(self.columns)}

    def schema(self) -> pl.Schema:
        """Return the columns with their types."""
        return pl.Schema(zip(self.columns, self._types, strict=True))

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
            return pl.DataFrame(schema={name: self._types[self._places[name]] for name in names})
        others = [name for name in names if name not in asked]
        frames = [tried.filter(passes)] + ([self._read(number, others).filter(passes)] if others else [])
        return pl.concat(frames, how="horizontal").select(names)

    def _read(self, number: int, names: Sequence[str]) -> pl.DataFrame:
        places = sorted(self._places[name] for name in names)
        some = iter(places)
        parts = [self._decoded(number, part) for part in iter(lambda: list(islice(some, _COLUMNS_AT_ONCE)), [])]
        return pl.concat(parts, how="horizontal").select(names)

    def _decoded(self, number: int, places: Sequence[int]) -> pl.DataFrame:
        stated = self.groups[number]
        ranges = group_of(number, places, stated).ranges

        def read(at: int) -> bytes:
            return self._source.read_same(ranges[at].start, ranges[at].end - ranges[at].start)

        blocks = list(in_threads(read, range(len(ranges)), _REQUESTS, "training"))
        starts = (each.start for each in ranges)
        try:
            frame = decode(self._footer, stated, places, [*zip(starts, blocks, strict=True)])
        except Unreadable as error:
            named = some_of([self.columns[place] for place in places], 3)
            raise FooterError(
                self._source.name, got=f"{named}: {error}", expected="readable pages", cure="bqx verify --all"
            ) from error
        return frame.rename({str(place): self.columns[place] for place in places})
