"""Measures what Dagster adds: loading, a run against the bare stages, its events, a backfill of 28 pairs.

``python -m benchmarks.dagster_cost --rows 3000 --tables 12``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks import graph_calls, loading, stages
from benchmarks.folders import PAIR
from benchmarks.measured import Apart, Run, Runs, alternating
from benchmarks.place import parser_of, workplace
from benchmarks.report import bars, table, write_section
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.progress import Silent
from bqx_assets.sandbox.create import create_warehouse

LOAD_BAR_SECONDS = 1.5
EVENTS_BAR_BYTES = 64 << 10
_PAIR_BYTES = 40_000_000
_LOADS = 5


def main() -> None:
    """Make a warehouse of 28 pairs, run it with and without Dagster, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--tables", type=int, default=12)
    asked = parser.parse_args()
    what = f"{len(ALL_PAIRS)} pairs, {asked.tables} tables each x {asked.rows:,} bars"
    apart = Apart(limit_seconds=1_800)
    with workplace(asked, len(ALL_PAIRS) * _PAIR_BYTES, what) as home:
        warehouse = home / "warehouse"
        create_warehouse(
            warehouse, pairs=ALL_PAIRS, rows=asked.rows, tables=asked.tables, seed=7, rates=None, progress=Silent()
        )
        loads = Runs([apart.run(loading.load) for _ in range(_LOADS)])
        bare, graph, events = Runs(), Runs(), Run()
        for number, name in enumerate(alternating(["bare", "graph"], asked.rounds)):
            place = _home(home / f"{name}-{number}", warehouse)
            runs, function = (bare, stages.whole) if name == "bare" else (graph, graph_calls.run)
            runs.runs.append(apart.run(function, place))
            if name == "graph" and not graph.outcome:
                events = apart.run(graph_calls.events, place, graph.runs[-1].result)
        every = _home(home / "every", warehouse)
        backfill = apart.run(graph_calls.backfill, every)
    _write(what, loads, bare, graph, events, backfill)


def _home(home: Path, warehouse: Path) -> Path:
    home.mkdir()
    shutil.copytree(warehouse, home / "warehouse", copy_function=shutil.copy2)
    return home


def _write(what: str, loads: Runs, bare: Runs, graph: Runs, events: Run, backfill: Run) -> None:
    over = graph.seconds - bare.seconds
    facts = events.result
    rows = [
        ["definitions loaded, after `import dagster`", _cell(loads), loads.spread],
        [f"{PAIR}, bare stages in one process", _cell(bare), bare.spread],
        [f"{PAIR}, through the graph in one process", _cell(graph), graph.spread],
        ["28 pairs, one after another, through the graph", _cell(Runs([backfill])), f"{backfill.result} published"],
    ]
    claims = {
        f"definitions load in {loads.seconds:.2f} s (bar 1.5 s)": loads.seconds < LOAD_BAR_SECONDS,
        f"the heaviest materialisation is {facts['heaviest']:,} bytes as an event (bar 65,536)": facts["heaviest"]
        < EVENTS_BAR_BYTES,
        f"all {len(ALL_PAIRS)} pairs published": backfill.result == len(ALL_PAIRS),
    }
    text = (
        f"A run through the graph takes {over:.2f} s more than its bare stages: {facts['events']} events, "
        f"{facts['bytes']:,} bytes of them, whatever the pair's size. "
        f"A pair of the backfill takes {backfill.seconds / len(ALL_PAIRS):.2f} s."
    )
    head = ["", "median s / CPU s / peak MB", "from-to s"]
    write_section(
        "dagster", "\n\n".join(("## Dagster's own cost", f"Demo size: {what}.", table(head, rows), text, bars(claims)))
    )
    sys.exit(0 if all(claims.values()) else 1)


def _cell(runs: Runs) -> str:
    return runs.outcome or f"{runs.seconds:.2f} / {runs.cpu_seconds:.2f} / {runs.peak_bytes / 1e6:,.0f}"


if __name__ == "__main__":
    main()
