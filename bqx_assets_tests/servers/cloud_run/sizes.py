"""The sizes of CPU and memory that a Cloud Run job may have together.

Source: https://docs.cloud.google.com/run/docs/configuring/jobs/memory-limits, read 2026-11.
"""

from __future__ import annotations

_GIB = 2**30
MEMORY_BYTES = {
    1: (_GIB // 2, 4 * _GIB),
    2: (_GIB // 2, 8 * _GIB),
    4: (2 * _GIB, 16 * _GIB),
    6: (4 * _GIB, 24 * _GIB),
    8: (4 * _GIB, 32 * _GIB),
}
"""CPUs to the least and the most memory. 512 MiB is the least of the second generation, which jobs always are."""
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


def memory_bytes(text: str) -> int:
    """Return a Kubernetes quantity such as ``512Mi`` in bytes."""
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def cpus(text: str) -> float:
    """Return a Kubernetes quantity such as ``2`` or ``2000m`` in CPUs."""
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def refusal(cpu: str, memory: str) -> str | None:
    """Return why Cloud Run refuses this size, or None."""
    bounds = MEMORY_BYTES.get(int(cpus(cpu))) if cpus(cpu).is_integer() else None
    if bounds is None:
        return f"Invalid value specified for cpu. {cpu} is none of {sorted(MEMORY_BYTES)}."
    if not bounds[0] <= memory_bytes(memory) <= bounds[1]:
        least, most = (f"{bound // 2**20}Mi" for bound in bounds)
        return f"Invalid value specified for memory. For {cpus(cpu)} CPU, memory must be between {least} and {most}."
    return None
