"""The budget lets in what fits together, and anything alone."""

from __future__ import annotations

import threading

from bqx_assets.extract.budget import MemoryBudget


def test_no_more_is_held_at_once_than_the_limit() -> None:
    budget = MemoryBudget(100)
    held, most, lock = 0, 0, threading.Lock()

    def work(size: int) -> None:
        nonlocal held, most
        with budget.hold(size):
            with lock:
                held += size
                most = max(most, held)
            threading.Event().wait(0.002)
            with lock:
                held -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (60, 40, 50, 30, 90, 10, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < most <= 100


def test_what_never_fits_is_admitted_alone() -> None:
    budget = MemoryBudget(1)
    with budget.hold(1_000):
        waiting = threading.Thread(target=lambda: budget.hold(1).__enter__())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
