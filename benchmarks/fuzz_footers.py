"""Merges and validates thousands of files with damaged footers and pages.

``python -m benchmarks.fuzz_footers --count 4000 --seed 1``.
Each file is handled in a process of its own that may be killed or hang without ending the run. The changes and their
verdict are in ``bqx_assets_tests.merge.mutations``.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.child import peak_bytes
from bqx_assets_tests.merge.mutations import TABLE, judge, mutate, write_bases

_BATCH = 100
_LONGEST_SECONDS = 20
_LOADING_SECONDS = 60
_MOST_BYTES = 2 << 30


def main() -> int:
    """Run the cases; print every fault and the count of each outcome; return 1 if there was any fault."""
    arguments = _arguments()
    if arguments.worker:
        return _work(Path(arguments.worker), arguments.seed, arguments.first, arguments.count)
    began = time.perf_counter()
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    longest, largest = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        done = arguments.first
        while done < arguments.first + arguments.count:
            batch = min(_BATCH, arguments.first + arguments.count - done)
            for fact in _batch(Path(folder), arguments.seed, done, batch):
                done += 1
                outcomes[f"{fact['change']}: {fact['outcome']}"] += 1
                longest, largest = max(longest, fact["seconds"]), max(largest, fact["peak_bytes"])
                if fact["fault"] or fact["peak_bytes"] > _MOST_BYTES or fact["seconds"] > _LONGEST_SECONDS:
                    faults.append(str(fact["fault"]))
                    print(f"FAULT: {json.dumps(fact)}", flush=True)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:6,}  {outcome}")
    print(f"{outcomes.total():,} files in {time.perf_counter() - began:,.0f} s, {len(faults)} faults; "
          f"the longest took {longest:.1f} s, the largest process {largest / 1e6:,.0f} MB")  # fmt: skip
    return int(bool(faults))


def _batch(folder: Path, seed: int, first: int, count: int) -> list[dict[str, Any]]:
    """Return the facts of the cases up to and including the one that ended its process."""
    command = [sys.executable, "-m", "benchmarks.fuzz_footers", "--worker", str(folder), "--seed", str(seed)]
    facts: list[dict[str, Any]] = []
    with subprocess.Popen(
        [*command, "--first", str(first), "--count", str(count)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        output = cast("IO[bytes]", process.stdout)
        while len(facts) < count:
            limit = _LONGEST_SECONDS if facts else _LOADING_SECONDS + _LONGEST_SECONDS
            began = time.perf_counter()
            ready, _, _ = select.select([output], [], [], limit)
            line = output.readline() if ready else b""
            if not line:
                process.kill()
                how = f"no end in {limit} s" if not ready else f"ended by {process.wait()}"
                facts.append({"case": first + len(facts), "change": "any", "outcome": how, "fault": how,
                              "seconds": time.perf_counter() - began, "peak_bytes": 0})  # fmt: skip
                return facts
            facts.append(json.loads(line))
    return facts


def _work(folder: Path, seed: int, first: int, count: int) -> int:
    raw = folder / "raw"
    bases = write_bases(raw)
    for case in range(first, first + count):
        began = time.perf_counter()
        table = raw / f"{TABLE}.parquet"
        base = bases[case % len(bases)]
        change = mutate(base, table, hash((seed, case)))
        outcome, fault = "", ""
        try:
            outcome = judge(raw, folder / "out.parquet")
        except BaseException as error:  # noqa: BLE001 -- a panic of Polars is no Exception
            outcome, fault = "fault", f"{error!r:.400}; {traceback.format_exc()[-1200:]}"
        facts = {"case": case, "base": base.stem, "change": change, "outcome": outcome, "fault": fault,
                 "seconds": time.perf_counter() - began, "peak_bytes": peak_bytes()}  # fmt: skip
        print(json.dumps(facts), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first case, to repeat one")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
