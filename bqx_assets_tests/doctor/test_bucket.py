"""An output folder; a true bucket's lacks are in ``cloud/test_stranger.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.bucket import bucket_probes
from bqx_assets.doctor.case import Case
from bqx_assets.doctor.examine import examine
from bqx_assets.doctor.report import Line
from bqx_assets_tests.frames import EURUSD


def _folder(output: Path) -> Line:
    case = Case(Settings(output=str(output)), EURUSD)
    (line,) = examine(case, tuple(bucket_probes(case))).lines
    return line


def test_a_folder_that_is_there_is_written_to_and_nothing_stays(tmp_path: Path) -> None:
    assert _folder(tmp_path).state == "passed"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_will_be_made_is_not_made_now(tmp_path: Path) -> None:
    assert _folder(tmp_path / "a" / "b").found.endswith("will be made")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system here that takes no files")
def test_a_folder_is_tried_and_not_believed_by_its_permissions() -> None:
    """Those of /proc let root write, and no file can be made there."""
    line = _folder(Path("/proc/bqx/output"))
    assert (line.state, "/proc takes no files" in line.found) == ("missing", True)
    assert "BQX_OUTPUT" in line.cure


@pytest.mark.parametrize("below", ["file", "file/a"])
def test_a_file_in_the_place_of_the_folder_or_above_it_is_a_lack(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    assert _folder(tmp_path / below).state == "missing"
