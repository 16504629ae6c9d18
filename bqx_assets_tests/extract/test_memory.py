"""What an extraction takes is known before it reads: what cannot fit is refused, what is let in is not killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.errors import NotEnoughMemory
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, expected_tables, targets_table
from bqx_assets.extract import memory
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.local.layout import EXPECTATIONS_FILE, table_path
from bqx_assets.extract.local.table_files import write_table
from bqx_assets.extract.memory import Kept, peak_bytes
from bqx_assets.extract.pair import extract_features, extract_pair, extract_spine
from bqx_assets_tests.frames import EURUSD, START, FrameWarehouse, frame_job, frame_warehouse
from bqx_assets_tests.servers.cloud_run.memory import memory_cap
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

MIB = 1 << 20
WIDEST = 8 + 232 * 8
"""Bytes of a row of the widest table."""


@pytest.mark.parametrize(
    ("rows", "peak_mib"), [(100_000, 882), (200_000, 1_611), (300_000, 1_168), (400_000, 1_554)], ids=str
)
def test_the_estimate_is_over_what_was_measured_and_not_far(rows: int, peak_mib: int) -> None:
    """The first two with two tables at work at once, as a container of 6 GiB lets them in; the others in 2 GiB."""
    tables = 2 if rows <= 200_000 else 1
    alone = peak_bytes(0, [WIDEST], 200_000, "one at a time")
    estimated = alone + tables * (peak_bytes(rows, [WIDEST], 200_000, "one at a time") - alone)
    assert 1.0 <= estimated / (peak_mib * MIB) <= 1.6


@pytest.mark.parametrize(
    ("rows", "gib", "kept", "fits"),
    [
        (100_000, 2, "one at a time", True),
        (406_000, 2, "one at a time", True),
        (1_200_000, 2, "one at a time", False),
        (1_200_000, 2, "elsewhere", True),
        (1_200_000, 8, "one at a time", True),
        (2_160_000, 2, "one at a time", False),
        (2_160_000, 8, "one at a time", True),
    ],
)
def test_what_a_container_takes_of_the_widest_table(rows: int, gib: int, kept: Kept, *, fits: bool) -> None:
    """406,000 rows are 395 days of a market that is closed at weekends."""
    assert (peak_bytes(rows, [WIDEST], 200_000, kept) <= 0.95 * gib * 2**30) == fits


@pytest.fixture
def frames() -> FrameWarehouse:
    return frame_warehouse()


def _limit(monkeypatch: pytest.MonkeyPatch, rows_that_fit: int, width: int, kept: Kept = "all") -> None:
    """A container in which so many rows of a table so wide fit, and one more in twenty does not."""

    def kept_in_memory(job: Extraction) -> Kept:
        del job
        return kept

    monkeypatch.setattr(memory, "kept_in_memory", kept_in_memory)
    need = peak_bytes(rows_that_fit, [width], 0, kept)
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: int(need / 0.95) + 1)


def test_without_a_range_a_spine_that_cannot_fit_is_refused_before_anything_is_read(
    tmp_path: Path, frames: FrameWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(monkeypatch, 10, 8)
    for extract in (extract_pair, extract_spine):
        with pytest.raises(NotEnoughMemory, match=r"eurusd: .*rows of up to .* GiB") as caught:
            extract(frame_job(tmp_path, frames))
        assert "bqx/memory_class" in str(caught.value)
    assert not frames.requests


@pytest.mark.parametrize("days", ["start", "last"])
def test_with_a_range_of_time_no_more_than_the_keys_are_read_before_the_refusal(
    tmp_path: Path, frames: FrameWarehouse, monkeypatch: pytest.MonkeyPatch, days: str
) -> None:
    _limit(monkeypatch, 10, 8)
    by_moment = frame_job(tmp_path, frames, row_group_rows=64, start=START)
    job = by_moment if days == "start" else frame_job(tmp_path, frames, row_group_rows=64, last="9d")
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


_CHILD = """
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.extract.pair import extract_pair
from bqx_assets.runtime.workspace import Workspace
print(extract_pair(Workspace().extraction(parse_pair("eurusd"), Silent())).spine.rows)
"""


def _noise(name: str, kind: str, rows: int, rng: np.random.Generator) -> pl.Series:
    if kind == "STRING":
        return pl.Series(name, ["constant"]).new_from_index(0, rows)
    return pl.Series(name, rng.integers(1 << 62, size=rows) if kind == "INT64" else rng.standard_normal(rows))


def _wide_warehouse(root: Path, rows: int) -> None:
    """The targets and a table of 232 columns, in which no value repeats."""
    widest = max(expected_tables(EURUSD), key=lambda table: len(table.columns))
    rng = np.random.default_rng(7)
    keys = pl.Series(KEY, range(rows)).cast(pl.Int64) * 60_000_000
    key = keys.cast(pl.Datetime("us", "UTC"))
    names = [f"target_bqx{w}_h{h}" for w in (45, 90, 180, 360, 720, 1440, 2880) for h in range(15, 120, 15)]
    frames = {
        (TARGETS_DATASET, targets_table(EURUSD)): [pl.Series(name, rng.standard_normal(rows)) for name in names],
        (FEATURES_DATASET, widest.table): [_noise(*column, rows, rng) for column in widest.columns],
    }
    for (dataset, table), columns in frames.items():
        (root / dataset).mkdir(parents=True)
        write_table(table_path(root, dataset, table), pl.DataFrame([key, *columns]))
    absent = [each.table for each in expected_tables(EURUSD) if each.table != widest.table]
    text = "[known_absent]\n" + "".join(f'{name} = "not part of this test"\n' for name in absent)
    (root / EXPECTATIONS_FILE).write_text(text)


def test_in_a_container_whose_files_are_memory_a_pair_is_refused_before_it_is_read_or_done_and_never_killed(
    gcs_process: GcsServer, tmp_path: Path
) -> None:
    """The cure is followed to the word. At full size, 232 columns x 1,200,000 rows and 2 GiB: docs/adr/0013."""
    gcs_process.reset()
    gcs_process.bucket(BUCKET)
    _wide_warehouse(tmp_path / "warehouse", 64_000)
    files = Path("/dev/shm") / tmp_path.name  # noqa: S108 -- files in memory are what this is about
    files.mkdir()

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        cap = memory_cap(704 * MIB, files)
        environment = {"HOME": str(files), "TMPDIR": str(files), "BQX_HOME": str(files), "CLOUD_RUN_JOB": "bqx-pair"}
        environment |= {"BQX_WAREHOUSE": str(tmp_path / "warehouse"), "STORAGE_EMULATOR_HOST": gcs_process.url}
        environment |= {"BQX_OUTPUT": f"gs://{BUCKET}", "PATH": os.environ["PATH"], **variables}
        command = cap.wrapped([sys.executable, "-c", _CHILD])
        done = subprocess.run(
            command, env=environment, cwd=Path.cwd(), capture_output=True, text=True, check=False, timeout=120
        )
        cap.close()
        return done

    try:
        refused = run()
        assert "NotEnoughMemory: eurusd: 64,000 rows" in refused.stderr
        assert not gcs_process.buckets[BUCKET].live
        fits = re.search(r"BQX_LAST=(\d+ rows)", refused.stderr)
        assert fits is not None
        done = run(BQX_LAST=fits[1])
        assert (done.returncode, f"{done.stdout.strip()} rows") == (0, fits[1]), done.stderr
    finally:
        for left in sorted(files.rglob("*"), reverse=True):
            left.unlink() if left.is_file() else left.rmdir()
        files.rmdir()
