"""What an extraction takes is known before it reads: what cannot fit is refused, what is let in is not killed."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import NotEnoughMemory
from bqx_assets.base.names import KEY
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract import memory, spine_keys
from bqx_assets.extract.memory import MemoryBudget, peak_bytes, piece_memory_bytes, time_slices
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets.extract.periods import longest_rows
from bqx_assets_tests.extract.wide import emptied, extract_capped, wide_warehouse
from bqx_assets_tests.frames import START, FrameWarehouse, frame_job, frame_warehouse, minutes
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

MIB = 1 << 20
WIDEST = 8 + 232 * 8
"""Bytes of a row of the widest table."""


def test_what_a_piece_takes_is_over_what_was_measured_and_not_far() -> None:
    """``benchmarks.piece_memory``: 232 columns of noise in time slices, without libraries and warehouse."""
    for rows, measured_mib in ((186_000, 414), (371_000, 742)):
        assert 1.0 <= piece_memory_bytes(rows, WIDEST) / (measured_mib * MIB) <= 1.7


@pytest.mark.parametrize(
    ("rows", "unit", "gib", "fits"),
    [
        (2_160_000, "month", 2, True),
        (2_160_000, "quarter", 2, True),
        (2_160_000, "half-year", 2, True),
        (2_160_000, "year", 2, True),
        (2_160_000, "none", 2, False),
        (2_160_000, "none", 8, True),
        (400_000, "none", 2, True),
    ],
)
def test_what_a_container_takes_of_the_widest_table(rows: int, unit: PeriodUnit, gib: int, *, fits: bool) -> None:
    needed = peak_bytes(rows, longest_rows(rows, unit), [WIDEST], files=False)
    assert (needed <= 0.95 * gib * 2**30) == fits


@given(st.integers(1, 10**7), st.integers(1, 40))
def test_what_an_extraction_takes_does_not_grow_with_the_history_but_for_its_keys(rows: int, times: int) -> None:
    short, long = (peak_bytes(rows * n, rows, [WIDEST], files=False) for n in (1, times))
    assert long - short == rows * (times - 1) * 24


@pytest.fixture
def frames() -> FrameWarehouse:
    return frame_warehouse()


def _limit(monkeypatch: pytest.MonkeyPatch, rows_that_fit: int, width: int) -> None:
    """A container in which so many rows of a table so wide fit, and one more in twenty does not."""
    need = peak_bytes(rows_that_fit, rows_that_fit, [width], files=True)
    monkeypatch.setattr(memory, "is_memory", bool)
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: int(need / 0.95) + 1)


def test_without_a_range_a_spine_that_cannot_fit_is_refused_before_anything_is_read(
    tmp_path: Path, frames: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(monkeypatch, 10, 8)
    for extract in (extract_pair, extract_spine):
        with pytest.raises(NotEnoughMemory, match=r"eurusd: .*rows at once of up to .* GiB") as caught:
            extract(frame_job(tmp_path, frames))
        assert "bqx/memory_class" in str(caught.value)
    assert not frames.requests


@pytest.mark.parametrize("days", ["start", "last"])
def test_with_a_range_of_time_no_more_than_the_keys_are_read_before_the_refusal(
    tmp_path: Path, frames: FrameWarehouse, monkeypatch: pytest.MonkeyPatch, days: str
) -> None:
    _limit(monkeypatch, 10, 8)
    monkeypatch.setattr(spine_keys, "_AT_ONCE_BYTES", 0)
    job = frame_job(tmp_path, frames, start=START) if days == "start" else frame_job(tmp_path, frames, last="9d")
    with pytest.raises(NotEnoughMemory):
        extract_pair(job)
    (asked,) = frames.requests
    assert asked.columns == (KEY, "target_bqx45_h15")


def test_slabs_that_are_there_take_nothing_so_that_a_small_container_may_go_on_where_a_large_one_ended(
    tmp_path: Path, frames: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = extract_pair(frame_job(tmp_path, frames)).spine.rows
    _limit(monkeypatch, 10, 8)
    assert extract_pair(frame_job(tmp_path, frames)).spine.rows == rows
    frames.revised["mkt_vol"] = frames.modified
    frames.frames[FEATURES_DATASET, "mkt_vol"] = frames.frames[FEATURES_DATASET, "mkt_vol"].head(rows - 1)
    with pytest.raises(NotEnoughMemory):
        extract_features(frame_job(tmp_path, frames))


def test_in_a_container_whose_files_are_memory_a_pair_is_refused_before_it_is_read_or_done_and_never_killed(
    gcs_process: GcsServer, tmp_path: Path
) -> None:
    """The cure is followed to the word. At full size, 232 columns x 1,200,000 rows and 2 GiB: benchmarks.memory."""
    gcs_process.reset()
    gcs_process.bucket(BUCKET)
    wide_warehouse(tmp_path / "warehouse", 64_000)
    files = Path("/dev/shm") / tmp_path.name  # noqa: S108 -- files in memory are what this is about
    files.mkdir()
    try:
        refused, _ = extract_capped(tmp_path / "warehouse", files, gcs_process, 704 * MIB)
        assert "NotEnoughMemory: eurusd: 64,000 rows" in refused.stderr
        assert not gcs_process.buckets[BUCKET].live
        fits = re.search(r"BQX_LAST=(\d+ rows)", refused.stderr)
        assert fits is not None
        done, _ = extract_capped(tmp_path / "warehouse", files, gcs_process, 704 * MIB, BQX_LAST=fits[1])
        assert (done.returncode, f"{done.stdout.strip()} rows") == (0, fits[1]), done.stderr
    finally:
        emptied(files)


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


@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.integers(1, 12))
def test_stretches_cover_the_spine_without_gap_or_overlap(there: list[bool], size: int) -> None:
    keys = minutes(len(there)).filter(pl.Series(there))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "SLICE_BYTES", size * 8)
        found = time_slices(keys, 8)
    assert pl.concat([each.keys for each in found]).to_list() == keys.to_list()
    assert [each.first_row for each in found] == list(range(0, keys.len(), size))
    assert (found[0].start, found[-1].end) == (keys[0], keys[-1])
    assert all(one.end + timedelta(microseconds=1) == other.start for one, other in pairwise(found))
    assert all(each.keys.name == KEY for each in found)


def test_stretches_cover_a_range_that_is_wider_than_the_keys() -> None:
    keys = minutes(5)
    start, end = keys[0] - timedelta(days=1), keys[-1] + timedelta(days=1)
    found = time_slices(keys, memory.SLICE_BYTES // 2, start, end)
    assert [each.start for each in found] == [start, keys[2], keys[4]]
    assert found[-1].end == end


def test_a_row_wider_than_a_stretch_is_a_stretch() -> None:
    assert len(time_slices(minutes(5), 1 << 40)) == 5
