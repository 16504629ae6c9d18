"""The spine is exactly the rows whose shortest target, by the expectations, is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import DuplicateKeys, EmptyTable, NullKeys
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import DuplicatePolicy, Last
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract import memory, spine_keys
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.spine import latest_rows, spine_rows
from bqx_assets_tests.frames import FrameWarehouse, across_months, frame_job, frame_warehouse, slab_frame

_NAN = float("nan")
ROWS = 200


@pytest.fixture
def warehouse() -> FrameWarehouse:
    return frame_warehouse(ROWS)


def _slab(folder: Path, table: str) -> pl.DataFrame:
    return slab_frame(folder, table)


def _targets(**columns: list[float | None]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({KEY: pl.Series(range(rows)).cast(KEY_TYPE), **columns})


@pytest.mark.parametrize(
    ("windows", "horizons", "name"),
    [((90, 45), (30, 15), "target_bqx45_h15"), ((90,), (30,), "target_bqx90_h30"), ((45, 7), (5,), "target_bqx7_h5")],
)
def test_the_shortest_target_follows_from_the_expectations(
    windows: tuple[int, ...], horizons: tuple[int, ...], name: str
) -> None:
    own = load_expectations().model_copy(update={"windows": windows, "horizons": horizons})
    assert own.shortest_target() == name
    assert name in own.targets()


def test_a_window_and_a_horizon_are_added_by_the_expectations_file_alone(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    file = tmp_path / "expectations.toml"
    file.write_text("windows = [10, 45, 90]\nhorizons = [5, 15, 30]\n")
    stated = load_expectations(file)
    table = TARGETS_DATASET, "targets_eurusd"
    known = pl.Series([None] * 4 + [0.5] * (ROWS - 7) + [None] * 3)
    found = [(known if name == "target_bqx10_h5" else known.shift(9)).alias(name) for name in stated.targets()]
    warehouse.frames[table] = warehouse.frames[table].select(KEY, "pair", *found)
    job = frame_job(tmp_path / "slabs", warehouse)
    absent = job.expectations.known_absent
    record = extract_pair(replace(job, expectations=stated.model_copy(update={"known_absent": absent})))
    assert record.spine.rows == ROWS - 7
    assert [column.name for column in record.slabs[0].provenance.columns] == [KEY, *stated.targets()]
    assert {"target_bqx10_h30", "target_bqx90_h5"} < {*stated.targets()}


def test_rows_without_the_shortest_target_are_left_out_and_counted() -> None:
    read = _targets(target_bqx9_h3=[1.0, None, 2.0, _NAN, 3.0], target_bqx45_h15=[None, 1.0, None, None, None])
    frame, rows = spine_rows(read, "target_bqx9_h3", "eurusd/targets", "refuse")
    assert frame["target_bqx9_h3"].to_list() == [1.0, 2.0, 3.0]
    assert (rows.read, rows.matched, rows.extra, rows.missing) == (5, 3, 2, 0)


def test_targets_without_any_value_of_it_are_refused_by_its_name() -> None:
    with pytest.raises(EmptyTable, match="none with target_bqx9_h3"):
        spine_rows(_targets(target_bqx9_h3=[None, _NAN]), "target_bqx9_h3", "eurusd/targets", "refuse")


_MINUTES_A_DAY = 24 * 60


def _by_minute(known: list[bool]) -> pl.DataFrame:
    minutes = pl.Series(range(len(known))) * 60_000_000
    return pl.DataFrame({KEY: minutes.cast(KEY_TYPE), "t": [1.0 if each else None for each in known]})


@given(
    known=st.lists(st.booleans(), min_size=1, max_size=60),
    count=st.integers(1, 70),
    order=st.randoms(use_true_random=False),
)
def test_the_last_rows_are_the_last_of_the_spine_whatever_comes_after_or_between(
    known: list[bool], count: int, order: Random
) -> None:
    places = list(range(len(known)))
    order.shuffle(places)
    read = latest_rows(_by_minute(known)[places], "t", Last(count, "rows"), "eurusd/targets", "refuse")
    expected = [minute for minute, each in enumerate(known) if each][-count:]
    found = read.filter(pl.col("t").is_not_null()).get_column(KEY).sort().to_physical().to_list()
    assert found == [minute * 60_000_000 for minute in expected]


def test_the_last_days_are_counted_back_from_the_last_known_minute_and_not_from_the_last_row_or_now() -> None:
    known = [True] * (3 * _MINUTES_A_DAY) + [False] * 200
    read = latest_rows(_by_minute(known), "t", Last(2, "days"), "eurusd/targets", "refuse")
    frame, rows = spine_rows(read, "t", "eurusd/targets", "refuse")
    assert frame.height == 2 * _MINUTES_A_DAY
    assert frame[KEY].to_physical()[-1] == (3 * _MINUTES_A_DAY - 1) * 60_000_000
    assert (rows.read, rows.extra) == (2 * _MINUTES_A_DAY + 200, 200)


@pytest.mark.parametrize(("policy", "minutes"), [("first", [2, 3, 4, 3]), ("last", [1, 2, 3, 4, 3])])
def test_a_minute_counts_as_one_of_the_last_rows_if_the_row_that_stays_of_it_has_a_target(
    policy: DuplicatePolicy, minutes: list[int]
) -> None:
    again = _by_minute([False] * 5)[3:4]
    kept = latest_rows(pl.concat([_by_minute([True] * 5), again]), "t", Last(3, "rows"), "eurusd/targets", policy)
    assert kept.get_column(KEY).to_physical().to_list() == [minute * 60_000_000 for minute in minutes]


def test_a_minute_twice_is_refused_also_before_the_last_rows() -> None:
    with pytest.raises(DuplicateKeys):
        latest_rows(_by_minute([True] * 5)[[0, 0, 1, 2, 3]], "t", Last(3, "rows"), "eurusd/targets", "refuse")


def test_more_days_than_there_are_since_year_1_are_all_rows() -> None:
    early = pl.Series(KEY, [datetime(1, 2, day, tzinfo=UTC) for day in (1, 2, 3)], dtype=KEY_TYPE)
    read = pl.DataFrame([early, pl.Series("t", [1.0, 2.0, 3.0])])
    for days, kept in ((1, 1), (2, 2), (36_500, 3), (10**12, 3)):
        assert latest_rows(read, "t", Last(days, "days"), "eurusd/targets", "refuse").height == kept


def test_a_row_without_a_key_is_refused_with_the_last_rows_as_well() -> None:
    read = _by_minute([True, True]).with_columns(pl.lit(None).cast(KEY_TYPE).alias(KEY))
    with pytest.raises(NullKeys):
        latest_rows(read, "t", Last(1, "rows"), "eurusd/targets", "refuse")


@pytest.mark.parametrize(("last", "rows"), [("100 rows", 100), ("1d", ROWS), (f"{2 * ROWS} rows", ROWS)])
@pytest.mark.parametrize("period", ["none", "month"])
@pytest.mark.parametrize("knows_months", [False, True])
def test_the_last_rows_are_the_end_of_the_whole_spine_with_the_same_values(
    tmp_path: Path, warehouse: FrameWarehouse, last: str, rows: int, period: str, *, knows_months: bool
) -> None:
    across_months(warehouse).knows_months = knows_months
    extract_pair(frame_job(tmp_path / "whole", warehouse))
    job = frame_job(tmp_path / "last", warehouse, last=last, period=period)
    warehouse.requests.clear()
    record = extract_pair(job)
    assert (record.spine.rows, record.span) == (rows, f"the last {last}")
    for slab in record.slabs:
        whole = _slab(tmp_path / "whole", slab.table)
        assert_frame_equal(_slab(tmp_path / "last", slab.table), whole.tail(rows))
    features = [request for request in warehouse.requests if request.table.dataset == FEATURES_DATASET]
    assert min(request.start for request in features if request.start) == record.spine.first
    warehouse.reads.clear()
    assert extract_pair(job).slabs == record.slabs
    assert not warehouse.reads


def test_the_recorded_range_is_the_spines_whatever_the_step_after_it_was_asked_for(tmp_path: Path) -> None:
    warehouse = frame_warehouse(200)
    extract_spine(frame_job(tmp_path, warehouse, last="100 rows"))
    for asked in (None, "50 rows"):
        record = extract_features(frame_job(tmp_path, warehouse, last=asked))
        assert (record.spine.rows, record.span) == (100, "the last 100 rows")


def test_of_the_last_rows_no_earlier_period_is_read(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    across_months(warehouse).knows_months = True
    extract_pair(frame_job(tmp_path, warehouse, last="80 rows", period="month"))
    assert {request.period for request in warehouse.requests} == {"2024-02"}


def test_last_rows_move_with_the_targets_and_take_no_slab_of_the_spine_before(
    tmp_path: Path, warehouse: FrameWarehouse
) -> None:
    job = frame_job(tmp_path, warehouse, last="100 rows")
    before = extract_pair(job).spine
    assert extract_pair(job).spine == before
    name = (TARGETS_DATASET, "targets_eurusd")
    warehouse.frames[name] = warehouse.frames[name].with_columns(
        pl.when(pl.int_range(pl.len()) < pl.len() - 20).then(pl.col("^target_.*$"))
    )
    warehouse.revised["targets_eurusd"] = warehouse.modified + timedelta(days=1)
    after = extract_pair(job)
    assert (after.spine.rows, after.spine.last < before.last) == (100, True)
    assert {slab.provenance.spine_fingerprint for slab in after.slabs[1:]} == {after.spine.fingerprint}


@pytest.mark.parametrize("knows_months", [False, True])
def test_of_long_targets_the_keys_are_read_first_and_then_the_columns_in_stretches(
    tmp_path: Path, warehouse: FrameWarehouse, monkeypatch: pytest.MonkeyPatch, *, knows_months: bool
) -> None:
    across_months(warehouse).knows_months = knows_months
    extract_spine(frame_job(tmp_path / "at once", warehouse, period="month"))
    monkeypatch.setattr(memory, "SLICE_BYTES", 37 * 8 * 50)
    monkeypatch.setattr(spine_keys, "_AT_ONCE_BYTES", 0)
    warehouse.requests.clear()
    extract_spine(frame_job(tmp_path / "long", warehouse, period="month"))
    widths = [len(request.columns) for request in warehouse.requests]
    assert widths == [*([2, 2] if knows_months else [2]), *[50] * (4 + 3)]
    assert_frame_equal(_slab(tmp_path / "long", "targets_eurusd"), _slab(tmp_path / "at once", "targets_eurusd"))
