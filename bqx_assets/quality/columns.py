"""What is known of each column of a training file: stated by its footer, or measured from its values.

Belongs here: the facts of one column, and how values give them. Does not: reading values (``decode``), judging.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.merge.chunks import UNKNOWN, Stated, Value
from bqx_assets.merge.footer import Footer
from bqx_assets.quality.statistics import StatedGroup

Role = Literal["key", "target", "feature"]

_TARGET = re.compile(r"target_bqx\d+_h\d+")
"""A target whether or not it is among the required ones: a feature's name has a prefix."""


@dataclass(slots=True)
class ColumnFacts:
    """One column. None means: not known, because it was not looked at or the footer does not say."""

    name: str
    type: str | None
    role: Role
    rows: int
    nulls: int | None = None
    low: Value = None
    high: Value = None
    """Smallest and largest value, NaN left out; of a timestamp its microseconds."""
    head: int | None = None
    """Of a target the nulls before its first value; None where it has none."""
    tail: int | None = None
    """Of a target the nulls behind its last value."""
    nan: int | None = None
    infinite: int | None = None
    disagrees: str | None = None
    """How the footer's statistics differ from the values; empty when they do not."""
    content: str | None = None
    """Content digest of the values."""
    forward: str | None = None
    """Why the column looks forward, by its values; empty when it does not."""

    @property
    def all_null(self) -> bool | None:
        """Whether there is no value at all."""
        return None if self.nulls is None else 0 < self.rows == self.nulls

    @property
    def constant(self) -> bool | None:
        """Whether all values are one and the same, nulls apart; an all-null column is not constant."""
        if self.all_null is not False:
            return None if self.all_null is None else False
        if self.low is None or self.high is None:
            return None
        return self.low == self.high and not self.nan

    @property
    def zero(self) -> bool | None:
        """Whether all values are the number zero."""
        constant = self.constant
        return constant and self.low == 0 and self.type in ("FLOAT64", "INT64")


def stated_columns(footer: Footer, groups: Sequence[StatedGroup]) -> list[ColumnFacts]:
    """Return each column's facts as far as the statistics state them for all row groups."""
    rows = footer.rows
    found: list[ColumnFacts] = []
    for place, (name, type_name) in enumerate(zip(footer.columns, footer.types, strict=True)):
        role: Role = "key" if name == KEY else "target" if _TARGET.fullmatch(name) else "feature"
        facts = ColumnFacts(name, type_name, role, rows)
        nulls = [group.nulls[place] for group in groups]
        if UNKNOWN not in nulls:
            facts.nulls = sum(nulls)
        held = [group for group, count in zip(groups, nulls, strict=True) if count != group.rows]
        bounds = [group.known(place) for group in held]
        if held and not any(None in each for each in bounds):
            facts.low = min(low for low, _ in bounds)  # type: ignore[type-var]
            facts.high = max(high for _, high in bounds)  # type: ignore[type-var]
        found.append(facts)
    return found


def measure(frame: pl.DataFrame, facts: Iterable[ColumnFacts], stated: Iterable[Stated]) -> None:
    """Add one row group's values to the columns' facts, and compare them with what the footer states.

    **Shape**: ``frame`` has one column for each of ``facts``, in their order. **Cost**: three passes over the values,
    about a tenth of decoding them; two more over a column that holds NaN or an infinity.
    """
    for series, column, chunk in zip(frame.iter_columns(), facts, stated, strict=True):
        _add(series.to_physical() if series.dtype.is_temporal() else series, column, chunk)


def _add(series: pl.Series, column: ColumnFacts, chunk: Stated) -> None:
    nulls, low, high = series.null_count(), cast("Value", series.min()), cast("Value", series.max())
    if column.role == "target":
        _add_ends(series, nulls, column)
    nan = infinite = 0
    # One pass tells most columns from the few that hold NaN or an infinity: their sum is no finite number.
    if series.dtype.is_float() and not math.isfinite(series.sum()):
        nan, infinite = int(series.is_nan().sum()), int(series.is_infinite().sum())
        low, high = (None, None) if nan + nulls == series.len() else (low, high)
    if nan == 0:
        column.disagrees = column.disagrees or chunk.wrong(nulls, low, high)
    column.nulls = (column.nulls or 0) + nulls
    column.nan = (column.nan or 0) + nan
    column.infinite = (column.infinite or 0) + infinite
    if low is not None and high is not None:
        column.low = low if column.low is None else min(column.low, low)  # type: ignore[type-var]
        column.high = high if column.high is None else max(column.high, high)  # type: ignore[type-var]


def _add_ends(series: pl.Series, nulls: int, column: ColumnFacts) -> None:
    """Count on at both ends; called before the row group's nulls are added to the column's."""
    known = series.is_not_null()
    first, last = (known.arg_max(), known.reverse().arg_max()) if nulls < series.len() else (None, None)
    if first is None or last is None:
        column.tail = (column.tail or 0) + nulls
        return
    if column.head is None:
        column.head = (column.nulls or 0) + first
    column.tail = last
