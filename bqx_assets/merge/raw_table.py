"""One raw checkpoint made into a slab: spliced as it lies where its rows are the spine's, else aligned and encoded.

Belongs here: one table's rows, types, quarantine and record. Does not: which files are a pair's (``raw``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import FooterError, SchemaDrift
from bqx_assets.base.files import TEMP_MARK
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.families import PAIR_COLUMN, family_of
from bqx_assets.extract.align import KEY_TYPE, align, as_key
from bqx_assets.extract.leaks import ForwardLook
from bqx_assets.extract.slabs import slab_fingerprint
from bqx_assets.merge.footer import Footer, read_footer, select
from bqx_assets.merge.parts import Slab

_DATASET = "raw"
_COPIES = 4
"""A table stands in memory as read, aligned, renamed, and while it is encoded."""


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
        """What the frame takes, in all its copies."""
        return _COPIES * 8 * self.spine.facts.rows * len(self.columns)

    def prepare(self, scratch: Path) -> Slab:
        """Return the spine's rows of the file as a slab."""
        frame = self._rows()
        return _encode(frame, scratch, self._provenance(), self.spine.facts)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return key and targets on the spine's rows."""
        return self._rows(), _record(self.path, self._provenance())

    def _rows(self) -> pl.DataFrame:
        subject = f"{self.pair}/{self.table}"
        names = [column.source for column in self.columns]
        read = read_rows(self.path, self.pair, names, subject)
        read = read.with_columns(as_key(read, subject)).filter(pl.col(KEY).is_in(self.spine.keys.implode()))
        aligned, _ = align(read, self.spine.keys, subject=subject, policy=self.settings.duplicates)
        return aligned.insert_column(0, self.spine.keys)

    def _provenance(self) -> SlabProvenance:
        return _provenance(self, "spine", "targets", self.columns, self.rows, ())


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
        """What its rows take, in all their copies."""
        rows = max(self.spine.facts.rows, self._footer.rows)
        return max(_COPIES * 8 * rows * len(self.names), 2 * self._footer.raw_bytes)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Features under their output names, without those whose name looks forward; types by the file."""
        prefix = table_prefix(self.table, self.pair)
        types = pl.read_parquet_schema(self.path)
        kept = [name for name in self.names if name not in (KEY, PAIR_COLUMN) and not self._looks_forward(name)]
        return tuple(
            Column(name=output_column(prefix, name), source=name, type=_type_name(types[name], name, self._subject))
            for name in kept
        )

    @cached_property
    def _footer(self) -> Footer:
        return read_footer(self.path, self._subject)

    @property
    def _subject(self) -> str:
        return f"{self.pair}/{self.table}"

    def _looks_forward(self, name: str) -> bool:
        return name.startswith(FORWARD_PREFIX) and not self.settings.include_forward_looking

    def prepare(self, scratch: Path) -> Slab:
        """Return the table as a slab. **Cost**: the table in memory, about four times.

        Raises:
            TableDefect: null or repeated keys, no row on the spine.
            FooterError: damaged.
        """
        aligned, provenance, in_place = self._aligned()
        if in_place and self._footer.row_groups == self.spine.facts.row_groups:
            narrowed = select(self._footer, {column.source: column.name for column in provenance.columns})
            if narrowed.types == tuple(column.type for column in provenance.columns):
                return Slab(self.path, narrowed, _record(self.path, provenance), note="as it lies")
        renamed = aligned.select(_cast(column) for column in provenance.columns)
        return _encode(renamed, scratch, provenance, self.spine.facts)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the features on the spine's rows."""
        aligned, provenance, _ = self._aligned()
        return aligned.select(_cast(column) for column in provenance.columns), _record(self.path, provenance)

    def _aligned(self) -> tuple[pl.DataFrame, SlabProvenance, bool]:
        """Features on the spine's rows, their record, and whether the file's own rows are the spine's in order."""
        wanted = [KEY, *(column.source for column in self.columns)]
        wanted += [PAIR_COLUMN] if PAIR_COLUMN in self.names else []
        frame = read_rows(self.path, self.pair, wanted, self._subject)
        key = as_key(frame, self._subject)
        in_place = self._footer.rows == key.len() == self.spine.facts.rows and bool((key == self.spine.keys).all())
        aligned, rows = align(frame, self.spine.keys, subject=self._subject, policy=self.settings.duplicates)
        quarantined = [
            Quarantined(table=self.table, column=name, reason="its name looks forward")
            for name in self.names
            if self._looks_forward(name)
        ]
        looking = {} if self.settings.include_forward_looking else self.spine.forward.find_all(aligned)
        quarantined += [Quarantined(table=self.table, column=name, reason=why) for name, why in looking.items()]
        kept = tuple(column for column in self.columns if column.source not in looking)
        family = raw_family(self.table, self.pair)
        return aligned, _provenance(self, "feature", family, kept, rows, tuple(quarantined)), in_place


def raw_family(table: str, pair: Pair) -> str:
    """Return the family of a file's table; "other" for names that no family's rule selects."""
    return family_of(table, pair) or "other"


def read_rows(path: Path, pair: Pair, columns: Sequence[str], subject: str) -> pl.DataFrame:
    """Return the pair's rows of a file, without the ``pair`` column. Raises FooterError where it is damaged."""
    try:
        frame = pl.read_parquet(path, columns=list(columns))
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


def _cast(column: Column) -> pl.Expr:
    types: dict[str, pl.DataType] = {
        "INT64": pl.Int64(),
        "FLOAT64": pl.Float64(),
        "STRING": pl.String(),
        "BOOL": pl.Boolean(),
        "TIMESTAMP": KEY_TYPE,
    }
    return pl.col(column.source).cast(types[column.type]).alias(column.name)


def _provenance(
    part: SpinePart | RawTable,
    role: Literal["spine", "feature"],
    family: str,
    columns: tuple[Column, ...],
    rows: RowAccount,
    quarantined: tuple[Quarantined, ...],
) -> SlabProvenance:
    stat = part.path.stat()
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    source = SourceTable(
        dataset=_DATASET,
        table=part.table,
        last_modified=modified,
        etag=f"{stat.st_size}-{stat.st_mtime_ns}",
        rows=rows.read,
        size_bytes=stat.st_size,
    )
    spine, policy = part.spine.facts.fingerprint, part.settings.duplicates
    return SlabProvenance(
        pair=part.pair.name,
        role=role,
        family=family,
        fingerprint=slab_fingerprint(source, columns, spine_fingerprint=spine, filters={}, policy=policy),
        spine_fingerprint=spine,
        source=source,
        snapshot_time=modified,
        rows=rows,
        duplicate_policy=policy,
        columns=columns,
        quarantined=quarantined,
    )


def _encode(frame: pl.DataFrame, scratch: Path, provenance: SlabProvenance, spine: Spine) -> Slab:
    table = provenance.source.table
    # A name that remove_partials knows: a killed merge's leavings go at the next one.
    path = scratch / f".{table}.parquet{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"
    frame.write_parquet(
        path, compression="zstd", compression_level=1, statistics=True, row_group_size=max(spine.row_groups)
    )
    record = _record(path, provenance).model_copy(update={"object_name": f"{table}.parquet"})
    return Slab(path, read_footer(path, table), record, note="aligned", temporary=True)


def _record(path: Path, provenance: SlabProvenance) -> SlabRecord:
    return SlabRecord(
        provenance=provenance, object_name=path.name, size_bytes=path.stat().st_size, crc32c=crc32c_of_file(path)
    )
