"""Alignment never changes the number of rows, and accounts for every row it read."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import DuplicateKeys, EmptyTable, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy
from bqx_assets.extract import align as align_module
from bqx_assets.extract.align import KEY_TYPE, align
from bqx_assets_tests.frames import START, minutes

SPINE = minutes(20)


def _table(offsets: list[int], values: list[int] | None = None) -> pl.DataFrame:
    keys = [START + timedelta(minutes=offset) for offset in offsets]
    key = pl.Series(KEY, keys, dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame([key, pl.Series("x", values or offsets, dtype=pl.Int64)])


@given(st.lists(st.integers(-5, 30), unique=True, min_size=1).filter(lambda found: any(0 <= n < 20 for n in found)))
def test_any_rows_in_any_order_end_as_the_spines_rows_and_are_accounted_for(offsets: list[int]) -> None:
    aligned, rows = align(_table(offsets), SPINE, subject="t", policy="refuse")
    assert aligned.get_column("x").to_list() == [n if n in offsets else None for n in range(20)]
    assert rows.read == len(offsets) == rows.matched + rows.extra + rows.duplicates
    assert rows.matched + rows.missing == 20


@given(
    st.lists(st.integers(-5, 30), min_size=1).filter(lambda found: any(0 <= n < 20 for n in found)),
    st.sampled_from(["first", "last"]),
    st.sampled_from([timedelta(minutes=1), timedelta(seconds=7), timedelta(microseconds=1), timedelta(days=1)]),
    st.integers(1, 9),
)
def test_of_keys_of_any_distance_in_any_pieces_the_first_or_last_row_stays(
    offsets: list[int], policy: DuplicatePolicy, apart: timedelta, pieces: int
) -> None:
    values = {
        n: (str(place), 1.5 * place) for place, n in enumerate(offsets) if policy == "last" or n not in offsets[:place]
    }
    key = [START + n * apart for n in offsets]
    whole = pl.DataFrame({KEY: key, "text": [str(n) for n in range(len(key))], "x": [1.5 * n for n in range(len(key))]})
    table = pl.concat(list(whole.iter_slices(-(-len(key) // pieces))), rechunk=False)
    spine = pl.Series(KEY, [START + n * apart for n in range(20)], dtype=KEY_TYPE)
    aligned, rows = align(table.with_columns(pl.col(KEY).cast(KEY_TYPE)), spine, subject="t", policy=policy)
    assert aligned.rows() == [values.get(n, (None, None)) for n in range(20)]
    assert rows.duplicates == len(offsets) - len(set(offsets))
    assert rows.matched == sum(0 <= n < 20 for n in set(offsets))
    assert rows.extra == len(set(offsets)) - rows.matched


@given(
    st.lists(st.tuples(st.integers(-5, 30), st.integers(0, 1)), unique=True, min_size=1),
    st.sampled_from([timedelta(minutes=1), timedelta(seconds=7)]),
    st.integers(1, 9),
)
def test_keys_between_those_of_the_spine_are_extra_however_many_are_searched_at_once(
    places: list[tuple[int, int]], apart: timedelta, at_once: int
) -> None:
    key = [START + n * apart + timedelta(microseconds=odd) for n, odd in places]
    spine = pl.Series(KEY, [START + n * apart for n in range(20)], dtype=KEY_TYPE)
    table = pl.DataFrame({KEY: pl.Series(key, dtype=KEY_TYPE), "x": [n for n, _ in places]})
    with patch.object(align_module, "_KEYS_AT_ONCE", at_once):
        aligned, rows = align(table, spine, subject="t", policy="refuse", part=True)
    on = {n for n, odd in places if not odd and 0 <= n < 20}
    assert aligned.get_column("x").to_list() == [n if n in on else None for n in range(20)]
    assert (rows.matched, rows.extra) == (len(on), len(places) - len(on))


@given(
    st.lists(st.tuples(st.integers(-5, 30), st.booleans()), unique_by=lambda row: row[0], min_size=1).filter(
        lambda rows: any(0 <= n < 20 for n, _ in rows)
    ),
    st.integers(0, 9),
)
def test_nulls_of_any_type_are_where_a_join_puts_them(rows: list[tuple[int, bool]], skipped: int) -> None:
    known = [n if kept else None for n, kept in [(99, False), (98, True)] * 5 + rows]
    whole = pl.DataFrame({"x": known, KEY: [START] * 10 + [START + timedelta(minutes=n) for n, _ in rows]}).select(
        pl.col(KEY).cast(KEY_TYPE),
        pl.col("x").cast(pl.Int64).alias("whole"),
        pl.col("x").cast(pl.Float64).alias("float"),
        pl.col("x").cast(pl.Int64).cast(KEY_TYPE).alias("moment"),
        pl.col("x").cast(pl.Date).alias("day"),
        pl.col("x").cast(pl.String).alias("text"),
        (pl.col("x") > 10).alias("flag"),
    )
    table = whole.slice(skipped).slice(10 - skipped)
    aligned, _ = align(table, SPINE, subject="t", policy="refuse")
    expected = SPINE.to_frame().join(table, on=KEY, how="left", maintain_order="left").drop(KEY)
    assert_frame_equal(aligned, expected)


def test_a_part_of_a_table_may_have_no_row_at_all() -> None:
    aligned, rows = align(_table([]), SPINE, subject="t", policy="refuse", part=True)
    assert aligned.get_column("x").to_list() == [None] * 20
    assert (rows.read, rows.missing) == (0, 20)


def test_a_table_already_on_the_spine_keeps_its_values_and_loses_its_key() -> None:
    aligned, rows = align(_table(list(range(20))), SPINE, subject="t", policy="refuse")
    assert_frame_equal(aligned, pl.DataFrame({"x": range(20)}))
    assert (rows.matched, rows.missing, rows.extra) == (20, 0, 0)


def test_duplicate_keys_are_refused_with_count_and_sample() -> None:
    with pytest.raises(
        DuplicateKeys, match=r"eurusd/t: 3 surplus rows for 2 repeated keys \(2024-01-02 00:03, 2024-01-02 00:05\)"
    ):
        align(_table([3, 3, 5, 5, 5, 7]), SPINE, subject="eurusd/t", policy="refuse")


def test_duplicate_keys_off_the_spine_are_refused_as_well() -> None:
    with pytest.raises(DuplicateKeys):
        align(_table([3, 25, 25]), SPINE, subject="t", policy="refuse")


@pytest.mark.parametrize(("policy", "kept"), [("first", 1), ("last", 3)])
def test_a_configured_policy_keeps_one_row_and_counts_the_others(policy: str, kept: int) -> None:
    table = _table([4, 4, 4], [1, 2, 3])
    aligned, rows = align(table, SPINE, subject="t", policy=policy)  # type: ignore[arg-type]
    assert aligned.get_column("x")[4] == kept
    assert aligned.height == 20
    assert rows.duplicates == 2


def test_a_row_without_key_is_refused() -> None:
    table = _table([1, 2, 3]).with_columns(pl.when(pl.col("x") != 2).then(pl.col(KEY)).alias(KEY))
    with pytest.raises(NullKeys, match="1 rows without interval_time"):
        align(table, SPINE, subject="t", policy="refuse")


@pytest.mark.parametrize(
    ("offsets", "own"),
    [([], ""), ([50, 60], r" but between 2024-01-02 00:50:00\+00:00 and 2024-01-02 01:00:00\+00:00")],
)
def test_a_table_without_a_row_on_the_spine_is_refused_and_its_own_times_are_told(offsets: list[int], own: str) -> None:
    with pytest.raises(EmptyTable, match=f"none on the spine{own}, expected"):
        align(_table(offsets), SPINE, subject="t", policy="refuse")


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
def test_keys_of_any_unit_and_zone_meet_the_spine(unit: str, zone: str | None) -> None:
    key = SPINE.cast(pl.Datetime(unit, "UTC"))  # type: ignore[arg-type]
    key = key.dt.replace_time_zone(None) if zone is None else key.dt.convert_time_zone(zone)
    aligned, rows = align(pl.DataFrame([key, pl.Series("x", range(20))]), SPINE, subject="t", policy="refuse")
    assert aligned.get_column("x").to_list() == list(range(20))
    assert rows.matched == 20
