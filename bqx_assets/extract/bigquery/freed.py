"""Memory that is freed and wanted again at once, which the C library gives back to the system in between.

Belongs here: that one setting of the process, and why. Does not: how much is in use.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MAP_THRESHOLD = -1, -3
"""``mallopt``'s numbers for what it sets."""
_MAP_FROM_BYTES = 32 << 20
_TRIM_FROM_BYTES = 2 * _MAP_FROM_BYTES


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory an arena for the next who ask; elsewhere do nothing.

    An answer of some megabytes is put together by gRPC and freed a moment later, again and again. As glibc starts out,
    it hands that memory back and fetches it anew, page by page, each cleared by the kernel: about a fifth of what
    reading a table costs (``python -m benchmarks.extract``). The values are those that glibc's own adjustment ends at
    in a process that once freed 32 MB in one piece. For the whole process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MAP_THRESHOLD, _MAP_FROM_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_FROM_BYTES)
