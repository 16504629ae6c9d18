"""The merge as a whole: pre-flight, whole files only, the manifest, progress; killed at any moment, it runs again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from bqx_assets.base.artifacts import ExtractionRecord, Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.errors import BadSetting, CheckpointMismatch, NotEnoughDisk, NotEnoughMemory
from bqx_assets.base.store.local import LocalObjectStore, working_folder
from bqx_assets.base.store.protocol import ObjectInfo
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.plan import check_disk, check_memory
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.slabs import PERIODS, SETTINGS, Told, extracted

_STEPS = (1, 7, 8, 14, 15)
"""Steps of a merge of seven tables in two periods: amid and at the end of each period, and the file."""
_KILLED = """
import os, signal, sys
from pathlib import Path
from bqx_assets.base.store.local import working_folder
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.slabs import SETTINGS, Told
folder, *steps = sys.argv[1:]
class Deadly(Told):
    def __init__(self, step):
        super().__init__()
        self.step = step
    def advance(self, stage, item, note=""):
        super().advance(stage, item, note)
        if len(self.steps) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
for step in steps:  # each in a process of its own, forked so that libraries are imported once
    process = os.fork()
    if not process:
        plan = plan_merge(EURUSD, working_folder(Path(folder, "slabs")), SETTINGS)
        merge(plan, *StoredFile.at(Path(folder, step, "training_eurusd.parquet")), progress=Deadly(int(step)))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slabs, and a folder for each of ``_STEPS`` in which a merge was killed after that step."""
    home = tmp_path_factory.mktemp("killed")
    extracted(home / "slabs")
    command = [sys.executable, "-c", _KILLED, str(home), *map(str, _STEPS)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, env=environment, timeout=60)
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Slabs of six tables."""
    return extracted(tmp_path / "slabs")


@pytest.mark.parametrize("engine", ["splice", "join"])
def test_a_merge_leaves_the_file_and_its_manifest_and_nothing_else(tmp_path: Path, folder: Path, engine: str) -> None:
    output = tmp_path / "out" / "training_eurusd.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), engine=engine, progress=Told()
    )
    assert Manifest.load(manifest_path(output)) == manifest
    assert {path.name for path in output.parent.iterdir()} == {output.name, "training_eurusd.manifest.json"}
    read = pl.read_parquet(output)
    assert (manifest.file.rows, manifest.file.columns) == read.shape
    assert manifest.engine == engine
    assert manifest.file.crc32c == crc32c_of_file(output)
    assert manifest.extraction == ExtractionRecord.load(folder / "extraction.json")


def test_progress_tells_every_table_of_every_period_and_the_peak_memory(tmp_path: Path, folder: Path) -> None:
    told = Told()
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    merge(plan, *StoredFile.at(tmp_path / "out.parquet"), progress=told)
    assert told.total == len(told.steps) == 15
    assert [item for item, _ in told.steps[:-1]] == [part.table for part in plan.parts] * 2
    assert [note for _, note in told.steps[:-1]] == ["2024-01"] * 7 + ["2024-02"] * 7
    assert "peak memory" in told.steps[-1][1]


def test_an_unknown_engine_is_a_usage_error(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadSetting, match="magic"):
        merge(
            plan_merge(EURUSD, working_folder(folder), SETTINGS),
            *StoredFile.at(tmp_path / "out.parquet"),
            engine="magic",
            progress=Told(),
        )


@pytest.mark.parametrize("left", [b"PAR1", None], ids=["other bytes", "gone"])
@pytest.mark.parametrize("period", PERIODS)
def test_a_piece_changed_since_the_plan_stops_the_merge_and_the_earlier_output_stays(
    tmp_path: Path, folder: Path, left: bytes | None, period: str
) -> None:
    output = tmp_path / "out.parquet"
    before = merge(plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), progress=Told())
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    piece = folder / "mkt_vol" / f"{period}.parquet"
    piece.unlink()
    if left is not None:
        piece.write_bytes(left)
    with pytest.raises(CheckpointMismatch, match=f"mkt_vol/{period}: changed since"):
        merge(plan, *StoredFile.at(output), progress=Told())
    assert crc32c_of_file(output) == before.file.crc32c
    assert Manifest.load(manifest_path(output)) == before


def test_of_two_merges_at_once_both_end_and_the_manifest_is_of_the_file(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, output = extracted(tmp_path / "other", period="none"), tmp_path / "out.parquet"
    put_file, later = LocalObjectStore.put_file, list[Thread]()
    ended: list[Manifest] = []

    def merged(slabs: Path) -> None:
        plan = plan_merge(EURUSD, working_folder(slabs), SETTINGS)
        ended.append(merge(plan, *StoredFile.at(output), progress=Told()))

    def put(store: LocalObjectStore, name: str, path: Path, *, move: bool = False) -> ObjectInfo:
        info = put_file(store, name, path, move=move)
        if not later:  # the first merge's file is there, its manifest is not
            later.append(Thread(target=merged, args=(other,)))
            later[0].start()
            later[0].join(0.5)
        return info

    monkeypatch.setattr(LocalObjectStore, "put_file", put)
    merged(folder)
    later[0].join()
    assert len({manifest.file.crc32c for manifest in ended}) == 2
    assert Manifest.load(manifest_path(output)).file.crc32c == crc32c_of_file(output)


def test_too_little_disk_or_memory_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDisk, match=r"eurusd: .* MB free"):
        check_disk(tmp_path / "not" / "there", 1 << 60, "eurusd")
    with pytest.raises(NotEnoughMemory, match=r"eurusd: .* MB of memory free"):
        check_memory(1 << 60, "eurusd")
    check_disk(tmp_path, 1, "eurusd")
    check_memory(1, "eurusd")


@pytest.mark.parametrize("step", _STEPS)
def test_killed_at_any_moment_no_half_file_is_trusted_and_a_rerun_ends_well(killed: Path, step: int) -> None:
    output = killed / str(step) / "training_eurusd.parquet"
    assert output.exists() == (step == _STEPS[-1])
    manifest = merge(
        plan_merge(EURUSD, working_folder(killed / "slabs"), SETTINGS), *StoredFile.at(output), progress=Told()
    )
    assert crc32c_of_file(output) == manifest.file.crc32c
    assert len(list(output.parent.iterdir())) == 2
