"""A file is named by its path or address; what has the name and is no file is refused, or stays as it is."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting, ForeignFile
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.console.places import merge_pair, validate_place
from bqx_assets.console.summaries import reading_lines

EURUSD = parse_pair("eurusd")


def _validate(place: str) -> None:
    options = {"keep": False, "deep": True}
    validate_place(place, EURUSD, Settings(), load_expectations(), **options, progress=Silent())


def test_a_special_file_is_named_and_not_validated(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "loop.parquet").symlink_to("loop.parquet")
    kinds = {"pipe.parquet": "a named pipe", "loop.parquet": "symbolic links", ".": "a folder", "/dev/zero": "a device"}
    for name, kind in kinds.items():
        with pytest.raises(BadSetting, match=kind):
            _validate(str(tmp_path / name))


@pytest.mark.parametrize("place", ["GS://bucket/x.parquet", "gs:/bucket/x.parquet", "https://h/x.parquet", ""])
def test_an_address_of_another_form_is_refused_with_the_accepted_one(place: str) -> None:
    with pytest.raises(BadSetting, match="gs://bucket/name"):
        _validate(place)


def test_a_file_of_somebody_else_where_the_manifest_would_come_stays(tmp_path: Path) -> None:
    (tmp_path / "out.manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(ForeignFile, match="no manifest of a training file"):
        merge_pair(EURUSD, Settings(home=tmp_path), tmp_path, tmp_path / "out.parquet", Silent())
    assert (tmp_path / "out.manifest.json").read_text() == '{"name": "a web page"}'


@pytest.mark.parametrize("folder", ["exp[1]", 'it\'s "here" $HOME `id`', "a*?!{b}"])
def test_the_line_that_shows_how_to_read_a_file_reads_that_file(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    frame = pl.DataFrame({"interval_time": [1], "target_bqx45_h15": [424242.0]})
    with (tmp_path / folder / "f.parquet").open("wb") as file:
        frame.write_parquet(file)
    line = reading_lines(str(tmp_path / folder / "f.parquet"))[-1]
    assert "424242" in subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=60).stdout
