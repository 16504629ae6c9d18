"""Encodes pieces of the widest table under a hard memory cap: the peak, and the bytes of memory that a value takes.

``python -m benchmarks.piece_memory``. Each piece comes in time slices of 32 MiB, as in an extraction, and its columns
are parts of one message for each slice, which is the costliest case. Exit code 1 where a piece is killed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.report import table
from bqx_assets.base.artifacts import RowAccount, SlabProvenance, SourceTable
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import encode_piece
from bqx_assets_tests.descriptions import MODIFIED
from bqx_assets_tests.servers.cloud_run.memory import memory_cap

_MIB = 1 << 20
_SLICE_BYTES = 32 * _MIB
_ROWS = {"nothing": 1_000, "half a year": 186_000, "a year": 371_000}


def main() -> None:
    """Encode each piece in a process of its own under the cap, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--columns", type=int, default=232)
    parser.add_argument("--mib", type=int, default=2048, help="the cap")
    asked = parser.parse_args()
    lines: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="bqx-piece-") as folder:
        for values in ("noise", "rounded"):
            base = 0
            for name, rows in _ROWS.items():
                cap = memory_cap(asked.mib * _MIB, Path(folder))
                call = ["benchmarks.piece_memory:encode", str(rows), str(asked.columns), values]
                done = subprocess.run(
                    cap.wrapped([sys.executable, "-m", "benchmarks.child", *call]),
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                peak = cap.peak_bytes()
                cap.close()
                if done.returncode:
                    sys.exit(
                        f"{name} of {values}: exit code {done.returncode} at {asked.mib} MiB\n{done.stderr[-600:]}"
                    )
                told, base = json.loads(done.stdout.splitlines()[-1]), base or peak
                count = rows * asked.columns
                lines.append([
                    f"{name} of {values}", f"{rows:,}", f"{count * 8 / _MIB:,.0f}", f"{told['result'] / _MIB:,.0f}",
                    f"{peak / _MIB:,.0f}", f"{(peak - base) / count:.1f}", f"{told['cpu_seconds']:.1f}",
                ])  # fmt: skip
    head = ["piece", "rows", "decoded, MiB", "encoded, MiB", "peak, MiB", "bytes a value", "CPU s, with the values"]
    print(table(head, lines))


def encode(rows: str, columns: str, values: str) -> int:
    """Encode a piece; return its size in bytes."""
    slices = _slices(int(rows), int(columns), rounded=values == "rounded")
    piece = encode_piece(slices, int(rows), _provenance, lambda frame: choose(frame, "balanced", {}))
    return piece.sums.size_bytes


def _slices(rows: int, columns: int, *, rounded: bool) -> Iterator[pl.DataFrame]:
    rng, size = np.random.default_rng(7), _SLICE_BYTES // (8 * columns)
    for first in range(0, rows, size):
        count = min(size, rows - first)
        message = rng.standard_normal(count * columns)
        if rounded:
            message.round(3, out=message)
        data = pa.py_buffer(message.data)
        parts = [
            pa.Array.from_buffers(pa.float64(), count, [None, data.slice(number * count * 8, count * 8)])
            for number in range(columns)
        ]
        frame = pl.DataFrame(pa.table(parts, [f"c{number}" for number in range(columns)]))
        del message, data, parts
        yield frame
        del frame


def _provenance() -> SlabProvenance:
    return SlabProvenance(
        pair="eurusd",
        role="feature",
        family="covariance",
        fingerprint="f",
        spine_fingerprint="s",
        source=SourceTable(dataset="features", table="t", rows=0, size_bytes=0, last_modified=MODIFIED, etag=""),
        snapshot_time=MODIFIED,
        rows=RowAccount(read=0, matched=0, missing=0, extra=0, duplicates=0),
        duplicate_policy="refuse",
        columns=(),
    )


if __name__ == "__main__":
    main()
