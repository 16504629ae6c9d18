"""One raw checkpoint made into a slab: spliced as it lies where its rows are the spine's, else aligned and encoded.

Belongs here: one table's rows, types, quarantine and record. Does not: which files are a pair's (``raw``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord, Spine
from bqx_assets.base.errors import FooterError, SchemaDrift
from bqx_assets.base.frame_files import parquet_schema, read_parquet
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.families import PAIR_COLUMN, family_of
from bqx_assets.extract.align import Placement, align, as_key, place
from bqx_assets.extract.leaks import ForwardLook
from bqx_assets.merge.encoded import cast, encode, provenance_of, record_of
from bqx_assets.merge.footer import Footer, read_footer, select, trim
from bqx_assets.merge.parts import Piece, Slab

_COPIES = 3
"""Columns stand in memory as read, aligned, and while they are encoded."""
_STRIP_BYTES = 32 << 20
"""Decoded size of a table's columns in work at once; a single column of a very long history may pass it."""


@dataclass(frozen=True, slots=True)
class RawSpine:
    """The spine that all raw tables are put onto."""

    facts: Spine
    keys: pl.Series
    forward: ForwardLook


@dataclass(frozen=True)
class SpinePart:
    """The targets file: always encoded anew, 50 columns."""

    path: Path
    pair: Pair
    spine: RawSpine
    settings: Settings
    columns: tuple[Column, ...]
    rows: RowAccount

    @property
    def table(self) -> str:
        """The file's stem."""
        return self.path.stem

    @property
    def size_bytes(self) -> int:
        """The raw file's size, as an estimate."""
        return self.path.stat().st_size

    @property
    def column_count(self) -> int:
        """Key and targets."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """What the frame takes as read, aligned and encoded."""
        return _COPIES * 8 * self.spine.facts.rows * len(self.columns)

    def prepare(self, scratch: Path) -> Slab:
        """Return the spine's rows of the file as a slab."""
        piece = encode(self._rows(), self.columns, scratch, self.table, self.spine.facts)
        return Slab((piece,), record_of([piece.span], self._provenance()), note="aligned", temporary=True)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return key and targets on the spine's rows."""
        return self._rows(), record_of([(self.path, 0)], self._provenance())

    def _rows(self) -> pl.DataFrame:
        subject = f"{self.pair}/{self.table}"
        names = [column.source for column in self.columns]
        read = read_rows(self.path, self.pair, names, subject)
        aligned, _ = align(read, self.spine.keys, subject=subject, policy=self.settings.duplicates)
        return aligned.insert_column(0, self.spine.keys)

    def _provenance(self) -> SlabProvenance:
        return provenance_of(
            self.path,
            self.pair,
            self.spine.facts,
            role="spine",
            family="targets",
            columns=self.columns,
            rows=self.rows,
            policy=self.settings.duplicates,
        )


