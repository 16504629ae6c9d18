"""Counts of what is billed belong to the process, and are right under threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bqx_assets.base.usage import Usage, billed_bytes, count, used


def test_counts_add_up_from_all_threads() -> None:
    before = used()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, [Usage(class_a=1, written_bytes=10)] * 1_000))
    assert used() - before == Usage(class_a=1_000, written_bytes=10_000)


@pytest.mark.parametrize(
    ("processed", "billed_mib"), [(0, 0), (1, 10), (10 << 20, 10), ((10 << 20) + 1, 11), (1 << 40, 1 << 20)]
)
def test_a_query_is_billed_in_whole_mebibytes_and_at_least_ten(processed: int, billed_mib: int) -> None:
    assert billed_bytes(processed) == billed_mib << 20
