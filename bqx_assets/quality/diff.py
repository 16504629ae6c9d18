"""Compares two training files by the digests that their manifests record, or value by value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.artifacts import Manifest, Record
from bqx_assets.base.errors import DuplicateKeys, FooterError, NullKeys
from bqx_assets.base.names import KEY, SEPARATOR
from bqx_assets.base.printable import some_of
from bqx_assets.base.progress import Progress
from bqx_assets.extract.columns import KEY_TYPE, as_moments
from bqx_assets.merge.footer import Footer
from bqx_assets.merge.result import content_digest
from bqx_assets.quality.chunk_reader import GROUP_BYTES, Unreadable, decode, group_of
from bqx_assets.quality.scan import StatedGroup, stated_groups, without_chunks
from bqx_assets.quality.stored_file import Source, footer_of, read_end

STAGE = "diff"
_FIRST = 5
"""Number of keys that are named for each difference."""
_MOST_COLUMNS = 256
_NAMED = 3


class Side(Record):
    """The facts of one of the two files."""

    name: str
    rows: int
    columns: int
    content_digest: str | None


class Rows(Record):
    """A number of rows, and the first of their keys."""

    count: int
    first_keys: tuple[str, ...] = ()


class ColumnDifference(Record):
    """A column that both files have with different values or types."""

    column: str
    table: str
    types: tuple[str, str] | None = None
    """Both types if they differ; values are not compared then."""
    rows: Rows | None = None
    """Rows of both files in which its value differs; None if no value was read."""


class Difference(Record):
    """The differences between two files."""

    same: bool
    by: Literal["digests", "values"]
    a: Side
    b: Side
    columns_only_in_a: tuple[str, ...] = ()
    columns_only_in_b: tuple[str, ...] = ()
    rows_only_in_a: Rows = Rows(count=0)
    rows_only_in_b: Rows = Rows(count=0)
    columns: tuple[ColumnDifference, ...] = ()
    expectations: tuple[str, str] | None = None
    """Digests of the two files' expectations if both manifests state them and they differ."""
    tables: tuple[str, ...] = ()
    """Source tables of the columns that differ or are in one file only."""


def has_digests(manifest: Manifest | None) -> bool:
    """Return whether a manifest states a digest for each column, and a file digest that follows from them."""
    if manifest is None or manifest.file.content_digest is None:
        return False
    return content_digest(manifest.extraction.slabs) == manifest.file.content_digest


def diff_manifests(a: Manifest, b: Manifest) -> Difference:
    """Compare two files by the digests in their manifests, which both have. **Cost**: no value is read."""
    known_a, known_b = _digests(a), _digests(b)
    tables = _tables(a) | _tables(b)
    types = [{c.name: c.type for s in each.extraction.slabs for c in s.provenance.columns} for each in (a, b)]
    found = [
        ColumnDifference(
            column=name,
            table=tables[name],
            types=None if types[0][name] == types[1][name] else (types[0][name], types[1][name]),
        )
        for name, digest in known_a.items()
        if name in known_b and known_b[name] != digest
    ]
    sides = [
        Side(name=m.file.name, rows=m.file.rows, columns=m.file.columns, content_digest=m.file.content_digest)
        for m in (a, b)
    ]
    return _difference("digests", (sides[0], sides[1]), (list(known_a), list(known_b)), found, tables)


