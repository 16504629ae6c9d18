"""What was found of one pair, table by table: what a person approves, and later files are held against.

Belongs here: the facts as data, and how far a later file may be from them. Does not: finding them (``proposal``),
the verdicts.

A range may be extracted again or moved. On the very same rows a table must have exactly as many rows, and nulls, as
were approved. On other rows numbers of rows mean nothing: shares are compared, and may be worse by ``drift``.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated

from pydantic import Field

from bqx_assets.base.artifacts import Record

Count = Annotated[int, Field(ge=0)]


class TableFacts(Record):
    """A table's part of the training file."""

    matched: Count
    """Of the spine's rows."""
    columns: Annotated[int, Field(ge=1)]
    nulls: Count
    """In all its columns together, those of the missing rows included."""


class PairFacts(Record):
    """One pair's tables on one range of rows."""

    approved: str = ""
    """When and by whom, in any words; empty: proposed, and not in force."""
    found: str
    """Of what, and when, these facts were taken."""
    spine: str
    """The rows' fingerprint."""
    rows: Annotated[int, Field(ge=1)]
    first: datetime
    last: datetime
    drift: Annotated[float, Field(ge=0, le=1)] = 0.02
    """By how much the share of missing rows, and of nulls, of a table may be greater on other rows."""
    all_null: tuple[str, ...] = ()
    """Training-file columns without any value."""
    constant: tuple[str, ...] = ()
    """Training-file columns of one value."""
    absent: dict[str, str] = Field(default_factory=dict[str, str])
    """Expected tables that were not in the warehouse."""
    tables: dict[str, TableFacts]

    def matched_range(self, table: str, spine: str, rows: int) -> tuple[int, int] | None:
        """Return how many of a spine's rows a table must have, at least and at most; None for a table of no facts."""
        facts = self.tables.get(table)
        if facts is None:
            return None
        if spine == self.spine:
            return facts.matched, facts.matched
        missing = 1 - facts.matched / self.rows + self.drift
        return max(0, rows - _whole(missing * rows)), rows

    def null_range(self, table: str, spine: str, rows: int, columns: int) -> tuple[int, int] | None:
        """Return how many nulls a table's ``columns`` on a spine's rows must have; None for a table of no facts."""
        facts = self.tables.get(table)
        if facts is None:
            return None
        if spine == self.spine and columns == facts.columns:
            return facts.nulls, facts.nulls
        share = facts.nulls / (self.rows * facts.columns) + self.drift
        return 0, min(rows * columns, _whole(share * rows * columns))


def _whole(number: float) -> int:
    """Up to a whole number, but for what floating point adds to a product."""
    return math.ceil(round(number, 6))
