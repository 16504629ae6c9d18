"""Describes a spine: the rows of a pair's targets whose shortest target is known, with unique keys.

``spine_keys`` finds the keys in a warehouse, ``spine_slab`` makes the slab.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import polars as pl

from bqx_assets.base.artifacts import Column, RowAccount, Spine, fingerprint
from bqx_assets.base.errors import EmptyTable
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy, Last
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import as_key, without_duplicates
from bqx_assets.extract.job import Extraction


def spine_columns(expectations: Expectations) -> list[Column]:
    """Return the spine's columns: the key, then the targets, unprefixed."""
    key = Column(name=KEY, source=KEY, type="TIMESTAMP")
    return [key, *(Column(name=name, source=name, type="FLOAT64") for name in expectations.targets())]


def setting_facts(job: Extraction, *, has_pair: bool) -> dict[str, str]:
    """Return the settings that every piece depends on, as its fingerprint has them: the pair's filter, the encoding."""
    found = {"pair": job.pair.name if has_pair else None, "encoding": job.settings.encoding}
    return {name: value for name, value in found.items() if value is not None}


def keys_fingerprint(keys: pl.Series) -> str:
    """Return the fingerprint of the keys of a period: every key counts."""
    return fingerprint({"keys": _digest(keys)})


def describe_spine(keys: pl.Series, row_groups: Sequence[int], periods: tuple[str, ...] = ()) -> Spine:
    """Return the description of a spine; its fingerprint covers every key and the boundaries of the row groups."""
    return Spine(
        rows=keys.len(),
        fingerprint=fingerprint({"keys": _digest(keys), "row_groups": list(row_groups)}),
        first=keys[0],
        last=keys[-1],
        row_groups=tuple(row_groups),
        periods=periods,
    )


def _digest(keys: pl.Series) -> str:
    return hashlib.sha256(keys.to_physical().to_numpy().tobytes()).hexdigest()


def equal_groups(rows: int, size: int) -> list[int]:
    """Return the rows of each row group of ``size`` rows, the last one with what is left; 0: one row group."""
    return [min(size or rows, rows - start) for start in range(0, rows, size or rows)]


def latest_rows(read: pl.DataFrame, shortest: str, last: Last, subject: str, policy: DuplicatePolicy) -> pl.DataFrame:
    """Return the targets' rows of the last ``last`` rows or days of the spine, and all rows among and after them.

    The rows and days are counted back from the spine's last row; later rows of the targets are not part of the spine.
    **Shape**: any rows x any columns with key and that target; the columns stay.

    Raises:
        NullKeys, DuplicateKeys: a row has no key; a key repeats and ``policy`` is "refuse".
    """
    usable, _ = usable_rows(read, shortest, subject, policy)
    keys, every = usable.get_column(KEY), as_key(read, subject)
    if keys.is_empty():
        return read
    if last.unit == "rows":
        return read.filter(every >= keys[-min(last.count, keys.len())])
    return read.filter(every > last.days_before(keys[-1]))


def spine_rows(
    read: pl.DataFrame, shortest: str, subject: str, policy: DuplicatePolicy, *within: pl.Expr
) -> tuple[pl.DataFrame, RowAccount]:
    """Return the targets' rows that form the spine, unique and ascending by key, and the account of the others.

    A row is part of the spine if its ``shortest`` target is known: neither null nor NaN.
    **Shape**: any rows x any columns with key and that target; the columns stay.

    Raises:
        NullKeys, DuplicateKeys: a row has no key; a key repeats and ``policy`` is "refuse".
        EmptyTable: no row has a shortest target and is ``within``.
    """
    frame, rows = usable_rows(read, shortest, subject, policy, *within)
    if frame.is_empty():
        raise EmptyTable(
            subject,
            got=f"{read.height:,} rows, none with {shortest}",
            expected="at least one",
            cure="Refill the targets table, or widen the range: BQX_START, BQX_END, BQX_LAST.",
        )
    return frame, rows


def usable_rows(
    read: pl.DataFrame, shortest: str, subject: str, policy: DuplicatePolicy, *within: pl.Expr
) -> tuple[pl.DataFrame, RowAccount]:
    """Return what ``spine_rows`` returns, also if it is no row. Raises NullKeys, DuplicateKeys."""
    unique = without_duplicates(read.with_columns(as_key(read, subject)), subject=subject, policy=policy)
    frame = unique.filter(pl.col(shortest).cast(pl.Float64).is_not_nan(), *within).sort(KEY)
    return frame, RowAccount(
        read=read.height,
        matched=frame.height,
        missing=0,
        extra=unique.height - frame.height,
        duplicates=read.height - unique.height,
    )
