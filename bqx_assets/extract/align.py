"""Alignment: one table's rows put into the spine's order, exactly the spine's rows.

Belongs here: where each of the spine's rows is in one table, its columns put there, and the account of where the
table's rows went. Does not: reading, writing, or more than one table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.artifacts import RowAccount
from bqx_assets.base.errors import DuplicateKeys, EmptyTable, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy
from bqx_assets.extract.columns import KEY_TYPE, as_moments

MINUTE = 60_000_000
"""In a key's unit."""
_SAMPLE_KEYS = 3
_SPARSE = 16
"""Minutes to one of the spine's rows, at most, for a place for each minute to be worth its memory."""
_BLOCK = 16
"""Columns that are put together: Polars shares them out to its threads."""

Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the spine's rows are in a table."""

    rows: RowAccount
    """Where the table's rows went."""
    found: pl.Series | None = None
    """Spine rows: the table's row, any where it has none. None: the table's rows are the spine's, in order."""
    known: pl.Series | None = None
    """Spine rows: whether the table has one. None: it has all."""

    def put(self, columns: pl.DataFrame) -> pl.DataFrame:
        """Return columns of the table on the spine's rows, null where it has none.

        **Cost**: a copy of the columns, and of ``_BLOCK`` more; none where the table's rows are the spine's.
        """
        if self.found is None:
            return columns
        if not columns.height:
            return columns.clear(self.found.len())
        # In one piece each: reading ten pieces in any order takes three times as long.
        blocks = (columns[:, first : first + _BLOCK].rechunk()[self.found] for first in range(0, columns.width, _BLOCK))
        return pl.DataFrame([self._without_unknown(column) for block in blocks for column in block])

    def _without_unknown(self, put: pl.Series) -> pl.Series:
        return put if self.known is None else put.zip_with(self.known, pl.Series([None], dtype=put.dtype))


def align(
    table: pl.DataFrame, keys: pl.Series, *, subject: str, policy: DuplicatePolicy, part: bool = False
) -> tuple[pl.DataFrame, RowAccount]:
    """Return the table's feature columns on the spine's rows, and the account of its own rows.

    **Shape**: ``table`` any rows x (key + n), ``keys`` the spine's; the result has ``len(keys)`` rows x n columns, the
    key dropped. **Cost**: of ``place`` and ``Placement.put``.

    Raises:
        NullKeys: a row has no key.
        DuplicateKeys, EmptyTable: as ``place`` says.
    """
    placed = place(as_key(table, subject), keys, subject=subject, policy=policy, part=part)
    return placed.put(table.drop(KEY)), placed.rows


def place(key: pl.Series, keys: pl.Series, *, subject: str, policy: DuplicatePolicy, part: bool = False) -> Placement:
    """Look the spine's ``keys``, unique and ascending, up in a table's ``key``, of any order, as ``as_key`` gives it.

    **Cost**: some 100 bytes a key for a moment; nothing where the table's rows are the spine's.
    ``part`` of a table, on that part of the spine, may have no row on it.

    Raises:
        DuplicateKeys: a key repeats and ``policy`` is "refuse".
        EmptyTable: no row is on the spine, and it is no part.
    """
    if key.len() == keys.len() and bool((key == keys).all()):
        return Placement(RowAccount(read=key.len(), matched=key.len(), missing=0, extra=0, duplicates=0))
    there, wanted = (each.to_physical().to_numpy() for each in (key, keys))
    positions = _positions(there, wanted)
    on = np.flatnonzero(positions >= 0)
    known = np.zeros(wanted.size, np.bool_)
    known[positions[on]] = True
    matched = int(np.count_nonzero(known))
    kept = matched + np.unique(there[positions < 0]).size
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
    written = on if policy == "last" else on[::-1]  # of rows with one key the one written last stays
    found = np.zeros(wanted.size, np.uint32)
    found[positions[written]] = written
    return Placement(rows, pl.Series(found), None if matched == wanted.size else pl.Series(known))


def _positions(there: Keys, wanted: Keys) -> Keys:
    """Return where each key is in ``wanted``, which ascends; -1 where it is not.

    **Cost**: keys whole minutes apart 4 ms of 180,000, others 27 ms, a search for each: as much as a hash join.
    """
    after, asked_after = wanted - wanted[0], there - wanted[0]
    minutes, asked = after // MINUTE, asked_after // MINUTE
    is_whole = np.array_equal(minutes * MINUTE, after) and np.array_equal(asked * MINUTE, asked_after)
    if not is_whole or minutes[-1] > _SPARSE * wanted.size:
        nearest = np.minimum(np.searchsorted(wanted, there), wanted.size - 1)
        return np.where(wanted[nearest] == there, nearest, -1)
    position = np.full(minutes[-1] + 1, -1)
    position[minutes] = np.arange(wanted.size)
    within = (asked >= 0) & (asked <= minutes[-1])
    return np.where(within, position[asked * within], -1)


def refuse_empty(rows: RowAccount, keys: pl.Series, subject: str, key: pl.Series | None = None) -> None:
    """Do nothing, unless no row is on the spine's ``keys``; ``key`` is the table's own. Raises EmptyTable."""
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
    """Return the account of a table whose parts these are the accounts of."""
    listed = [part.model_dump() for part in parts]
    return RowAccount(**{name: sum(part[name] for part in listed) for name in RowAccount.model_fields})


def as_key(table: pl.DataFrame, subject: str) -> pl.Series:
    """Return the key column as UTC microseconds; a moment without a zone is UTC.

    Raises:
        NullKeys: a row has no key.
        InexactValue: a key has digits below a microsecond, or lies outside of the years 1 to 9999.
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
    """Return the table with one row a key. Raises DuplicateKeys when a key repeats and the policy is "refuse"."""
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
