"""What races in ``benchmarks.merge``, each in a process of its own that reports its seconds and peak memory.

Run as ``python -m benchmarks.contestants NAME FOLDER OUTPUT``. Belongs here: one function a contestant. Does not: the
comparison.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.merge.engine import merge
from bqx_assets.merge.plan import plan_merge

_PAIR = parse_pair("eurusd")


def splice(folder: Path, output: Path) -> None:
    """Plan, pre-flight, splice, fsync, manifest: all that ``bqx merge`` does."""
    merge(plan_merge(_PAIR, folder, Settings()), output, engine="splice", progress=Silent())


def cat(folder: Path, output: Path) -> None:
    """``cat *.parquet > output``."""
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    with output.open("wb") as out:
        subprocess.run(["/bin/cat", *files], stdout=out, check=True)


def cat_synced(folder: Path, output: Path) -> None:
    """``cat`` and fsync: as durable as the splice's output."""
    cat(folder, output)
    handle = os.open(output, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def polars_joins(folder: Path, output: Path) -> None:
    """Chained eager left joins, as the users have it."""
    merged = pl.read_parquet(folder / "targets.parquet")
    for path in sorted(folder.glob("*.parquet")):
        if path.stem == "targets":
            continue
        prefix = table_prefix(path.stem, _PAIR)
        table = pl.read_parquet(path)
        renamed = table.rename({name: output_column(prefix, name) for name in table.columns if name != KEY})
        merged = merged.join(renamed, on=KEY, how="left")
    merged.write_parquet(output, compression="zstd", compression_level=1, row_group_size=merged.height)


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "splice": splice,
    "cat": cat,
    "cat + fsync": cat_synced,
    "raw merge": splice,
    "polars joins": polars_joins,
}


def main() -> None:
    """Run one contestant and print its measures as JSON."""
    name, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    started = time.perf_counter()
    CONTESTANTS[name](folder, output)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes()}))


def _peak_bytes() -> int:
    """VmHWM: getrusage's maximum would include what the parent held before this process was its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
