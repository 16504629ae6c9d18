"""The merge against what everybody has: splice against ``cat``, raw checkpoints against chained Polars joins.

``python -m benchmarks.merge --tables 100 --rows 177748``. Belongs here: the race and its verdict. Does not: the
contestants. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.folders import chosen_tables, columns_of, make_raw, make_slabs
from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file
from bqx_assets.base.limits import disk_free_bytes

SPLICE_BAR = 1.5
SPLICE_GOAL = 1.2
SPLICE_PEAK_BYTES = 500_000_000
RAW_PEAK_BYTES = 1 << 30
_COPIES = 4
"""Raw checkpoints, slabs, and two outputs in being at once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A contestant's runs."""

    seconds: float
    """The median."""
    fastest_seconds: float
    peak_bytes: int
    """The highest."""


def race(names: list[str], folders: dict[str, Path], output: Path, rounds: int) -> dict[str, Measured]:
    """Run the contestants in turn, ``rounds`` times, each in its own process, the order turned each round.

    The outputs are removed and the disk is synced between runs, so none pays for another's writing.
    """
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            target = output / f"{name.replace(' ', '_')}.parquet"
            target.unlink(missing_ok=True)
            os.sync()
            command = [sys.executable, "-m", "benchmarks.contestants", name, str(folders[name]), str(target)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs[name].append(json.loads(done.stdout))
            last = runs[name][-1]
            print(f"  {name}: {last['seconds']:.2f} s, {last['peak_bytes'] / 1e6:,.0f} MB", flush=True)
            _check(target)
            target.unlink()
    return {
        name: Measured(
            statistics.median(run["seconds"] for run in found),
            min(run["seconds"] for run in found),
            int(max(run["peak_bytes"] for run in found)),
        )
        for name, found in runs.items()
    }


def _check(target: Path) -> None:
    """End the race where a merged file is not what its manifest says."""
    if manifest_path(target).is_file():
        manifest = Manifest.load(manifest_path(target))
        read = pl.scan_parquet(target)
        shape = (read.select(pl.len()).collect().item(), len(read.collect_schema()))
        if crc32c_of_file(target) != manifest.file.crc32c or shape != (manifest.file.rows, manifest.file.columns):
            sys.exit(f"{target.name} is not what its manifest says")


def report(found: dict[str, Measured], size_bytes: int) -> bool:
    """Print the figures and whether every bar holds."""
    print(f"{'':14}{'median s':>10}{'fastest s':>11}{'peak MB':>9}")
    for name, each in found.items():
        print(f"{name:14}{each.seconds:>10.2f}{each.fastest_seconds:>11.2f}{each.peak_bytes / 1e6:>9,.0f}")
    splice, raw = found["splice"], found["raw merge"]
    ratio = splice.seconds / found["cat"].seconds
    synced = splice.seconds / found["cat + fsync"].seconds
    faster = found["polars joins"].seconds / raw.seconds
    bars = {
        f"splice of {size_bytes / 1e9:.2f} GB takes {ratio:.2f}x cat ({synced:.2f}x cat + fsync); bar {SPLICE_BAR}x, "
        f"goal {SPLICE_GOAL}x": ratio <= SPLICE_BAR,
        f"splice's peak below {SPLICE_PEAK_BYTES / 1e6:.0f} MB": splice.peak_bytes < SPLICE_PEAK_BYTES,
        f"raw merge {faster:.2f}x as fast as chained joins, bar: faster": faster > 1,
        "raw merge's peak below 1 GiB": raw.peak_bytes < RAW_PEAK_BYTES,
    }
    for claim, holds in bars.items():
        print(f"{'holds ' if holds else 'MISSED'} {claim}")
    return all(bars.values())


def main() -> None:
    """Make the data, race, report, clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--rounds", type=int, default=3, help="of the splice; raw merges run one less, at least one")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the data may lie")
    asked = parser.parse_args()
    tables = chosen_tables(asked.tables)
    needed_bytes = _COPIES * columns_of(tables) * asked.rows * 8
    free_bytes = disk_free_bytes(asked.folder)
    print(f"{len(tables)} tables, {columns_of(tables):,} columns x {asked.rows:,} rows; disk needed "
          f"{needed_bytes / 1e9:.1f} GB, free {free_bytes / 1e9:.1f} GB", flush=True)  # fmt: skip
    if free_bytes < needed_bytes:
        sys.exit("not enough disk: fewer --tables or --rows, or another --folder")
    home = Path(tempfile.mkdtemp(prefix="bqx-benchmark-", dir=asked.folder))
    try:
        make_raw(home / "raw", tables, asked.rows)
        make_slabs(home / "raw", home / "slabs", tables)
        (home / "out").mkdir()
        aligned = dict.fromkeys(["splice", "cat", "cat + fsync"], home / "slabs")
        joined = dict.fromkeys(["raw merge", "polars joins"], home / "raw")
        found = race(list(aligned), aligned, home / "out", asked.rounds)
        found |= race(list(joined), joined, home / "out", max(1, asked.rounds - 1))
        size_bytes = sum(path.stat().st_size for path in (home / "slabs").glob("*.parquet"))
        holds = report(found, size_bytes)
    finally:
        shutil.rmtree(home)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