def diff_values(a: WideFile, b: WideFile, only: Collection[str] | None, progress: Progress) -> Difference:
    """Compare two files value by value, matching rows by their keys.

    ``only``: the columns to read; the others are known to be equal.

    **Cost**: each column of both files is read and decoded once. Memory: ``GROUP_BYTES`` of each file, and both keys.

    Raises:
        NullKeys, DuplicateKeys: the keys do not tell which rows belong together.
        FooterError: a file, or one of its columns, cannot be read.
    """
    every = (*a.columns, *b.columns)
    tables = {name: a.tables.get(name) or b.tables.get(name) or _prefix(name) for name in every}
    keys_a, keys_b = a.keys(), b.keys()
    rows, only_a, only_b = _common(keys_a, keys_b)
    names = [name for name in a.columns if name in b.columns and name != KEY and (only is None or name in only)]
    found = [_types_differ(a, b, name, tables) for name in names if a.types[name] != b.types[name]]
    shared = keys_a if rows is None else keys_a.gather(rows[0])
    same_types = [name for name in names if a.types[name] == b.types[name]] if shared.len() else []
    progress.start(STAGE, len(same_types))
    for group in _groups(same_types, max(keys_a.len(), keys_b.len())):
        frames = [a.read(group), b.read(group)]
        if rows is not None:
            frames = [frame[index] for frame, index in zip(frames, rows, strict=True)]
        for name in group:
            left, right = (frame.get_column(name) for frame in frames)
            other = _differs(left, right) if left.dtype == right.dtype else None
            if other is None:  # types such as decimals and dates, which the file's type names do not distinguish
                kinds = str(left.dtype), str(right.dtype)
                found.append(ColumnDifference(column=name, table=tables[name], types=kinds))
            elif other.any():
                rows_there = _rows(shared.filter(pl.Series(other)))
                found.append(ColumnDifference(column=name, table=tables[name], rows=rows_there))
            progress.advance(STAGE, name)
    order = {name: place for place, name in enumerate(a.columns)}
    found.sort(key=lambda each: order[each.column])
    made = _difference("values", (a.side(), b.side()), (a.columns, b.columns), found, tables)
    differ = not made.same or bool(only_a.len() or only_b.len())
    return made.model_copy(
        update={"same": not differ, "rows_only_in_a": _rows(only_a), "rows_only_in_b": _rows(only_b)}
    )


