"""Extracts a pair with a table of 232 columns in 2 GiB that also hold its files: it is refused at once, or ends well.

``python -m benchmarks.memory``; smaller with ``--rows 300000``. Exit code 1 where a run is killed, or reads before it
is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from bqx_assets_tests.extract.wide import emptied, extract_capped, wide_warehouse
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

_MIB = 1 << 20
_FULL_ROWS = 1_200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=_FULL_ROWS)
    parser.add_argument("--others", type=int, default=0, help="tables of usual width besides")
    parser.add_argument("--mib", type=int, default=2048)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bqx-memory-") as folder, GcsServer() as gcs:
        gcs.bucket(BUCKET)
        warehouse = Path(folder) / "warehouse"
        wide_warehouse(warehouse, asked.rows, asked.others)
        files = Path(tempfile.mkdtemp(prefix="bqx-memory-", dir="/dev/shm"))
        try:
            sys.exit(0 if _ran(warehouse, files, gcs, asked.mib) else 1)
        finally:
            emptied(files)


def _ran(warehouse: Path, files: Path, gcs: GcsServer, mib: int) -> bool:
    """Run without a range, then with the one that a refusal proposes; return whether both ended as expected."""
    variables: dict[str, str] = {}
    for _ in range(2):
        began = time.monotonic()
        done, peak_bytes = extract_capped(warehouse, files, gcs, mib * _MIB, **variables)
        fits = re.search(r"BQX_LAST=(\d+ rows)", done.stderr)
        refused = "NotEnoughMemory" in done.stderr and fits is not None
        outcome = "refused before reading" if refused else f"exit code {done.returncode}, {done.stdout.strip()} rows"
        print(f"{variables or 'no range'}: {outcome}, {peak_bytes / _MIB:,.0f} MiB of {mib:,}, "
              f"{time.monotonic() - began:.0f} s, {len(gcs.buckets[BUCKET].live):,} objects")  # fmt: skip
        if not refused:
            return done.returncode == 0
        if gcs.buckets[BUCKET].live or variables:
            return False
        variables = {"BQX_LAST": fits[1]} if fits else {}
    return False


if __name__ == "__main__":
    main()
