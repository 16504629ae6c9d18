"""Which rows of a pair a run asks for: between two moments, or the last so many rows or days.

Belongs here: how the last rows or days are written, and the words for a range. Does not: which rows those are
(``extract/spine.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bqx_assets.base.errors import BadSetting

_NUMBER = r"(\d{1,15}|\d{1,3}(?:,\d{3}){1,4}|\d{1,3}(?:_\d{3}){1,4})"
"""A comma parts thousands only: ``1,5d`` means one day and a half to many, and is not 15 days."""
_ROWS = re.compile(rf"{_NUMBER}\s*rows?", re.IGNORECASE)
_DAYS = re.compile(rf"{_NUMBER}\s*d(?:ays?)?", re.IGNORECASE)
_MOST = {"rows": 10**12, "days": 36_500}


@dataclass(frozen=True, slots=True)
class Last:
    """The last ``count`` rows of a spine, or those of the last ``count`` times 24 hours before its last minute."""

    count: int
    unit: Literal["rows", "days"]

    def __str__(self) -> str:
        return f"{self.count} rows" if self.unit == "rows" else f"{self.count}d"


def parse_last(text: str, subject: str) -> Last:
    """Return what a text such as ``100000 rows`` or ``395d`` says.

    Raises:
        BadSetting: it says neither rows nor days, or not at least one.
    """
    for unit, pattern in (("rows", _ROWS), ("days", _DAYS)):
        found = pattern.fullmatch(text.strip())
        count = int(re.sub(r"[,_]", "", found[1])) if found else 0
        if 1 <= count <= _MOST[unit]:
            return Last(count, "rows" if unit == "rows" else "days")
    raise BadSetting(
        subject,
        got=repr(text[:60]),
        expected=f"a number of rows, or of days up to {_MOST['days']:,}",
        cure="For example: 100000 rows, or 395d. Leave it empty for the whole history.",
    )


def refuse_two_ranges(last: str | None, start: datetime | None, end: datetime | None) -> None:
    """Do nothing, unless a range is given twice or ends before it begins.

    Raises:
        BadSetting: it is.
    """
    bounds = [name for name, bound in (("BQX_START", start), ("BQX_END", end)) if bound is not None]
    if last is not None and bounds:
        raise BadSetting(
            "BQX_LAST",
            got=f"{last} together with {' and '.join(bounds)}",
            expected="one range: the last rows or days, or the moments that it begins and ends at",
            cure=f"Leave BQX_LAST empty, or leave {' and '.join(bounds)} empty.",
        )
    if start is not None and end is not None and end < start:
        raise BadSetting(
            "BQX_END",
            got=f"{end:%Y-%m-%d %H:%M:%S %Z}, before BQX_START, {start:%Y-%m-%d %H:%M:%S %Z}",
            expected="a range that ends after it begins",
            cure="Exchange the two, or correct one of them.",
        )


def span_text(last: str | None, start: datetime | None, end: datetime | None) -> str:
    """Return a range in words, for manifests and people; empty for the whole history."""
    if last is not None:
        return f"the last {last}"
    bounds = [f"{word} {bound.isoformat()}" for word, bound in (("from", start), ("to", end)) if bound is not None]
    return " ".join(bounds)
