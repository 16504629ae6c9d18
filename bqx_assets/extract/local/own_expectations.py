"""What one embedded warehouse is expected to hold: the expectations file that lies in it.

Belongs here: the numbers and names in which it differs from the packaged expectations, each by arithmetic from its
rows and windows, not by looking at what came out. Does not: loading or comparing (``catalogue.expectations``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.extract.local.layout import Made
from bqx_assets.extract.local.market import Bars, Market
from bqx_assets.extract.local.quirks import ALL_NULL
from bqx_assets.extract.local.selection import Selection

_MISSING_SHARE = 0.01
"""Rows that quirks, other clocks' gaps and undefined values (a ratio to zero) leave empty, at most, on average."""
_PLAIN_WINDOW = 180
"""Bars before a column that names no window is filled, on average."""
_CALENDAR = ("month", "quarter", "is_month_end", "is_month_start", "is_weekend", "is_monday", "is_friday")


def own_expectations(made: Made, pairs: Sequence[Pair], market: Market, selection: Selection) -> str:
    """Return the TOML text of the warehouse's ``expectations.toml``."""
    facts = load_expectations()
    bars = [market.pairs[pair.name] for pair in pairs]
    spine = min(each.rows for each in bars) - min(facts.windows) - min(facts.horizons)
    present = [[each for each in expected_tables(pair) if each.table in selection.made] for pair in pairs]
    lines = [
        f"# What differs in this warehouse: {', '.join(made.pairs)}; {made.rows:,} bars a pair; "
        f"{'simulated rates' if made.rates is None else 'rates of the file with SHA-256 ' + made.rates}.",
        "# A bar is on the spine from the first BQX of the shortest window to the last bar with its shortest horizon.",
        f"min_rows = {max(1, spine)}",
        "# Key, targets and features, without columns that look forward by name.",
        f"min_columns = {min(_columns(tables, facts) for tables in present)}",
        "# A window of w bars leaves the first w rows empty: a larger share of these rows than of 100,000.",
        f"# Mean over the columns of min(1, (w + {min(facts.windows)}) / {spine:,}), {_MISSING_SHARE:.0%} for gaps.",
        f"max_feature_null_fraction = {_round_up(max(_feature_nulls(tables, facts, spine) for tables in present))}",
        f"# Mean over the targets of (max(0, w - {min(facts.windows)} - h) + h - {min(facts.horizons)}) / {spine:,}.",
        f"max_target_null_fraction = {_round_up(_target_nulls(facts, spine))}",
        _list("allowed_constant", [*facts.allowed_constant, *_constants(bars, facts, spine)]),
        _list("allowed_all_null", _all_null(facts, spine)),
        "",
        "[known_absent]",
        *(f"{name} = {json.dumps(reason)}" for name, reason in selection.absent.items()),
    ]
    return "\n".join(lines) + "\n"


def _columns(tables: Sequence[ExpectedTable], facts: Expectations) -> int:
    features = sum(not name.startswith("target") for table in tables for name, _ in table.columns)
    return 1 + len(facts.targets()) + features


def _feature_nulls(tables: Sequence[ExpectedTable], facts: Expectations, spine: int) -> float:
    shares = [
        1.0 if _is_all_null(table) else min(1.0, (_window(name, facts) + min(facts.windows)) / spine)
        for table in tables
        for name, _ in table.columns
    ]
    return min(1.0, sum(shares) / max(1, len(shares)) + _MISSING_SHARE)


def _window(column: str, facts: Expectations) -> int:
    """The longest window a column's name holds: 1440 of ``align_mean_720_1440``."""
    return max(
        (int(number) for number in re.findall(r"\d+", column) if int(number) in facts.windows), default=_PLAIN_WINDOW
    )


def _is_all_null(table: ExpectedTable) -> bool:
    return any(table.kind == prefix and table.table.endswith(f"_{instrument}") for prefix, instrument in ALL_NULL)


def _target_nulls(facts: Expectations, spine: int) -> float:
    first_window, first_horizon = min(facts.windows), min(facts.horizons)
    shares = [
        min(1.0, (max(0, window - first_window - horizon) + horizon - first_horizon) / max(1, spine))
        for window in facts.windows
        for horizon in facts.horizons
    ]
    return sum(shares) / len(shares)


def _constants(bars: Sequence[Bars], facts: Expectations, spine: int) -> Iterator[str]:
    """Columns that cannot vary here."""
    # A full window counts the same number of bars on every row; so does each member's, so that their variance is 0.
    yield from ("*__agg_count_*", "*__csi_agg_count_*", "*__avg_count_*", "*__var_count_*")
    # The few windows of a span longer than a quarter of the rows overlap: they share extremes and signs.
    for window in facts.windows:
        if 4 * window > spine:
            yield from (f"*_{what}_{window}" for what in ("max", "min", "range", "curv_sign", "direction"))
    calendars = [_calendar(each) for each in bars]
    yield from (f"*__{name}" for name in _CALENDAR if any(len(set(each[name])) < 2 for each in calendars))  # noqa: PLR2004 -- one value
    if any(len(set(each["month"])) < 2 for each in calendars):  # noqa: PLR2004 -- one value
        yield from ("*__month_sin", "*__month_cos")
    if all(not each.volume.any() for each in bars):
        yield from ("*__volume_*",)  # the rates came without volumes


def _calendar(bars: Bars) -> dict[str, list[int]]:
    """Each calendar column's values, one a day on which there are bars."""
    days = [datetime.fromtimestamp(int(day) * 86_400, UTC) for day in np.unique(bars.times // 86_400_000_000)]
    after = [datetime.fromtimestamp(day.timestamp() + 86_400, UTC) for day in days]
    return {
        "month": [day.month for day in days],
        "quarter": [(day.month - 1) // 3 for day in days],
        "is_month_start": [day.day == 1 for day in days],
        "is_month_end": [day.day == 1 for day in after],
        "is_weekend": [day.weekday() > 4 for day in days],  # noqa: PLR2004 -- Saturday is 5
        "is_monday": [day.weekday() == 0 for day in days],
        "is_friday": [day.weekday() == 4 for day in days],  # noqa: PLR2004 -- Monday is 0
    }


def _all_null(facts: Expectations, spine: int) -> list[str]:
    """The two tables users know to be empty, and windows longer than this warehouse's history."""
    too_long = [window for window in facts.windows if window >= spine]
    return [
        *facts.allowed_all_null,
        *(f"{prefix}_{instrument}__*" for prefix, instrument in ALL_NULL),
        *(f"*_{window}" for window in too_long),
        *(f"target_bqx{window}_*" for window in too_long),
    ]


def _round_up(share: float) -> float:
    return min(1.0, math.ceil(share * 10_000) / 10_000)


def _list(name: str, values: Sequence[str]) -> str:
    return f"{name} = [\n" + "".join(f"    {json.dumps(value)},\n" for value in values) + "]"
