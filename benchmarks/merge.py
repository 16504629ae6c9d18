"""Compares the merge with everything that a user would use instead, and writes ``docs/performance.md``.

``python -m benchmarks.merge --tables 25 100 300 667``. ``--part copies`` takes aligned slabs only, in a tenth of the
time; ``--part shuffled`` takes raw checkpoints that all lie in another order than the spine, by the raw merge alone;
``--period`` cuts the slabs into pieces;
``--part mix --tables 60`` merges two mixes of columns, one of them with a new seed in each run, that lie in no order of
the spine. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from benchmarks import mixes
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count, make_folders, part_of
from benchmarks.measured import Apart, capped
from benchmarks.place import parser_of, workplace
from benchmarks.race import COPIES, MIXED, OTHERS, OURS, READERS, Race
from benchmarks.report import bars, table, write_section
from bqx_assets.base.settings import PeriodUnit

CAP_BYTES = 12 << 30
SPLICE_BAR = 1.2
SPLICE_PEAK_BYTES = 500_000_000
RAW_PEAK_BYTES = 1 << 30
RAW_CPU_BAR = 1.3
SIZE_BAR = 0.01
MIX_WALL_BAR = 0.5
MIX_CPU_BAR = 0.8
_MIX_COLUMNS = 25
"""Columns of each table of a mix."""
_JOINS = "eager joins"
_OUTPUTS = 2.2
"""Most outputs on disk at once, with their temporary files, beside raw checkpoints and slabs."""
_CELLS = "Cells: median wall seconds / CPU seconds / highest peak memory."
_MANY = 100
"""Number of tables above which raw merges run one round less than copies; the merges of others always run once."""


def main() -> None:
    """Make the data, run the race at every size, and write the results after each."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, nargs="+", default=[25, 100, 300, 667])
    parser.add_argument("--limit-seconds", type=float, default=600, help="longest time of a contestant's run")
    parser.add_argument("--others", nargs="*", default=list(OTHERS), choices=list(OTHERS), help="contestants to run")
    parser.add_argument("--part", choices=["copies", "shuffled", "mix"], help="run this part alone; default: the joins")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the mix; default: a new one")
    parser.add_argument("--period", default="none", choices=get_args(PeriodUnit), help="of which a slab has pieces")
    asked = parser.parse_args()
    if asked.part == "mix":
        sys.exit(0 if all(_mixed(asked).values()) else 1)
    most = max(asked.tables)
    chosen = chosen_tables(most)
    copies = _OUTPUTS + (0 if asked.data and asked.data.exists() else 2)
    needed_bytes = copies * BYTES_PER_VALUE * column_count(chosen) * asked.rows
    what = f"{most} tables and targets, {column_count(chosen):,} columns x {asked.rows:,} rows"
    with workplace(asked, needed_bytes, what) as home, capped(CAP_BYTES, asked.limit_seconds) as apart:
        whole = asked.data or home / "whole"
        if not whole.exists():
            make_folders(
                whole,
                chosen,
                asked.rows,
                asked.period,
                raw="all shuffled" if asked.part == "shuffled" else "half shuffled",
            )
        (home / "out").mkdir()
        races: list[Race] = []
        given_up = {name: "left out" for name in OTHERS if name not in asked.others}
        for count in sorted(asked.tables):
            races.append(_race(home, whole, count, asked.rounds))
            for _ in _steps(races[-1], apart, given_up, asked.part):
                _write(races, given_up, asked, is_capped=apart.group is not None)
    claims = {} if asked.part == "shuffled" else _splice_claims(races)
    claims |= {} if asked.part == "copies" else _raw_claims(races)
    sys.exit(0 if all(claims.values()) else 1)


