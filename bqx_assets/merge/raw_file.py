"""Reads one raw checkpoint: the names and types of its columns, and the rows of one pair."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from bqx_assets.base.artifacts import PAIR_KEY, SPINE_KEY
from bqx_assets.base.column_types import COLUMN_TYPES, type_of_arrow
from bqx_assets.base.errors import EmptyTable, FooterError, NullKeys, SchemaDrift
from bqx_assets.base.frame_files import parquet_schema
from bqx_assets.base.names import KEY, refuse_same_names
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import first_line, some_of
from bqx_assets.catalogue.families import PAIR_COLUMN
from bqx_assets.extract.columns import ColumnFile, as_floats
from bqx_assets.merge.footer import Footer, footer_as_file, parse_footer, select
from bqx_assets.merge.pages import Page, refuse_damaged_pages
from bqx_assets.merge.raw_source import RawSource
from bqx_assets.merge.schema import NestedColumns

NUMBERS = tuple(each.name for each in COLUMN_TYPES.values() if each.is_number)
_KEYS = ("TIMESTAMP", "DATE")
_NAMED = 5


@dataclass(frozen=True)
class RawFile:
    """A file with ``interval_time``, and perhaps a ``pair`` column, with any rows in any order.

    Methods take and return the names that columns have in their table; ``own_names`` maps the file's names that differ.
    """

    source: RawSource
    pair: Pair
    own_names: dict[str, str] = field(default_factory=dict[str, str], compare=False)
    """Filled once the footers of all files of the folder are known: see ``raw_names``."""

    @property
    def table(self) -> str:
        """The name of the file without its suffix."""
        return self.source.table

    @property
    def subject(self) -> str:
        """The pair and the table, as errors name the file."""
        return f"{self.pair}/{self.table}"

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.source.size_bytes

    def look(self) -> None:
        """Fetch the footer, and keep the names in it. Raises as ``stored``."""
        _ = self.stored

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """The names of the columns as the file has them, in its order.

        Raises:
            FooterError: it cannot be opened as a parquet file.
            ColumnCollision: BigQuery would take the names of two columns for the same one.
            SchemaDrift: the key or the pair is written in other letters.
        """
        names = tuple(name for name, _, _ in self._described)
        refuse_same_names(self.subject, ((self.table, name) for name in names))
        for name in names:
            if name.lower() in (KEY, PAIR_COLUMN) and name != name.lower():
                cure = f"Rename {name} to {name.lower()} in the file."
                raise SchemaDrift(self.subject, got=f"column {name}", expected=name.lower(), cure=cure)
        return names

    @cached_property
    def types(self) -> dict[str, str]:
        """BigQuery's name of each column's type, in the file's order; FLOAT64 for a column that never had a value."""
        kinds = ((self._own(name), kind) for name, kind, _ in self._described)
        return {name: "FLOAT64" if pt.is_null(kind) else type_of_arrow(kind) for name, kind in kinds}

    @cached_property
    def footer(self) -> Footer:
        """The footer as a merge copies it, without the file's own metadata. Raises FooterError."""
        return select(self._whole_footer, {name: self._own(name) for name in self._whole_footer.columns})

    @property
    def is_training(self) -> bool:
        """Return whether the file's metadata says that a merge has made it. Raises as ``stored``."""
        self._refuse_unsound()
        return {PAIR_KEY, SPINE_KEY} <= self._whole_footer.metadata().keys()

    @cached_property
    def decoded_bytes(self) -> dict[str, int]:
        """The memory that each column takes, decoded."""
        return {self._own(name): size_bytes for name, _, size_bytes in self._described}

    def refuse_types(self, columns: Iterable[str], allowed: Collection[str] = COLUMN_TYPES) -> None:
        """Raise SchemaDrift unless ``columns`` have one of the ``allowed`` types, and key and pair their own."""
        expected = dict.fromkeys(columns, allowed) | {KEY: _KEYS}
        expected |= {PAIR_COLUMN: ("STRING",)} if PAIR_COLUMN in self.types else {}
        wrong = [name for name, types in expected.items() if self.types[name] not in types]
        if wrong:
            types = {" or ".join(expected[name]) for name in wrong}
            stored = [
                f"{name} {kind.value_type if pt.is_dictionary(kind) else kind}"
                for name, kind, _ in self._described
                if self._own(name) in wrong
            ]
            raise SchemaDrift(
                self.subject,
                got=some_of(stored, _NAMED),
                expected="; ".join(sorted(types)),
                cure=f"Convert in the file, or leave out there: {some_of([*map(self._in_file, wrong)], _NAMED)}.",
            )

    def pages(self, columns: Sequence[str]) -> dict[str, list[Page]]:
        """Return the data pages of columns, compared with their headers and the footer. Raises FooterError."""
        with self._opened(columns) as file:
            return refuse_damaged_pages(file, self.footer, columns)

    def rows(self, columns: Sequence[str], *, floats: bool = False) -> pl.DataFrame:
        """Return the pair's rows, which are all rows if there is no ``pair`` column; its texts may be of either case.

        **Shape**: those rows x ``columns``; with ``floats`` whole numbers become FLOAT64 as well.
        **Cost**: the columns' ``decoded_bytes``; a copy where rows are left out.

        Raises:
            FooterError: a column is damaged. InexactValue: a value does not fit any type of a training file exactly.
            NullKeys, EmptyTable: a row has no pair, or no row is of this pair.
        """
        names = [*columns, *([PAIR_COLUMN] if PAIR_COLUMN in self.types else [])]
        with self._opened(names) as opened:
            refuse_damaged_pages(opened, self.footer, names)
            file, stored = self._as_columns(opened), [self._in_file(name) for name in names]
            try:
                frame = file.read(stored).rename(dict(zip(stored, names, strict=True)))
            except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
                raise self._unreadable(file.first_unreadable(stored), error) from error
        frame = frame if PAIR_COLUMN not in self.types else self._of_pair(frame).drop(PAIR_COLUMN)
        if floats:
            whole = [column for column in frame if column.dtype.is_integer()]
            frame = frame.with_columns(as_floats(column, self.subject) for column in whole)
        return frame

    def _of_pair(self, frame: pl.DataFrame) -> pl.DataFrame:
        pairs = frame.get_column(PAIR_COLUMN)
        if pairs.null_count():
            raise NullKeys(
                self.subject,
                got=f"{pairs.null_count():,} rows without {PAIR_COLUMN}",
                expected=f"a pair on every row, or no column {PAIR_COLUMN}",
                cure="Write the pair of these rows in the file, or remove them there.",
            )
        own = pairs.str.to_lowercase() == self.pair.name
        if own.all():
            return frame
        if not own.any():
            others = pairs.unique().sort().to_list()
            raise EmptyTable(
                self.subject,
                got=f"{pairs.len():,} rows of {some_of([ascii(other) for other in others], _NAMED)}",
                expected=f"rows whose {PAIR_COLUMN} is {self.pair}",
                cure=f"Write {PAIR_COLUMN} as {self.pair} in the file, or move the file away.",
            )
        return frame.filter(own)

    def _own(self, stored: str) -> str:
        return self.own_names.get(stored, stored)

    def _in_file(self, own: str) -> str:
        return next((name for name, other in self.own_names.items() if other == own), own)

    @cached_property
    def _end(self) -> bytes:
        """The end of the file, from which names and types are read here and by Arrow."""
        return self.source.end(self.subject)

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        return pq.read_metadata(BytesIO(footer_as_file(self._end)))

    @cached_property
    def _whole_footer(self) -> Footer:
        return parse_footer(self._end, self.size_bytes, self.subject)

    @cached_property
    def _described(self) -> list[tuple[str, pa.DataType, int]]:
        """The name of each column, its type in the file and its decoded bytes."""
        self._refuse_unsound()
        file = self._as_columns(BytesIO(footer_as_file(self._end)))
        return [(name, kind, file.decoded_bytes(name)) for name, kind in file.fields]

    @contextmanager
    def _opened(self, columns: Sequence[str]) -> Generator[BinaryIO]:
        """Open the file to read these columns of it."""
        self._refuse_unsound()
        places = {name: place for place, name in enumerate(self.footer.columns)}
        chunks = [group.chunks[places[name]] for group in self.footer.groups for name in columns]
        try:
            file = self.source.open((chunk.start, chunk.end) for chunk in chunks)
        except OSError as error:
            raise self._unreadable(None, error) from error
        with file:
            yield file

    def _refuse_unsound(self) -> None:
        """Refuse a bad footer by our own code first, because some of them would crash the process inside Arrow."""
        try:
            _ = self._whole_footer
        except FooterError as error:
            cause, got = error.__cause__, ""
            if isinstance(cause, UnicodeDecodeError):
                got = f"a column named {cause.object!r}"
            if isinstance(cause, NestedColumns):
                got = some_of(self._nested(), _NAMED)
            if not got:
                raise
            expected = f"names of letters, digits and underscores, types {' or '.join(COLUMN_TYPES)}"
            cure = "Rename or convert the column in the file, or leave it out there."
            raise SchemaDrift(self.subject, got=got, expected=expected, cure=cure) from error

    def _nested(self) -> list[str]:
        """Return the columns that are not flat, with their types; none if Arrow does not open the file either."""
        try:
            fields: list[Any] = [*pq.read_schema(BytesIO(footer_as_file(self._end)))]
        except (pa.ArrowException, OSError):
            return []
        return [f"{each.name} {each.type}" for each in fields if pt.is_nested(each.type)]

    def _as_columns(self, file: BinaryIO) -> ColumnFile:
        try:
            return ColumnFile(file, self.subject, self._metadata)
        except pa.ArrowNotImplementedError as error:
            wide = [
                f"{name} {kind}"
                for name, kind in parquet_schema(footer_as_file(self._end)).items()
                if str(kind).endswith("128")
            ]
            raise SchemaDrift(
                self.subject,
                got=some_of(wide, _NAMED) or first_line(error),
                expected=" or ".join(COLUMN_TYPES),
                cure="Convert the column in the file, or leave it out there.",
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(None, error) from error

    def _unreadable(self, column: str | None, error: Exception) -> FooterError:
        text = first_line(error)
        return FooterError(
            self.subject,
            got=f"column {column}: {text}" if column else text,
            expected="a whole parquet file",
            cure="Fetch it again.",
        )
