"""Memory that is freed and wanted again at once, which the C library gives back to the system in between.

Belongs here: that one setting of the process, and why. Does not: how much is in use.
"""

from __future__ import annotations

import ctypes
import os
import platform

_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20), "MALLOC_TRIM_THRESHOLD_": (-1, 64 << 20)}
"""Glibc's own environment variable for a setting, ``mallopt``'s number for it, and its value here."""


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory an arena for the next who ask; elsewhere do nothing.

    An answer of some megabytes is put together by gRPC and freed a moment later, again and again; so is where a
    table's rows are in the spine. As glibc starts out, it hands that memory back and fetches it anew, page by page,
    each cleared by the kernel: about a fifth of what reading a table costs (``python -m benchmarks.extract``), a
    twentieth of a merge of raw checkpoints. The values are those that glibc's own adjustment ends at in a process that
    once freed 32 MB in one piece. For the whole process; what its environment says goes first.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for variable, (number, value) in _SETTINGS.items():
        if variable not in os.environ:
            libc.mallopt(number, value)
