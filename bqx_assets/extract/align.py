"""Aligns a table with the spine: returns exactly the spine's rows in its order, and an account of all other rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bqx_assets.base.artifacts import RowAccount
from bqx_assets.base.content import validity_of
from bqx_assets.base.errors import DuplicateKeys, EmptyTable, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy
from bqx_assets.extract.columns import KEY_TYPE, as_moments

MINUTE = 60_000_000
"""One minute in microseconds, the unit of the key."""
_SAMPLE_KEYS = 3
_SPARSE = 16
"""Minutes for each spine row up to which a table with one entry for every minute is worth its memory."""
_KEYS_AT_ONCE = 65_536
"""Keys whose positions are found at once, so that the temporary arrays stay in the processor's cache."""
_BLOCK = 16
"""Columns that are gathered at once: Polars distributes them over its threads."""

_NUMBERS: Final[tuple[pl.DataType, ...]] = (pl.Float64(), pl.Int64())

Keys = npt.NDArray[np.int64]
_Bits: TypeAlias = "npt.NDArray[np.uint8]"


@dataclass(frozen=True)
class RowMatch:
    """The row of a table that belongs to each row of the spine."""

    rows: RowAccount
    """The account of the table's rows: how many were matched, missing, extra or duplicates."""
    index: pl.Series | None = None
    """For each spine row, the index of the matching table row (arbitrary if there is none). None: the table is already
    in spine order."""
    present: pl.Series | None = None
    """For each spine row, whether the table has a matching row. None: it has all."""

    def apply(self, columns: pl.DataFrame) -> pl.DataFrame:
        """Return columns of the table in spine order, one row for each spine row, null where the table has no row.

        **Cost**: a copy of the columns, and of ``_BLOCK`` more; nothing if the table is already in spine order.
        """
        if self.index is None:
            return columns
        if not columns.height:
            return columns.clear(self.index.len())
        found: list[pl.Series] = []
        for first in range(0, columns.width, _BLOCK):
            # Each block as one chunk: gathering from ten chunks takes three times as long.
            block = columns[:, first : first + _BLOCK].rechunk()
            gathered = pl.DataFrame([_without_nulls(column) for column in block])[self.index]
            found += map(self._nulls.put, block, gathered)
        return pl.DataFrame(found)

    @cached_property
    def _nulls(self) -> _Nulls:
        return _Nulls(cast("pl.Series", self.index), self.present, self.rows.read)


class _Nulls:
    """Puts the nulls of a table's columns to their rows of the spine.

    Polars takes up to three times as long to gather a column with nulls as one without, because it gathers single bits.
    """

    def __init__(self, index: pl.Series, present: pl.Series | None, table_rows: int) -> None:
        self._index, self._present, self._table_rows = index.to_numpy(), present, table_rows
        self._known = np.ones(index.len(), np.bool_) if present is None else present.to_numpy()

    def put(self, column: pl.Series, gathered: pl.Series) -> pl.Series:
        """Return what was gathered from ``_without_nulls(column)`` with the column's nulls, and null in absent rows."""
        if not _is_plain(column):
            missing = pl.Series([None], dtype=gathered.dtype)
            return gathered if self._present is None else gathered.zip_with(self._present, missing)
        if column.null_count():
            return _with_validity(gathered, np.packbits(self._also_known(column), bitorder="little"))
        return gathered if self._present is None else _with_validity(gathered, self._known_bits)

    @cached_property
    def _known_bits(self) -> _Bits:
        return np.packbits(self._known, bitorder="little")

    @cached_property
    def _places(self) -> npt.NDArray[np.int32]:
        """The spine's row of each row of the table; -1 if there is none."""
        places = np.full(self._table_rows, -1, np.int32)
        places[self._index[self._known]] = np.flatnonzero(self._known)
        return places

    def _also_known(self, column: pl.Series) -> npt.NDArray[np.bool_]:
        places = self._places[np.flatnonzero(validity_of(cast("Any", column).to_arrow()) == 0)]
        known = self._known.copy()
        known[places[places >= 0]] = False
        return known