@dataclass(frozen=True)
class RawTable:
    """A feature table's file."""

    path: Path
    pair: Pair
    spine: RawSpine
    settings: Settings
    names: tuple[str, ...]
    """All its columns."""

    @property
    def table(self) -> str:
        """The file's stem."""
        return self.path.stem

    @property
    def size_bytes(self) -> int:
        """The raw file's size, as an estimate."""
        return self.path.stat().st_size

    @property
    def column_count(self) -> int:
        """Features, those that may turn out to look forward included."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """What its columns in work take, in all their copies."""
        return _COPIES * max(self._column_bytes, min(_STRIP_BYTES, self._column_bytes * len(self.names)))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Features under their output names, without those whose name looks forward; types by the file."""
        prefix = table_prefix(self.table, self.pair)
        types = parquet_schema(self.path)
        kept = [name for name in self.names if name not in (KEY, PAIR_COLUMN) and not self._looks_forward(name)]
        return tuple(
            Column(name=output_column(prefix, name), source=name, type=_type_name(types[name], name, self._subject))
            for name in kept
        )

    @cached_property
    def _footer(self) -> Footer:
        return read_footer(self.path, self._subject)

    @property
    def _column_bytes(self) -> int:
        """A column's decoded size, on average: texts may be longer than numbers."""
        return max(8 * self.spine.facts.rows, 8 * self._footer.rows, self._footer.raw_bytes // len(self.names))

    @property
    def _subject(self) -> str:
        return f"{self.pair}/{self.table}"

    def _looks_forward(self, name: str) -> bool:
        return name.startswith(FORWARD_PREFIX) and not self.settings.include_forward_looking

    def prepare(self, scratch: Path) -> Slab:
        """Return the table as a slab. **Cost**: ``_STRIP_BYTES`` of its columns in memory, about three times.

        Raises:
            TableDefect: null or repeated keys, no row on the spine.
            FooterError: damaged.
        """
        placed = self._place()
        whole = placed.found is None and self._lies_right()
        pieces: list[Piece] = []
        looking: dict[str, str] = {}
        for columns in self._strips():
            frame, found = self._strip(columns, placed)
            looking |= found
            kept = [column for column in columns if column.source not in found]
            if kept and not whole:
                pieces.append(encode(frame, kept, scratch, self.table, self.spine.facts))
        provenance = self._provenance(placed.rows, looking)
        if pieces:
            record = record_of([piece.span for piece in pieces], provenance)
            return Slab(tuple(pieces), record, note="aligned", temporary=True)
        narrowed = select(self._footer, {column.source: column.name for column in provenance.columns})
        piece = Piece(self.path, *trim(narrowed))  # the key comes first in most files: 8 bytes a row nobody would read
        return Slab((piece,), record_of([piece.span], provenance), note="as it lies")

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the features on the spine's rows."""
        placed = self._place()
        strips = [self._strip(columns, placed) for columns in self._strips()]
        whole = pl.concat([frame for frame, _ in strips], how="horizontal")
        provenance = self._provenance(placed.rows, {name: why for _, found in strips for name, why in found.items()})
        return whole.select(cast(column) for column in provenance.columns), record_of([(self.path, 0)], provenance)

    def _place(self) -> Placement:
        key = as_key(self._read([KEY]), self._subject)
        return place(key, self.spine.keys, subject=self._subject, policy=self.settings.duplicates)

    def _lies_right(self) -> bool:
        """Whether the file's own pages can stand in the training file, its rows being the spine's."""
        if self._footer.row_groups != self.spine.facts.row_groups:
            return False
        narrowed = select(self._footer, {column.source: column.name for column in self.columns})
        return narrowed.types == tuple(column.type for column in self.columns)

    def _strips(self) -> list[tuple[Column, ...]]:
        """Columns in runs that fit ``_STRIP_BYTES``, as far as one column does."""
        width = max(1, _STRIP_BYTES // self._column_bytes)
        return [self.columns[start : start + width] for start in range(0, len(self.columns), width)]

    def _strip(self, columns: Sequence[Column], placed: Placement) -> tuple[pl.DataFrame, dict[str, str]]:
        """Return the columns on the spine's rows, and why some of them look forward."""
        frame = placed.put(self._read([column.source for column in columns]))
        return frame, {} if self.settings.include_forward_looking else self.spine.forward.find_all(frame)

    def _read(self, names: Sequence[str]) -> pl.DataFrame:
        pair = [PAIR_COLUMN] if PAIR_COLUMN in self.names else []
        return read_rows(self.path, self.pair, [*names, *pair], self._subject)

    def _provenance(self, rows: RowAccount, looking: Mapping[str, str]) -> SlabProvenance:
        named = {name: "its name looks forward" for name in self.names if self._looks_forward(name)}
        return provenance_of(
            self.path,
            self.pair,
            self.spine.facts,
            role="feature",
            family=raw_family(self.table, self.pair),
            columns=tuple(column for column in self.columns if column.source not in looking),
            rows=rows,
            policy=self.settings.duplicates,
            quarantined=tuple(
                Quarantined(table=self.table, column=name, reason=why) for name, why in {**named, **looking}.items()
            ),
        )


def raw_family(table: str, pair: Pair) -> str:
    """Return the family of a file's table; "other" for names that no family's rule selects."""
    return family_of(table, pair) or "other"


def read_rows(path: Path, pair: Pair, columns: Sequence[str], subject: str) -> pl.DataFrame:
    """Return the pair's rows of a file, without the ``pair`` column. Raises FooterError where it is damaged."""
    try:
        frame = read_parquet(path, columns)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FooterError(
            subject, got=str(error).splitlines()[0], expected="a whole parquet file", cure="Fetch it again."
        ) from error
    if PAIR_COLUMN in columns:
        frame = frame.filter(pl.col(PAIR_COLUMN).str.to_lowercase() == pair.name).drop(PAIR_COLUMN)
    return frame


def _type_name(dtype: pl.DataType, name: str, subject: str) -> str:
    if dtype.is_integer():
        return "INT64"
    if dtype.is_float() or dtype == pl.Null:
        return "FLOAT64"
    known: dict[type[pl.DataType], str] = {
        pl.String: "STRING",
        pl.Categorical: "STRING",
        pl.Boolean: "BOOL",
        pl.Datetime: "TIMESTAMP",
    }
    found = known.get(dtype.base_type())
    if found is None:
        raise SchemaDrift(
            subject, got=f"{name} {dtype}", expected="numbers, texts, flags or timestamps", cure="Convert the column."
        )
    return found
