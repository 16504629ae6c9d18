"""The trend keeps each published report's totals, also of reports that are published at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from bqx_assets.fleet.trend import TREND_NAME, Point, add_point, load_trend
from bqx_assets_tests.fleet.states import NOW, fleet
from bqx_assets_tests.servers.memory_store import MemoryObjectStore

POINT = Point.of(fleet())


def test_a_point_has_the_totals_of_all_pairs() -> None:
    assert (POINT.pairs, POINT.published, POINT.good, POINT.failed) == (28, 23, 21, 4)
    assert POINT.rows > 25 * 177_748
    assert POINT.month_usd == 3.4


def test_points_are_kept_in_order_and_the_oldest_go() -> None:
    store = MemoryObjectStore()
    for day in range(3):
        add_point(store, POINT.model_copy(update={"at": NOW + timedelta(days=day)}))
    assert [point.at.day for point in load_trend(store)] == [27, 28, 29]
    many = [POINT] * 800
    store.put_bytes(TREND_NAME, b'{"points":[%s]}' % b",".join(point.as_json() for point in many))
    assert len(add_point(store, POINT)) == 730


def test_reports_at_the_same_time_lose_no_point() -> None:
    store = MemoryObjectStore()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: add_point(store, POINT.model_copy(update={"rows": number}), tries=50), range(12)))  # pyright: ignore[reportUnknownLambdaType]
    assert sorted(point.rows for point in load_trend(store)) == list(range(12))


def test_the_trend_of_a_later_version_is_not_replaced() -> None:
    store = MemoryObjectStore()
    later = b'{"format_version":99,"points":[]}'
    store.put_bytes(TREND_NAME, later)
    assert add_point(store, POINT) == (POINT,)
    assert store.read(TREND_NAME) == later


def test_a_damaged_trend_begins_anew() -> None:
    store = MemoryObjectStore()
    store.put_bytes(TREND_NAME, b"no json")
    assert load_trend(store) == ()
    assert add_point(store, POINT) == (POINT,)