class WideFile:
    """A training file's columns, read by name."""

    def __init__(self, source: Source, manifest: Manifest | None = None) -> None:
        self._source = source
        self._digest = manifest.file.content_digest if manifest is not None else None
        footer = footer_of(source, read_end(source, ()))
        self._groups: Sequence[StatedGroup] = stated_groups(footer)
        self._footer: Footer = without_chunks(footer)
        self.columns: tuple[str, ...] = footer.columns
        self.types = dict(zip(footer.columns, footer.types, strict=True))
        self.tables = _tables(manifest) if manifest else {}
        """Each column's source table; empty without a manifest."""
        self._places = {name: place for place, name in enumerate(footer.columns)}

    def side(self) -> Side:
        """Return the file's facts."""
        return Side(
            name=self._source.name,
            rows=self._footer.rows,
            columns=len(self.columns),
            content_digest=self._digest,
        )

    def keys(self) -> pl.Series:
        """Return the keys of all rows. Raises NullKeys, DuplicateKeys, InexactValue, FooterError."""
        subject = self._source.name
        if self.types.get(KEY) != "TIMESTAMP":
            got = f"no {KEY}" if KEY not in self.types else f"{KEY} of another type"
            raise FooterError(subject, got=got, expected="UTC microseconds as key", cure="Name a training file.")
        if not self._footer.rows:  # it may have no row group either
            return pl.Series(KEY, [], KEY_TYPE)
        keys = as_moments(self.read([KEY]).to_series().to_physical(), "us", subject)
        if keys.null_count():
            raise NullKeys(subject, got=f"{keys.null_count():,} rows without {KEY}", expected="none", cure=_VALIDATE)
        if keys.n_unique() < keys.len():
            got = f"{keys.len() - keys.n_unique():,} repeated keys"
            raise DuplicateKeys(subject, got=got, expected="each once", cure=_VALIDATE)
        return keys

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Return columns, all rows of them. Raises FooterError if they cannot be decoded."""
        places = sorted(self._places[name] for name in names)
        frames: list[pl.DataFrame] = []
        for number, stated in enumerate(self._groups):
            ranges = group_of(number, places, stated).ranges
            blocks = [(each.start, self._source.read(each.start, each.end - each.start)) for each in ranges]
            try:
                frames.append(decode(self._footer, stated, places, blocks))
            except Unreadable as error:
                got = f"{some_of(names, _NAMED)}: {error}"
                raise FooterError(self._source.name, got=got, expected="values", cure=_VALIDATE) from error
        whole = pl.concat(frames)
        return whole.rename({str(place): self.columns[place] for place in places}).select(names)


_VALIDATE = "See what is wrong with it: bqx validate FILE --pair PAIR"


def _digests(manifest: Manifest) -> dict[str, str]:
    slabs = manifest.extraction.slabs
    return {c.name: digest for s in slabs for c, digest in zip(s.provenance.columns, s.content, strict=True)}


def _tables(manifest: Manifest) -> dict[str, str]:
    return {column.name: slab.table for slab in manifest.extraction.slabs for column in slab.provenance.columns}


def _difference(
    by: Literal["digests", "values"],
    sides: tuple[Side, Side],
    columns: tuple[Sequence[str], Sequence[str]],
    found: Sequence[ColumnDifference],
    tables: Mapping[str, str],
) -> Difference:
    in_a, in_b = set(columns[0]), set(columns[1])
    only = [tuple(name for name in columns[0] if name not in in_b), tuple(n for n in columns[1] if n not in in_a)]
    names = [*(each.column for each in found), *only[0], *only[1]]
    return Difference(
        same=not names,
        by=by,
        a=sides[0],
        b=sides[1],
        columns_only_in_a=only[0],
        columns_only_in_b=only[1],
        columns=tuple(found),
        tables=tuple(dict.fromkeys(tables[name] for name in names)),
    )


def _prefix(name: str) -> str:
    return name.partition(SEPARATOR)[0] if SEPARATOR in name else "targets"


def _types_differ(a: WideFile, b: WideFile, name: str, tables: Mapping[str, str]) -> ColumnDifference:
    types = (a.types[name] or "other", b.types[name] or "other")
    return ColumnDifference(column=name, table=tables[name], types=types)


def _groups(names: Sequence[str], rows: int) -> Iterator[Sequence[str]]:
    width = min(_MOST_COLUMNS, max(1, GROUP_BYTES // max(1, 8 * rows)))
    for start in range(0, len(names), width):
        yield names[start : start + width]


def _common(a: pl.Series, b: pl.Series) -> tuple[tuple[pl.Series, pl.Series] | None, pl.Series, pl.Series]:
    """Return both files' row numbers of the common keys (None if all keys are equal), and the keys of one file only."""
    if a.len() == b.len() and a.equals(b):
        return None, a.clear(), b.clear()
    left, right = (pl.DataFrame({"key": keys}).with_row_index(name) for name, keys in (("a", a), ("b", b)))
    both = left.join(right, on="key", how="inner", maintain_order="left")
    only_a = left.join(right, on="key", how="anti", maintain_order="left").get_column("key")
    only_b = right.join(left, on="key", how="anti", maintain_order="left").get_column("key")
    return (both.get_column("a"), both.get_column("b")), only_a, only_b


def _rows(keys: pl.Series) -> Rows:
    return Rows(count=keys.len(), first_keys=tuple(key.isoformat() for key in keys.head(_FIRST)))


def _differs(a: pl.Series, b: pl.Series) -> npt.NDArray[np.bool_]:
    """Return where two columns differ by the rules of content digests: NaN equals NaN, and -0.0 is not 0.0."""
    other = a.ne_missing(b)
    if not a.dtype.is_float() or a.dtype != b.dtype:
        return other.to_numpy()
    signs = (a == 0) & (b == 0) & (1 / a != 1 / b)
    return (other | signs.fill_null(value=False)).to_numpy()
