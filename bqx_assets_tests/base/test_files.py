"""A file is complete or absent, whatever ends its writer."""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import FolderBusy, ForeignFile
from bqx_assets.base.files import (
    TEMP_MARK,
    JoinedBlocks,
    atomic_path,
    concatenate,
    locked,
    open_regular,
    regular_file,
    remove_partials,
    write_atomic,
)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_atomic(target, b"old")
    with pytest.raises(IsADirectoryError), atomic_path(target) as temp:  # noqa: PT012 -- the write inside is the point
        temp.write_bytes(b"half")
        tmp_path.write_bytes(b"")
    assert target.read_bytes() == b"old"
    assert _names(tmp_path) == ["a"]


def test_after_kill_9_only_a_partial_is_left_and_it_is_removed(tmp_path: Path) -> None:
    """Lesson 19: a half-written parquet counted as done."""
    code = (
        "import sys, time; from pathlib import Path; from bqx_assets.base.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temp:\n"
        " temp.write_bytes(b'half'); print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert remove_partials(tmp_path) == [], "a living writer's file was removed"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    removed: list[str] = []
    for _ in range(100):  # until the system has forgotten the process
        if removed := remove_partials(tmp_path):
            break
        time.sleep(0.02)
    assert len(removed) == 1
    assert TEMP_MARK in removed[0]
    assert _names(tmp_path) == []


@settings(deadline=None, max_examples=40)
@given(parts=st.lists(st.binary(max_size=300) | st.integers(0, 2), max_size=6))
def test_a_concatenation_is_its_parts_end_to_end(tmp_path_factory: pytest.TempPathFactory, parts: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("parts")
    files = [folder / str(number) for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * number * 5000)
    given_parts = [files[part] if isinstance(part, int) else part for part in parts]
    expected = b"".join(part.read_bytes() if isinstance(part, Path) else part for part in given_parts)
    assert concatenate(given_parts, folder / "out") == len(expected)
    assert (folder / "out").read_bytes() == expected


def test_where_direct_writes_are_refused_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        handle = really_open(path, flags & ~os.O_DIRECT, mode)
        if flags & os.O_DIRECT:
            os.close(handle)
            raise OSError(errno.EINVAL, "Invalid argument")
        return handle

    monkeypatch.setattr(os, "open", refusing)
    (tmp_path / "part").write_bytes(os.urandom(100_000))
    concatenate([tmp_path / "part", b"end"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "part").read_bytes() + b"end"


def test_parts_larger_than_the_buffers_and_short_writes_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_write = os.write

    def short(handle: int, data: memoryview) -> int:
        return really_write(handle, data[: 4 << 20])

    monkeypatch.setattr(os, "write", short)
    large = os.urandom(9 << 20)
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(large)
    assert concatenate([tmp_path / "first", b"x", large, tmp_path / "second"], tmp_path / "out") == 3 * len(large) + 1
    assert (tmp_path / "out").read_bytes() == large + b"x" + large + large


def test_a_full_disk_leaves_the_old_file_and_no_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part").write_bytes(b"x" * 1000)
    write_atomic(tmp_path / "out", b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        concatenate([tmp_path / "part"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert _names(tmp_path) == ["out", "part"]


@pytest.mark.parametrize(
    "name",
    [
        ".x.partial-y",
        ".notes.partial-old",
        ".partial-1-00000000",
        "a.partial-4194305-00000000",
        ".a.partial-4194305",
        ".a.partial-4194305-0000000",
        ".a.partial-4194305-0000000g",
        ".a.partial-4194305-00000000.bak",
    ],
)
def test_a_name_that_only_looks_like_a_partial_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody else's")
    (tmp_path / ".a.partial-4194305-0123abcd").write_text("of a dead process: no process has so high a number")
    (tmp_path / ".b.partial-4194305-0123abcd").mkdir()
    assert remove_partials(tmp_path) == [".a.partial-4194305-0123abcd"]
    assert sorted(_names(tmp_path)) == sorted([name, ".b.partial-4194305-0123abcd"])


def test_the_partial_of_any_file_has_the_form_that_is_removed(tmp_path: Path) -> None:
    for name in ("a", "training_eurusd.parquet", ".hidden", "a.partial-1", "[x]*?", "a\nb"):
        with atomic_path(tmp_path / name) as temp:
            left = temp.with_name(temp.name.replace(f"-{os.getpid()}-", "-4194305-"))
            temp.write_bytes(b"")
            temp.with_name(left.name).write_bytes(b"")
        assert remove_partials(tmp_path) == [left.name]


def test_a_lock_neither_empties_nor_follows_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(ForeignFile, match=r"\.lock: a symbolic link"), locked(tmp_path):
        pass
    assert victim.read_text() == "precious"
    (tmp_path / ".lock").unlink()
    os.link(victim, tmp_path / ".lock")  # a second name of the same file cannot be told from a lock: it is not touched
    with locked(tmp_path):
        assert victim.read_text() == "precious"


def test_a_dangling_link_makes_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ForeignFile), locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a folder"])
def test_a_special_file_as_a_lock_is_named_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / ".lock"
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "a socket":
            listener.bind(str(lock))
        elif kind == "a folder":
            lock.mkdir()
        else:
            os.mkfifo(lock)
        with pytest.raises(ForeignFile, match=kind) as caught, locked(tmp_path, busy="in use"):
            pass
    subprocess.run(caught.value.cure.partition(": ")[2], shell=True, check=True)  # noqa: S602 -- the cure as it is told
    with locked(tmp_path, busy="in use"):
        pass


def test_one_holder_at_a_time_even_within_a_process(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(FolderBusy, match="in use by me"), locked(tmp_path, busy="in use by me"):
        pass
    with locked(tmp_path, busy="in use by me"):
        pass


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, told in (("pipe", "a named pipe, not a file"), ("loop", "symbolic links"), (".", "a folder, not a file")):
        for read in (open_regular, regular_file):
            with pytest.raises(OSError, match=told):
                read(tmp_path / name)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(deadline=None, max_examples=60)
@given(
    blocks=st.lists(st.binary(max_size=9), max_size=6), calls=st.lists(st.tuples(st.booleans(), st.integers(-1, 60)))
)
def test_joined_blocks_are_read_as_the_file_of_their_bytes(blocks: list[bytes], calls: list[tuple[bool, int]]) -> None:
    joined, file = JoinedBlocks(blocks), io.BytesIO(b"".join(blocks))
    for seek, number in calls:
        if seek and number >= 0:
            assert joined.seek(number) == file.seek(number)
        else:
            assert joined.read(number) == file.read(number)
        assert joined.tell() == file.tell()
    assert joined.seek(0, os.SEEK_END) == file.seek(0, os.SEEK_END)
    assert joined.seek(0, os.SEEK_CUR) == joined.tell()
