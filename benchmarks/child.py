"""One measured call in a process of its own: ``python -m benchmarks.child MODULE:FUNCTION ARGUMENT ...``.

Belongs here: what is measured, and that only the call is: libraries are imported before the clock starts. Does not:
what is called.
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
    """Call the function with the texts that follow it; print its measures and result as the last line, JSON."""
    target, *arguments = sys.argv[1:]
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if group := os.environ.get(GROUP):
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    cpu, began = sum(os.times()[:4]), time.perf_counter()
    result = function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    facts = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes(), "result": result}
    # A function that knows better what part of it is to be measured says so itself.
    print(json.dumps(facts | result if isinstance(result, dict) else facts))


def peak_bytes() -> int:
    """Return VmHWM: getrusage's maximum would include what the parent held before this process was its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
