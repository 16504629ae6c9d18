"""An output folder, and which bucket is near the data; a true bucket's lacks are in ``cloud/test_stranger.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.settings import Settings
from bqx_assets.doctor.bucket import _near, bucket_probes
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


@pytest.mark.parametrize("below", ["file", "file/a"])
def test_a_file_in_the_place_of_the_folder_or_above_it_is_a_lack(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    assert _folder(tmp_path / below).state == "missing"


@pytest.mark.parametrize(
    ("bucket", "data", "near"),
    [
        ("US", "US", True),
        ("US-CENTRAL1", "us-central1", True),
        ("US-CENTRAL1", "US", True),
        ("US", "us-east1", True),
        ("EU", "europe-west1", True),
        ("EUROPE-WEST1", "EU", True),
        ("EU", "US", False),
        ("US-CENTRAL1", "us-east1", False),
        ("EUROPE-WEST1", "US", False),
        ("ASIA", "asia-east1", True),
    ],
)
def test_a_bucket_is_near_where_reading_from_it_crosses_no_region(bucket: str, data: str, near: bool) -> None:  # noqa: FBT001
    assert _near(bucket, data) is near
