"""The months of an embedded table change with the bytes of the row groups that hold them, and with nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract import embedded
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.extract.warehouse import MonthState

NAME = (FEATURES_DATASET, "t")
DAY_ROWS = 4
DAYS = [datetime(2023, 11, 20, tzinfo=UTC) + timedelta(days=4 * number) for number in range(20)]
MONTHS = ["2023-11", "2023-12", "2024-01", "2024-02"]


def _frame(days: Collection[datetime] = DAYS) -> pl.DataFrame:
    """Four rows a day."""
    keys = [day + timedelta(hours=6 * part) for day in sorted(days) for part in range(DAY_ROWS)]
    key = pl.Series(KEY, keys, pl.Datetime("us", "UTC"))
    value = key.dt.epoch("s").cast(pl.Float64) / 7
    return pl.DataFrame([key, value.alias("x"), value.cast(pl.String).alias("text")])


def _write(root: Path, frame: pl.DataFrame, group_rows: int = DAY_ROWS) -> None:
    path = table_path(root, *NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, row_group_size=group_rows)


def _table(root: Path) -> TableDescription:
    (table,) = LocalWarehouse(root).describe()
    return table


def _months(root: Path) -> Mapping[str, MonthState]:
    return LocalWarehouse(root).months([_table(root)])[NAME]


def _changed(before: Mapping[str, MonthState], after: Mapping[str, MonthState]) -> set[str]:
    return {month for month in before.keys() | after.keys() if before.get(month) != after.get(month)}


def test_months_are_the_calendars_with_their_rows(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    months = _months(tmp_path)
    assert list(months) == MONTHS
    assert [each.rows for each in months.values()] == [12, 32, 32, 4]
    assert sum(each.size_bytes for each in months.values()) <= table_path(tmp_path, *NAME).stat().st_size
    assert len({each.state for each in months.values()}) == 4


@given(changed=st.sets(st.sampled_from(DAYS), max_size=6), group_days=st.sampled_from([1, 3, 7, 99]))
def test_any_changed_days_change_the_months_of_their_row_groups_and_no_others(
    changed: set[datetime], group_days: int
) -> None:
    rows = pl.col(KEY).dt.truncate("1d").is_in(sorted(changed))
    after = _frame().with_columns(pl.when(rows).then(pl.col("x") + 1e-6).otherwise("x").alias("x"))
    groups = [DAYS[start : start + group_days] for start in range(0, len(DAYS), group_days)]
    expected = {f"{day:%Y-%m}" for group in groups if changed & {*group} for day in group}
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), _frame(), group_days * DAY_ROWS)
        before = _months(Path(folder))
        _write(Path(folder), after, group_days * DAY_ROWS)
        assert _changed(before, _months(Path(folder))) == expected


@given(present=st.sets(st.sampled_from(DAYS), min_size=1), then=st.sets(st.sampled_from(DAYS), min_size=1))
def test_any_days_that_come_or_vanish_change_their_months_and_no_others(
    present: set[datetime], then: set[datetime]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), _frame(present))
        before = _months(Path(folder))
        _write(Path(folder), _frame(then))
        after = _months(Path(folder))
    assert _changed(before, after) == {f"{day:%Y-%m}" for day in present ^ then}
    assert after.keys() == {f"{day:%Y-%m}" for day in then}


def test_a_row_group_with_a_row_without_key_counts_for_all_months(tmp_path: Path) -> None:
    holed = _frame().with_columns(pl.when(pl.int_range(pl.len()) != 9).then(KEY).alias(KEY))
    _write(tmp_path, holed)
    before = _months(tmp_path)
    assert sum(each.rows for each in before.values()) == holed.height - 1
    _write(tmp_path, holed.with_columns(pl.when(pl.int_range(pl.len()) != 9).then("x").otherwise(5.0).alias("x")))
    assert _changed(before, _months(tmp_path)) == {*MONTHS}


def test_a_row_group_without_any_key_counts_for_all_months_and_has_no_rows_of_any(tmp_path: Path) -> None:
    frame = _frame()
    _write(tmp_path, frame)
    before = _months(tmp_path)
    lost = frame.head(DAY_ROWS).with_columns(pl.lit(None, frame.schema[KEY]).alias(KEY))
    _write(tmp_path, pl.concat([frame, lost]))
    after = _months(tmp_path)
    assert _changed(before, after) == set(MONTHS)
    assert {month: state.rows for month, state in after.items()} == {month: s.rows for month, s in before.items()}


def test_rows_in_another_order_are_another_state(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    before = _months(tmp_path)
    _write(tmp_path, pl.concat([_frame()[:4], _frame()[8:12], _frame()[4:8], _frame()[12:]]))
    assert _changed(before, _months(tmp_path)) == {"2023-11"}


def test_a_column_more_or_of_another_name_changes_all_months(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    before = _months(tmp_path)
    _write(tmp_path, _frame().rename({"x": "y"}))
    assert _changed(before, _months(tmp_path)) == {*MONTHS}


def test_a_table_without_rows_has_no_month_and_one_whose_months_cannot_be_known_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, _frame().clear())
    assert _months(tmp_path) == {}
    for unknown in (_frame().drop(KEY), _frame().with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(KEY))):
        _write(tmp_path, unknown)
        assert LocalWarehouse(tmp_path).months([_table(tmp_path)]) == {}
    table_path(tmp_path, *NAME).write_bytes(b"PAR1")
    assert LocalWarehouse(tmp_path).months([_table(tmp_path)]) == {}


def test_a_file_that_is_not_the_described_one_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    table = _table(tmp_path)
    assert LocalWarehouse(tmp_path).months([replace(table, etag="another"), replace(table, table="gone")]) == {}


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, _frame())
    warehouse = LocalWarehouse(tmp_path)
    first = warehouse.months(warehouse.describe())
    with monkeypatch.context() as unread:
        unread.delattr(embedded, "months_or_none")
        assert warehouse.months(warehouse.describe()) == first
    _write(tmp_path, _frame(DAYS[:-1]))
    assert _changed(first[NAME], warehouse.months(warehouse.describe())[NAME]) == {"2024-02"}
    assert warehouse.months_refused == ""
