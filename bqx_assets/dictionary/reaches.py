"""Counts the rows of the file over which a window reaches back that counts rows of a series that lacks some of them.

A window of 45 rows of a pair that lacks three of the last 48 minutes reaches over 48 rows of another pair's file. Which
rows a series lacks is known by the tables that compare it: their values are null where one of their pairs has no bar.
A mean over several pairs says nothing of the bars of one, so each of its pairs is looked up in the table of the file
that knows most rows of it, for example ``cov_agg_eurusd_gbpusd`` for gbpusd.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from bqx_assets.dictionary.subjects import averaged_pairs, pairs_of
from bqx_assets.quality.table_rows import Rows, TableRows


def reaches(windows: Mapping[str, Collection[int]], known: TableRows, rows: int) -> dict[tuple[str, int], int]:
    """Return for each table and window, in rows of its series, the rows of the file over which it reaches at most.

    ``rows`` is the number of rows of the file. **Cost**: for a window and a table that lacks rows, a pass over them.
    """
    most: dict[str, str] = {}  # the table that knows most rows of a pair
    for table in known.tables():
        for pair in pairs_of(table):
            if pair not in most or known.count(table) > known.count(most[pair]):
                most[pair] = table
    series = {table: {table, *(most[pair] for pair in averaged_pairs(table) if pair in most)} for table in windows}
    asked: dict[str, set[int]] = {}
    for table, each in series.items():
        for other in each:
            asked.setdefault(other, set()).update(windows[table])
    found = {table: _spans(known.places(table), each, rows) for table, each in asked.items()}
    return {
        (table, window): max(found[other][window] for other in series[table])
        for table, each in windows.items()
        for window in each
    }


def _spans(places: Rows, windows: Collection[int], rows: int) -> dict[int, int]:
    """Return for each number of neighbouring ``places`` the most rows of the file from the first to the last."""
    if not len(places) or places[-1] - places[0] + 1 == len(places):
        return {window: window for window in windows}
    # A row behind the last place may be computed from the places before it.
    ends = places if places[-1] == rows - 1 else np.append(places, rows - 1)
    return {window: max(window, _longest(ends, window)) for window in windows}


def _longest(places: Rows, window: int) -> int:
    back = min(window, len(places)) - 1
    return int((places[back:] - places[: len(places) - back]).max()) + 1