def _is_plain(column: pl.Series) -> bool:
    """Return whether the values are numbers of eight bytes, one behind another."""
    return isinstance(column.dtype, pl.Datetime) or column.dtype in _NUMBERS


def _without_nulls(column: pl.Series) -> pl.Series:
    """Return a column of numbers with any values in place of its nulls, uncopied; another column as it is."""
    return _with_validity(column, None) if column.null_count() and _is_plain(column) else column


def _with_validity(column: pl.Series, bits: _Bits | None) -> pl.Series:
    """Return a column of numbers that are null where ``bits`` are 0; None: nowhere."""
    array = cast("Any", column).to_arrow()
    validity: Any = None if bits is None else pa.py_buffer(cast("Any", bits))
    buffers = [validity, array.buffers()[1].slice(8 * array.offset)]
    return pl.Series(column.name, pa.Array.from_buffers(array.type, len(array), buffers))


def align(
    table: pl.DataFrame, keys: pl.Series, *, subject: str, policy: DuplicatePolicy, part: bool = False
) -> tuple[pl.DataFrame, RowAccount]:
    """Return the table's feature columns in spine order, and the account of its own rows.

    **Shape**: ``table`` any rows x (key + n), ``keys`` the spine's; the result has ``len(keys)`` rows x n columns, the
    key dropped. **Cost**: as of ``match_rows`` and ``RowMatch.apply``.

    Raises:
        NullKeys: a row has no key.
        DuplicateKeys, EmptyTable: as ``match_rows`` says.
    """
    placed = match_rows(as_key(table, subject), keys, subject=subject, policy=policy, part=part)
    return placed.apply(table.drop(KEY)), placed.rows


def match_rows(
    key: pl.Series, keys: pl.Series, *, subject: str, policy: DuplicatePolicy, part: bool = False
) -> RowMatch:
    """Find the spine's ``keys``, unique and ascending, in a table's ``key`` (any order), as returned by ``as_key``.

    **Cost**: 20 to 30 temporary bytes for each key, up to 80 where minutes lie far apart; nothing if the table is
    already in spine order.
    ``part``: key and keys are one time slice of a table and its spine; a slice may have no matching row.

    Raises:
        DuplicateKeys: a key repeats and ``policy`` is "refuse".
        EmptyTable: no row is on the spine, and ``part`` is false.
    """
    if key.len() == keys.len() and bool((key == keys).all()):
        return RowMatch(RowAccount(read=key.len(), matched=key.len(), missing=0, extra=0, duplicates=0))
    present, wanted = (series.to_physical().to_numpy() for series in (key, keys))
    positions = _positions(present, wanted)
    on = np.flatnonzero(positions >= 0)
    known = np.zeros(wanted.size, np.bool_)
    known[positions[on]] = True
    matched = int(np.count_nonzero(known))
    kept = matched + np.unique(present[positions < 0]).size
    if kept < key.len() and policy == "refuse":
        raise _duplicates(key, key.len() - kept, subject)
    rows = RowAccount(
        read=key.len(),
        matched=matched,
        missing=wanted.size - matched,
        extra=kept - matched,
        duplicates=key.len() - kept,
    )
    if not part:
        refuse_empty(rows, keys, subject, key)
    written = on if policy == "last" else on[::-1]  # among rows with the same key, the one written last stays
    index = np.zeros(wanted.size, np.uint32)
    index[positions[written]] = written
    return RowMatch(rows, pl.Series(index), None if matched == wanted.size else pl.Series(known))


