"""A path given to Polars is one file of exactly that name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.frame_files import parquet_schema, read_parquet, scan_parquet

MINE, DECOY = pl.DataFrame({"a": [1.5, 2.5]}), pl.DataFrame({"a": [0.0], "b": [0.0]})
_CHARACTERS = st.sampled_from([*"[]*?{}!^-~%#$&;:=@ \\'\"ab1", "é", "\n", "**"])


def _file(folder: Path, name: str) -> Path:
    """Write a frame under a name."""
    path = folder / f"{name}.parquet"
    with path.open("wb") as file:
        MINE.write_parquet(file)
    return path


@pytest.mark.parametrize(
    ("named", "decoy"),
    [("exp[1]", "exp1"), ("exp*", "expand"), ("exp?", "exp1"), ("exp**", "exp1"), ("e[a-z]p", "exp"), ("[!x]", "y")],
)
def test_a_folder_beside_which_its_name_as_a_pattern_matches_another(tmp_path: Path, named: str, decoy: str) -> None:
    for folder, frame in ((named, MINE), (decoy, DECOY)):
        (tmp_path / folder).mkdir()
        with (tmp_path / folder / "f.parquet").open("wb") as file:
            frame.write_parquet(file)
    path = tmp_path / named / "f.parquet"
    assert scan_parquet(path).collect().equals(MINE)
    assert read_parquet(path, ["a"]).equals(MINE)
    assert parquet_schema(path) == {"a": pl.Float64()}


@settings(deadline=None, max_examples=60)
@given(name=st.lists(_CHARACTERS, min_size=1, max_size=8).map("".join), folder=st.booleans())
def test_any_name_is_that_file(tmp_path_factory: pytest.TempPathFactory, *, name: str, folder: bool) -> None:
    home = tmp_path_factory.mktemp("names")
    inside = home / name if folder else home
    inside.mkdir(exist_ok=True)
    parquet = _file(inside, name)
    assert scan_parquet(parquet).collect().equals(MINE)
    assert read_parquet(parquet).equals(MINE)


@pytest.mark.parametrize("name", ["~/f", "file:f", "gs:f", "k=v/f", "s3:/f"])
def test_a_relative_path_is_no_home_no_address_and_no_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    parquet = _file(Path(), name)
    assert scan_parquet(parquet).collect().equals(MINE)
    assert read_parquet(parquet).equals(MINE)


def test_what_is_no_regular_file_is_refused_by_its_kind_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "folder.parquet").mkdir()
    MINE.write_parquet(tmp_path / "folder.parquet" / "inside.parquet")
    (tmp_path / "loop.parquet").symlink_to(tmp_path / "loop.parquet")
    (tmp_path / "dangling.parquet").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.parquet"))
        kinds = {
            tmp_path / "pipe.parquet": "a named pipe, not a file",
            tmp_path / "folder.parquet": "a folder, not a file",
            tmp_path / "socket.parquet": "a socket, not a file",
            Path("/dev/zero"): "a device, not a file",
            tmp_path / "loop.parquet": "Too many levels of symbolic links",
            tmp_path / "dangling.parquet": "No such file",
        }
        for path, told in kinds.items():
            for read in (scan_parquet, read_parquet, parquet_schema):
                with pytest.raises(OSError, match=told):
                    read(path)


def test_a_link_to_a_file_is_read_and_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    parquet = _file(tmp_path, "f")
    (tmp_path / "link[1].parquet").symlink_to(parquet)
    assert read_parquet(tmp_path / "link[1].parquet").equals(MINE)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.parquet"))
    os.link(parquet, odd)
    with pytest.raises(OSError, match="not UTF-8"):
        read_parquet(odd)