def _mixed(asked: argparse.Namespace) -> dict[str, bool]:
    """Race the raw merge of two mixes against chained joins, and write the results; return the claims."""
    count = max(asked.tables)
    values = 2 * count * _MIX_COLUMNS * asked.rows
    races: dict[str, Race] = {}
    with (
        workplace(asked, 3 * mixes.BYTES_PER_VALUE * values, f"two mixes of {count} tables") as home,
        capped(CAP_BYTES, asked.limit_seconds) as apart,
    ):
        for name, kinds in (("six digits", mixes.ISSUED), (f"seed {asked.seed}", mixes.KINDS)):
            folder = (asked.data or home) / name.replace(" ", "_")
            tables = mixes.tables(asked.seed, count, _MIX_COLUMNS, tuple(kinds))
            if not folder.exists():
                make_folders(folder, tables, asked.rows, mixed=asked.seed)
            out = home / f"out of {name}"
            out.mkdir()
            races[name] = Race(folder, out, count, column_count(tables), asked.rounds)
            races[name].ours(apart, asked.rounds, MIXED)
        claims = _mix_claims(races)
        _write_mixed(races, claims, asked.rows, "a cap of 12 GiB" if apart.group is not None else "no memory cap")
    return claims


def _mix_claims(races: dict[str, Race]) -> dict[str, bool]:
    claims: dict[str, bool] = {}
    for name, race in races.items():
        raw, least, joins = (race.found[each] for each in ("raw merge", "decode + encode", _JOINS))
        wall, cpu = raw.seconds / joins.seconds, raw.cpu_seconds / least.cpu_seconds
        size = race.sizes["raw merge"] / race.sizes[_JOINS]
        claims |= {
            f"{name}: raw merge takes {wall:.2f}x the time of chained joins (bar {MIX_WALL_BAR}x)": wall
            <= MIX_WALL_BAR,
            f"{name}: {cpu:.2f}x the CPU of decode + encode (bar {MIX_CPU_BAR}x)": cpu <= MIX_CPU_BAR,
            f"{name}: peaks at {raw.peak_bytes / 1e6:,.0f} MB (bar 1,074 MB)": raw.peak_bytes < RAW_PEAK_BYTES,
            f"{name}: its file is {size:.2f}x the joins' (bar 1x)": size <= 1,
        }
    return claims


def _write_mixed(races: dict[str, Race], claims: dict[str, bool], rows: int, cap: str) -> None:
    lines = [[name, *(_cell(race, name) for race in races.values())] for name in MIXED]
    lines += [[f"{name}, file", *(_size(race, name) for race in races.values())] for name in MIXED]
    heads = [f"{name}: {race.tables} tables, {race.columns:,} columns" for name, race in races.items()]
    text = (
        f"{rows:,} rows; no table lies as the spine does; cold files, under {cap}. Polars writes by its default, zstd "
        f"at level 3. {_CELLS}"
    )
    title = "## Merge of raw checkpoints, mixed columns"
    write_section("mix", "\n\n".join((title, text, table(["", *heads], lines), bars(claims))))


def _race(home: Path, whole: Path, count: int, rounds: int) -> Race:
    folder = home / f"{count}"
    part_of(folder, whole, count)
    columns = column_count(chosen_tables(count))
    return Race(folder, home / "out", count, columns, rounds)


def _steps(race: Race, apart: Apart, given_up: dict[str, str], part: str | None) -> Iterator[None]:
    """Run the race in steps; yield after each step that has results to write."""
    free = Apart(None, apart.limit_seconds)  # a cap would keep the page cache from being warm
    if part != "shuffled":
        race.copies(free)
    if part != "copies":
        race.ours(apart, race.rounds if race.tables <= _MANY else max(1, race.rounds - 1))
    yield
    if part:
        race.remove()
        return
    race.others(apart, given_up)
    race.reading(free)
    yield


def _splice_claims(races: Sequence[Race]) -> dict[str, bool]:
    claims: dict[str, bool] = {}
    for race in races:
        size, found = f"{race.tables} tables", race.found
        for state in ("cold", "warm"):
            splice = found[f"splice, {state}"]
            ratio, synced = (splice.seconds / found[f"{name}, {state}"].seconds for name in ("cat", "cat + fsync"))
            claim = (
                f"{size}, {state}: splice takes {ratio:.2f}x `cat` (bar {SPLICE_BAR}x), {synced:.2f}x `cat` and fsync"
            )
            claims[claim] = ratio <= SPLICE_BAR
        peak = max(found[f"splice, {state}"].peak_bytes for state in ("cold", "warm"))
        claims[f"{size}: splice peaks at {peak / 1e6:,.0f} MB (bar 500 MB)"] = peak < SPLICE_PEAK_BYTES
    return claims