def _positions(present: Keys, wanted: Keys) -> npt.NDArray[np.int32]:
    """Return the position of each present key in ``wanted``, which ascends; -1 if it is not there.

    **Cost**: for 180,000 keys 3 ms if ``wanted`` are whole minutes apart, otherwise a binary search each: 27 ms, as a
    hash join. Temporary memory: 16 bytes for each wanted key, 4 for each minute between the first and the last.
    """
    minutes = wanted - wanted[0]
    by_minute = None
    if not (minutes % MINUTE).any() and minutes[-1] <= _SPARSE * MINUTE * wanted.size:
        minutes //= MINUTE
        by_minute = np.full(minutes[-1] + 1, -1, np.int32)
        by_minute[minutes] = np.arange(wanted.size, dtype=np.int32)
    del minutes
    found = np.empty(present.size, np.int32)
    for start in range(0, present.size, _KEYS_AT_ONCE):
        keys = present[start : start + _KEYS_AT_ONCE]
        if by_minute is None:
            nearest = np.minimum(np.searchsorted(wanted, keys), wanted.size - 1)
            is_there = wanted[nearest] == keys
        else:
            after = keys - wanted[0]
            asked = after // MINUTE
            is_there = (asked * MINUTE == after) & (asked >= 0) & (asked < by_minute.size)
            nearest = by_minute[np.clip(asked, 0, by_minute.size - 1)]
        found[start : start + keys.size] = np.where(is_there, nearest, -1)
    return found


def refuse_empty(rows: RowAccount, keys: pl.Series, subject: str, key: pl.Series | None = None) -> None:
    """Refuse a table that has no row on the spine's ``keys``; ``key`` is the table's own key. Raises EmptyTable."""
    if not rows.matched:
        own = f" but between {key.min()} and {key.max()}" if key is not None and key.len() else ""
        raise EmptyTable(
            subject,
            got=f"{rows.read:,} rows, none on the spine{own}",
            expected=f"rows between {keys[0]} and {keys[-1]}",
            cure="Refill the table; or, to go on without its values, name all its columns under allowed_all_null in "
            "the expectations, or the table itself under [known_absent].",
        )


def total(parts: Iterable[RowAccount]) -> RowAccount:
    """Return the sum of the accounts of a table's parts."""
    listed = [part.model_dump() for part in parts]
    return RowAccount(**{name: sum(part[name] for part in listed) for name in RowAccount.model_fields})


def as_key(table: pl.DataFrame, subject: str) -> pl.Series:
    """Return the key column as UTC microseconds; times without a zone count as UTC.

    Raises:
        NullKeys: a row has no key.
        InexactValue: a key has digits below a microsecond, or lies outside the years 1 to 9999.
    """
    key = table.get_column(KEY)
    if isinstance(key.dtype, pl.Datetime):
        key = as_moments(key.to_physical(), key.dtype.time_unit, subject)
    else:
        key = key.cast(KEY_TYPE)
    if key.null_count():
        raise NullKeys(
            subject,
            got=f"{key.null_count():,} rows without {KEY}",
            expected=f"{KEY} on every row",
            cure="Remove or repair those rows in the warehouse.",
        )
    return key


def without_duplicates(table: pl.DataFrame, *, subject: str, policy: DuplicatePolicy) -> pl.DataFrame:
    """Return the table with one row for each key. Raises DuplicateKeys if a key repeats and the policy is "refuse"."""
    key = table.get_column(KEY)
    surplus = table.height - key.n_unique()
    if not surplus:
        return table
    if policy != "refuse":
        return table.unique(KEY, keep=policy, maintain_order=True)
    raise _duplicates(key, surplus, subject)


def _duplicates(key: pl.Series, surplus: int, subject: str) -> DuplicateKeys:
    repeated = key.filter(key.is_duplicated()).unique().sort()
    sample = ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in repeated.head(_SAMPLE_KEYS))
    return DuplicateKeys(
        subject,
        got=f"{surplus:,} surplus rows for {repeated.len():,} repeated keys ({sample})",
        expected=f"unique {KEY}",
        cure="Deduplicate the table, or decide with BQX_DUPLICATES=first or =last.",
    )
