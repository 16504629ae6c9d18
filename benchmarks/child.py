"""Measures one call in a process of its own: ``python -m benchmarks.child MODULE:FUNCTION ARGUMENT ...``.

Only the call is measured: libraries are imported before the clock starts.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

GROUP = "BENCHMARK_CGROUP"
"""Environment variable: the control group to join, if any."""


def main() -> None:
    """Call the function with the texts that follow it; print its measures and its result as a last line of JSON."""
    target, *arguments = sys.argv[1:]
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if group := os.environ.get(GROUP):
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    cpu, began = sum(os.times()[:4]), time.perf_counter()
    result = function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    facts = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes(), "result": result}
    # A function that measures a part of itself returns the measures of that part.
    print(json.dumps(facts | result if isinstance(result, dict) else facts))


def peak_bytes() -> int:
    """Return VmHWM, since the maximum of getrusage includes what the parent process held before the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
