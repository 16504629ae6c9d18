"""Tunes the C library's allocator so that freed memory is reused instead of returned to the system."""

from __future__ import annotations

import ctypes
import os
import platform

_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20), "MALLOC_TRIM_THRESHOLD_": (-1, 64 << 20)}
"""The environment variable of each glibc setting, with the number that ``mallopt`` knows it by and its value here."""


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory in each arena for later allocations; do nothing on other systems.

    gRPC allocates and frees several megabytes for each answer, and so does the search for a table's rows in the spine.
    By default glibc returns that memory to the kernel and requests it again, and the kernel clears each page: this
    takes about a fifth of the time of reading a table (``python -m benchmarks.extract``) and a twentieth of a merge of
    raw checkpoints. The values are the ones that glibc's own adjustment reaches in a process that has freed 32 MB in
    one piece. They hold for the whole process; environment variables of the same settings take precedence.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for variable, (number, value) in _SETTINGS.items():
        if variable not in os.environ:
            libc.mallopt(number, value)