def _raw_claims(races: Sequence[Race]) -> dict[str, bool]:
    claims: dict[str, bool] = {}
    for race in races:
        size = f"{race.tables} tables"
        raw, least = race.found["raw merge"], race.found["decode + encode"]
        if raw.outcome or least.outcome:
            claims[f"{size}: raw merge {raw.outcome or least.outcome}"] = False
            continue
        cpu = raw.cpu_seconds / least.cpu_seconds
        difference = race.sizes["raw merge"] / race.sizes["decode + encode"] - 1
        claims |= {
            f"{size}: raw merge peaks at {raw.peak_bytes / 1e6:,.0f} MB (bar 1,074 MB)": raw.peak_bytes
            < RAW_PEAK_BYTES,
            f"{size}: raw merge takes {cpu:.2f}x the CPU of decode + encode (bar {RAW_CPU_BAR}x)": cpu <= RAW_CPU_BAR,
            f"{size}: raw merge's file {difference:+.2%} against Polars' of the same columns (bar +1%)": difference
            <= SIZE_BAR,
        }
    return claims


def _write(races: Sequence[Race], given_up: dict[str, str], asked: argparse.Namespace, *, is_capped: bool) -> None:
    rows: int = asked.rows
    cap = "a cap of 12 GiB, page cache included" if is_capped else "no memory cap (none could be set)"
    if asked.part == "shuffled":
        write_section("shuffled", _shuffled_text(races, rows, cap))
        return
    cut = "" if asked.period == "none" else f", one piece a {asked.period}"
    write_section(f"splice{cut}", _splice_text(races, rows, cut))
    if asked.part != "copies":
        write_section("merge", _raw_text(races, given_up, rows, cap))


def _splice_text(races: Sequence[Race], rows: int, cut: str) -> str:
    lines = [
        [f"{name}, {state}", *(_cell(race, f"{name}, {state}") for race in races)]
        for state in ("cold", "warm")
        for name in COPIES
    ]
    head = (
        f"{rows:,} rows; aligned slabs of {', '.join(f'{race.slabs_bytes / 1e9:.2f}' for race in races)} GB. {_CELLS}"
    )
    return "\n\n".join((f"## Splice{cut}", head, table(["", *_sizes(races)], lines), bars(_splice_claims(races))))


def _shuffled_text(races: Sequence[Race], rows: int, cap: str) -> str:
    lines = [[name, *(_cell(race, name) for race in races)] for name in OURS]
    text = f"{rows:,} rows; every table shuffled, with missing and extra rows; cold files, under {cap}. {_CELLS}"
    title = "## Merge of raw checkpoints, every table shuffled"
    return "\n\n".join((title, text, table(["", *_sizes(races)], lines), bars(_raw_claims(races))))


def _raw_text(races: Sequence[Race], given_up: dict[str, str], rows: int, cap: str) -> str:
    joins = [[name, *(_cell(race, name, given_up) for race in races)] for name in (*OURS, *OTHERS)]
    reads = [
        [f"{name}, {'spliced' if file == 'splice' else 'joined'}", *(_cell(race, f"{name}, {file}") for race in races)]
        for name in READERS
        for file in ("splice", "eager joins")
    ]
    written = [[f"{name}, file", *(_size(race, name) for race in races)] for name in ("raw merge", "eager joins")]
    return "\n\n".join(
        (
            "## Merge of raw checkpoints",
            f"{rows:,} rows; half of the tables shuffled, missing and extra rows; cold files, under {cap}. {_CELLS}",
            table(["", *_sizes(races)], [*joins, *written]),
            table(["Reading (warm)", *_sizes(races)], reads),
            bars(_raw_claims(races)),
        )
    )


def _sizes(races: Sequence[Race]) -> list[str]:
    return [f"{race.tables} tables, {race.columns:,} columns" for race in races]


def _cell(race: Race, name: str, given_up: dict[str, str] | None = None) -> str:
    runs = race.found.get(name)
    if runs is None:
        return f"not run ({given_up[name]})" if given_up and name in given_up else "-"
    if runs.outcome:
        return runs.outcome
    return f"{runs.seconds:.2f} / {runs.cpu_seconds:.2f} / {runs.peak_bytes / 1e6:,.0f} MB"


def _size(race: Race, name: str) -> str:
    return f"{race.sizes[name] / 1e6:,.1f} MB" if name in race.sizes else "-"


if __name__ == "__main__":
    main()
