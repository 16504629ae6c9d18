"""Where an expectations file is: a path, its folder; what is none is refused by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.catalogue.expectations_file import read_text


def test_a_file_or_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "expectations.toml"
    file.write_text("version = 3\n")
    assert read_text(file) == read_text(str(tmp_path)) == (str(file), "version = 3\n")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.toml").write_text("\n")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(9 << 30)
    for name in ("none.toml", "pipe.toml", "binary.toml", "empty.toml", "large.toml", "."):
        with pytest.raises(BadSetting) as refused:
            read_text(tmp_path / name)
        assert refused.value.subject.startswith(f"expectations {tmp_path}")
