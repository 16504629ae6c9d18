"""Freed memory is at hand again: the kernel is not asked for it anew."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FRESH = """
import resource, sys
if sys.argv[1] == "kept":
    from bqx_assets.base.malloc_tuning import keep_freed_memory
    keep_freed_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytes(b"x" * (6 << 20)) for _ in range(4)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 4 * (6 << 20) // 4096
"""Of one round's pieces."""


def _faults(how: str, **environment: str) -> int:
    command = [sys.executable, "-c", FRESH, how]
    asked = os.environ | environment
    return int(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60, env=asked).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pieces_freed_and_wanted_again_are_not_fetched_anew() -> None:
    assert _faults("kept") < PAGES < _faults("as it starts out")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_the_environment_says_goes_first() -> None:
    assert _faults("kept", MALLOC_MMAP_THRESHOLD_="131072") > PAGES
