"""Extracts the pair in this one process for ``benchmarks.shared``, once a line on its standard input says so.

``python -m benchmarks.shared_process ADDRESS TABLES ROWS HOME OUTPUT STAGING``; without STAGING nothing is shared.
"""

from __future__ import annotations

import json
import os
import sys
import time

from benchmarks.folders import PAIR
from benchmarks.served import ServedWarehouse, home_of, job
from bqx_assets.base.store.open_store import open_store
from bqx_assets.base.store.staging_names import SHARED
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.pipeline import Pipeline


def main() -> None:
    """Make ready, wait, extract; print the seconds and the number of slabs as a line of JSON."""
    address, tables, rows, home, output, *staging = sys.argv[1:]
    settings = home_of(home, output)
    warehouse: Warehouse = ServedWarehouse(address, int(tables), int(rows))
    if staging:
        warehouse = StagedWarehouse(warehouse, open_store(home_of(home, staging[0])), SHARED)
    work = job(warehouse, settings, int(tables), int(rows), Pipeline(settings).slabs(PAIR))
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), sum(os.times()[:2])
    slabs = extract_pair(work).slabs
    facts = {"seconds": time.perf_counter() - began, "cpu_seconds": sum(os.times()[:2]) - cpu, "slabs": len(slabs)}
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
