"""A folder is an object store for files that other programs put there, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bqx_assets.base.store.local import LocalObjectStore


@pytest.mark.parametrize("sidecars", [True, False], ids=["folder", "working folder"])
def test_a_file_dated_1970_is_an_object_as_archives_unpack_it(tmp_path: Path, *, sidecars: bool) -> None:
    (tmp_path / "x").write_bytes(b"bytes")
    os.utime(tmp_path / "x", ns=(0, 0))
    store = LocalObjectStore(tmp_path, sidecars=sidecars)
    found = store.head("x")
    assert found is not None
    assert store.read("x") == store.read("x", only_if=found.version) == b"bytes"
    assert store.put_bytes("x", b"others", only_if=found.version).version != found.version
