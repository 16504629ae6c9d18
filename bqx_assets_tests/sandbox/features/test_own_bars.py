"""Calendar features are those of the clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import polars as pl
import pytest

from bqx_assets.sandbox.features.own_bars import calendar


def _at(year: int, month: int, day: int, hour: int, minute: int = 0) -> dict[str, object]:
    times = pl.Series([datetime(year, month, day, hour, minute, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    return calendar(times).row(0, named=True)


def test_a_friday_afternoon_at_the_end_of_a_leap_february() -> None:
    found = _at(2020, 2, 28, 15, 30)
    assert (found["day_of_week"], found["is_friday"], found["is_month_end"]) == (5, True, False)
    assert _at(2020, 2, 29, 15)["is_month_end"]
    assert _at(2020, 2, 29, 15)["is_weekend"]
    assert _at(2020, 3, 1, 0)["is_month_start"]
    assert (found["quarter"], found["month"], found["week_of_year"], found["day_of_month"]) == (1, 2, 9, 28)
    assert found["hour_sin"] == pytest.approx(math.sin(math.tau * 15.5 / 24))
    assert found["month_cos"] == pytest.approx(math.cos(math.tau / 12))


@pytest.mark.parametrize(
    ("hour", "session"),
    [
        (3, "asian"),
        (8, "asian_european"),
        (10, "european"),
        (14, "european_american"),
        (20, "american"),
        (22, "closed"),
    ],
)
def test_a_session_is_named_by_the_flags_that_are_set(hour: int, session: str) -> None:
    found = _at(2020, 1, 7, hour)
    names = [name for name in ("asian", "european", "american") if found[f"is_{name}_session"]]
    assert found["trading_session"] == session == ("_".join(names) or "closed")
    assert found["is_asian_european_overlap"] == (names == ["asian", "european"])
    assert found["is_european_american_overlap"] == (names == ["european", "american"])
