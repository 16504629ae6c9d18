"""Writes results as Markdown tables: printed, and put into a document between the marks of each benchmark."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bqx_assets.base.files import write_atomic
from bqx_assets.base.process import worker_count

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
PAIR_DOCUMENT = DOCUMENT.with_name("performance-pair.md")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with the first column aligned to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bars(claims: dict[str, bool]) -> str:
    """Return one line per bar, with whether it holds."""
    return "\n".join(f"- {'holds' if holds else '**missed**'}: {claim}" for claim, holds in claims.items())


def provenance() -> str:
    """Return machine, commit, date and command in one line."""
    root = DOCUMENT.parent.parent
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True).stdout
    dirty = subprocess.run(
        [*git, "status", "--porcelain", "bqx_assets"], check=False, capture_output=True, text=True
    ).stdout
    memory = psutil.virtual_memory().total / (1 << 30)
    words = re.sub(r" ?--\w+ /\S+", "", " ".join(sys.argv[1:]))  # without the place of the data
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.strip() or 'unknown'}{' and changes' * bool(dirty)}, "
        f"{worker_count()} processors ({_processor()}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load average over 15 minutes {os.getloadavg()[2]:.1f}. "
        f"Command: `python -m {_module()} {words}`"
    )


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Print ``text`` and put it into the document, in place of what ``name``'s last run wrote; a new one goes last."""
    print(f"\n{text}\n", flush=True)
    begin, end = f"<!-- {name}: written by the benchmark -->", f"<!-- end of {name} -->"
    before, found, rest = document.read_text().partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    before = before if found else f"{before.rstrip()}\n\n"
    write_atomic(document, f"{before}{begin}\n{text}\n\n{provenance()}\n{end}{after}".encode())


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).stem


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
