"""Alignment: one table's rows put into the spine's order, exactly the spine's rows.

Belongs here: the left join of one table onto the spine and the account of where its rows went. Does not: reading,
writing, or more than one table.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from bqx_assets.base.artifacts import RowAccount
from bqx_assets.base.errors import DuplicateKeys, EmptyTable, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy

KEY_TYPE = pl.Datetime("us", "UTC")
_SAMPLE_KEYS = 3


def align(
    table: pl.DataFrame, keys: pl.Series, *, subject: str, policy: DuplicatePolicy, part: bool = False
) -> tuple[pl.DataFrame, RowAccount]:
    """Return the table's feature columns on the spine's rows, and the account of its own rows.

    **Shape**: ``table`` any rows x (key + n), ``keys`` the spine's, unique and ascending; the result has
    ``len(keys)`` rows x n columns, the key dropped, null where the table has no row.
    **Cost**: about twice the table in memory; a table whose keys equal the spine's is not copied.
    ``part`` of a table, on that part of the spine, may have no row on it.

    Raises:
        NullKeys: a row has no key.
        DuplicateKeys: a key repeats and ``policy`` is "refuse".
        EmptyTable: no row is on the spine, and it is no part.
    """
    key = as_key(table, subject)
    if key.len() == keys.len() and bool((key == keys).all()):
        return table.drop(KEY), _account(table.height, matched=keys.len(), spine_rows=keys.len(), kept=table.height)
    table = table.with_columns(key)
    unique = without_duplicates(table, subject=subject, policy=policy)
    matched = unique.get_column(KEY).is_in(keys.implode()).sum()
    rows = _account(table.height, matched=int(matched), spine_rows=keys.len(), kept=unique.height)
    if not part:
        refuse_empty(rows, keys, subject)
    aligned = keys.to_frame(KEY).join(unique, on=KEY, how="left", maintain_order="left").drop(KEY)
    return aligned, rows


def refuse_empty(rows: RowAccount, keys: pl.Series, subject: str) -> None:
    """Do nothing, unless no row is on the spine's ``keys``. Raises EmptyTable."""
    if not rows.matched:
        raise EmptyTable(
            subject,
            got=f"{rows.read:,} rows, none on the spine",
            expected=f"rows between {keys[0]} and {keys[-1]}",
            cure="Refill the table, or name it under [known_absent] in the expectations.",
        )


def total(parts: Iterable[RowAccount]) -> RowAccount:
    """Return the account of a table whose parts these are the accounts of."""
    listed = [part.model_dump() for part in parts]
    return RowAccount(**{name: sum(part[name] for part in listed) for name in RowAccount.model_fields})


def as_key(table: pl.DataFrame, subject: str) -> pl.Series:
    """Return the key column as UTC microseconds. Raises NullKeys."""
    key = table.get_column(KEY)
    if key.dtype == pl.Datetime and key.dtype.time_zone is None:  # type: ignore[union-attr]
        key = key.dt.replace_time_zone("UTC")
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
    repeated = key.filter(key.is_duplicated()).unique().sort()
    sample = ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in repeated.head(_SAMPLE_KEYS))
    raise DuplicateKeys(
        subject,
        got=f"{surplus:,} surplus rows for {repeated.len():,} repeated keys ({sample})",
        expected=f"unique {KEY}",
        cure="Deduplicate the table, or decide with BQX_DUPLICATES=first or =last.",
    )


def _account(read: int, *, matched: int, spine_rows: int, kept: int) -> RowAccount:
    return RowAccount(
        read=read, matched=matched, missing=spine_rows - matched, extra=kept - matched, duplicates=read - kept
    )
