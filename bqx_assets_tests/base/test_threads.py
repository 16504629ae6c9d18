"""Work in threads keeps its order, its limit and its errors, and ends at Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from bqx_assets.base.threads import in_threads


@pytest.mark.parametrize("ahead", [None, 0, 2])
def test_results_come_in_order_whichever_ends_first(ahead: int | None) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(in_threads(slow_first, range(20), 4, "t", ahead=ahead)) == [number * number for number in range(20)]


def test_no_more_results_are_kept_than_asked_for() -> None:
    begun = list[int]()
    results = in_threads(lambda number: begun.append(number) or number, range(100), 2, "t", ahead=3)
    assert next(results) == 0
    assert len(begun) <= 4


def test_an_error_is_raised_in_its_turn_and_what_has_not_begun_is_left_out() -> None:
    begun = list[int]()

    def fail_at_first(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise ValueError
        time.sleep(0.01)
        return number

    with pytest.raises(ValueError):  # noqa: PT011 -- it is this test's own
        list(in_threads(fail_at_first, range(500), 1, "t"))
    assert len(begun) < 50


def test_ctrl_c_does_not_wait_for_work_under_way() -> None:
    stalled, began = threading.Event(), time.monotonic()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(in_threads(lambda _: stalled.wait(20), range(4), 2, "t"))
        assert time.monotonic() - began < 2
    finally:
        stalled.set()
