"""Measures how readers use a whole training file: opening it, 500 columns, a period of them, all of it in batches.

``python -m benchmarks.readers``. Each reader has a process of its own, and reads from the page cache and over HTTP
ranges. ``--parts``: ``uses`` compares readers, ``options`` one reader with each of its options, ``order`` selections of
columns that lie apart with some that lie side by side. ``--data`` names a training file of eurusd, or a folder where
the generated ones are kept. Spark takes part where ``make test-readers`` has installed it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple, get_args

import polars as pl

from benchmarks import contestants, reader_calls, spark_calls
from benchmarks.folders import BYTES_PER_VALUE, PAIR, chosen_tables, column_count, make_folders
from benchmarks.measured import Apart, Run, Runs, alternating, make_warm
from benchmarks.place import parser_of, workplace
from benchmarks.range_server import Served, range_server
from benchmarks.report import DOCUMENT, table, write_section
from benchmarks.selections import spread
from bqx_assets.base.frame_files import end_bytes_of
from bqx_assets.base.names import KEY, SEPARATOR, table_prefix, target_name
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.merge.footer import read_footer
from bqx_assets_tests.merge.outside_readers import SPARK_PYTHON, why_not

_DOCUMENT = DOCUMENT.with_name("reading-fast.md")
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "mimalloc", "MALLOC_ARENA_MAX": "0"}
"""Allocators as programs have them that read training files, Arrow's own and glibc's without a limit of arenas."""
_SPARK = "Spark"
_READERS = ("Polars", "load_training", "pyarrow", "DuckDB", "pandas", _SPARK)
_PARTS = {"uses": "Readers", "options": "Options of readers", "order": "Columns side by side or apart"}
_PLACES = {"disk": "from the page cache", "http": "over HTTP ranges"}


class Use(NamedTuple):
    """A use of a file: a selection of columns (none: the schema), of one period or all, at once or in batches."""

    title: str
    selection: str = ""
    one_period: bool = False
    batches: bool = False


_OPEN = Use("open, schema")
_APART = Use("columns of five families", "apart")
_PERIOD = Use("the same, one period", "apart", one_period=True)
_ALL = Use("all columns, in batches", "all", batches=True)
"""Measured of one file and on a disk only, because it takes long."""
_USES = (
    _OPEN,
    _APART,
    _PERIOD,
    Use("the same, in batches", "apart", batches=True),
    _ALL,
)
_ORDERS = (_APART, Use("asked in another order", "shuffled"), Use("side by side", "beside"))


class File(NamedTuple):
    """A training file that is read: its size, that of its footer, and the time range of its longest period."""

    title: str
    path: Path
    size_bytes: int
    footer_bytes: int
    columns: int
    rows: tuple[int, ...]
    longest_span: str

    @classmethod
    def at(cls, path: Path) -> File:
        """Return the file at ``path``."""
        rows = read_footer(path).row_groups
        keys = pl.scan_parquet(path).select(KEY).collect().get_column(KEY)
        first = sum(rows[: rows.index(max(rows))])
        since, until = keys[first], keys.dt.offset_by("1m")[first + max(rows) - 1]
        with path.open("rb") as file:
            footer_bytes = end_bytes_of(file)
        title = f"{len(rows)} period{'s' * (len(rows) > 1)}"
        columns = len(pl.read_parquet_schema(path))
        return cls(
            title, path, path.stat().st_size, footer_bytes, columns, rows, f"{since.isoformat()}/{until.isoformat()}"
        )


class Found(NamedTuple):
    """The runs of one use, and what a run asked of the server on average."""

    runs: Runs
    requests: float
    read_bytes: float

    def __str__(self) -> str:
        """Return seconds, CPU seconds and memory; over HTTP also requests and MB."""
        run = self.runs
        if run.outcome:
            return run.outcome
        served = [f"{self.requests:,.0f}", f"{self.read_bytes / 1e6:,.0f}"] if self.requests else []
        return ", ".join([f"{run.seconds:.2f}", f"{run.cpu_seconds:.2f}", f"{run.peak_bytes / 1e6:,.0f}", *served])


def main() -> None:
    """Make the files, read them in turn, and write the results."""
    asked = _asked()
    tables = chosen_tables(asked.tables)
    what = f"{column_count(tables):,} columns x {asked.rows:,} rows, periods: {', '.join(asked.periods)}"
    needed_bytes = 2 * len(asked.periods) * BYTES_PER_VALUE * column_count(tables) * asked.rows
    with workplace(asked, 0 if asked.data and asked.data.exists() else needed_bytes, what) as home:
        for number, path in enumerate(_made(asked, home)):
            (home / f"{number}.parquet").symlink_to(path.absolute())
        files = [File.at(path) for path in sorted(home.glob("*.parquet"))]
        lists = _selections(files[0].path, asked.columns, home)
        for place, part in product(asked.places, asked.parts):
            speed = asked.bandwidth * 1e6
            server = range_server(home, asked.latency / 1e3, speed) if place == "http" else nullcontext(None)
            with server as served:
                _measure(part, _Bench(lists, served, asked.rounds, asked.limit), files, asked)


def _asked() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--tables", type=int, default=667)
    parser.add_argument("--periods", choices=get_args(PeriodUnit), nargs="+", default=["none", "month"])
    parser.add_argument("--columns", type=int, default=500, help="that are read of all")
    parser.add_argument("--readers", nargs="+", default=list(_READERS), choices=_READERS)
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS))
    parser.add_argument("--places", choices=_PLACES, nargs="+", default=list(_PLACES))
    parser.add_argument("--latency", type=float, default=30, help="milliseconds that a request waits")
    parser.add_argument("--bandwidth", type=float, default=0, help="MB a second of all requests; 0: not limited")
    parser.add_argument("--limit", type=float, default=300, help="seconds of one run")
    return parser.parse_args()


def _made(asked: argparse.Namespace, home: Path) -> Iterator[Path]:
    """Give the training files, and make those that are not there."""
    if asked.data and asked.data.is_file():
        yield asked.data
        return
    for period in asked.periods:
        folder = (asked.data or home) / f"{period}-{asked.tables}-{asked.rows}"
        path = folder / f"training_{PAIR}.parquet"
        if not path.exists():
            make_folders(folder, chosen_tables(asked.tables), asked.rows, period, raw="none")
            run = Apart().run(contestants.splice, folder / "slabs", path)
            if run.outcome:
                sys.exit(run.outcome)
            shutil.rmtree(folder / "slabs")
        yield path


def _selections(path: Path, count: int, home: Path) -> dict[str, Path]:
    """Write the names of each selection as the readers take them; return the files.

    A selection has all targets of one window, and as many numeric features of each family.
    """
    schema = pl.read_parquet_schema(path)
    family = {table_prefix(each.table, PAIR): each.family for each in expected_tables(PAIR)}
    window = target_name(load_expectations().windows[0], 0).removesuffix("0")
    targets = [name for name in schema if name.startswith(window)]
    features: dict[str, list[str]] = {}
    for name, kind in schema.items():
        prefix, separator, _ = name.partition(SEPARATOR)
        if separator and kind.is_numeric():
            features.setdefault(family[prefix], []).append(name)
    share = (count - len(targets)) // len(features)
    apart = [KEY, *targets, *(name for each in features.values() for name in spread(each, share))]
    beside = [KEY, *targets, *(name for each in features.values() for name in each[: len(each) // 2][-share:])]
    shuffled = random.Random(7).sample(apart, len(apart))  # noqa: S311 -- an order, no secret
    found = {"apart": apart, "beside": beside, "shuffled": shuffled, "all": list(schema)}
    for name, names in found.items():
        (home / f"{name}.json").write_text(json.dumps(names))
    return {name: home / f"{name}.json" for name in found}


@dataclass
class _Bench:
    """Runs readers in processes of their own."""

    lists: dict[str, Path]
    served: Served | None
    rounds: int
    limit_seconds: float

    def found(self, names: Sequence[str], file: File, use: Use) -> dict[str, Found]:
        """Return the runs of readers, which take turns."""
        runs = {name: Runs() for name in names}
        asked_of: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
        for name in alternating(names, 1 if use.batches else self.rounds):
            if self.served:
                self.served.reset()
            runs[name].runs.append(self._run(name, file, use))
            asked_of[name].append((self.served.requests, self.served.read_bytes) if self.served else (0, 0))
        for name, each in runs.items():
            print(f"  {file.title}, {use.title}: {name}: {each.outcome or f'{each.seconds:.2f} s'}", flush=True)
        means = {name: [statistics.mean(each) for each in zip(*found, strict=True)] for name, found in asked_of.items()}
        return {name: Found(runs[name], *means[name]) for name in names}

    def _run(self, reader: str, file: File, use: Use) -> Run:
        place = f"{self.served.address}/{file.path.name}" if self.served else str(file.path)
        words = (place, self.lists[use.selection] if use.selection else "", file.longest_span if use.one_period else "")
        if reader == _SPARK:
            apart = Apart(limit_seconds=self.limit_seconds, python=str(SPARK_PYTHON))
            run = apart.run(spark_calls.read, *words, 1 if use.batches else 2)
        else:
            apart = Apart(limit_seconds=self.limit_seconds)
            batches = "batches" if use.batches else ""
            run = apart.run(reader_calls.read, reader, *words, 1, batches, environment=_ENVIRONMENT)
        expected = file.columns if not use.selection else max(file.rows) if use.one_period else sum(file.rows)
        if not run.outcome and run.result != expected:
            sys.exit(f"{reader}, {use.title}: {run.result} instead of {expected}")
        return run


def _measure(part: str, bench: _Bench, files: Sequence[File], asked: argparse.Namespace) -> None:
    """Measure one part at one place, and write its section."""
    make_warm([file.path for file in files])
    place = "http" if bench.served else "disk"
    columns = {"uses": _USES, "options": (_APART,), "order": _ORDERS}[part]
    lines: list[list[str]] = []
    notes: list[str] = []
    for reader in asked.readers:
        if why := _not_run(reader, place, part):
            notes.append(f"{reader}: {why}.")
            continue
        names = [reader]
        if part == "options":
            names += [f"{reader}: {option}" for option in reader_calls.VARIANTS[reader]]
        for file in files:
            uses = [
                use
                for use in columns
                if _can(reader, use) and (use is not _ALL or (file is files[-1] and place == "disk"))
            ]
            cells = {use: bench.found(names, file, use) for use in uses}
            lines += [
                [name, file.title, *(str(cells[use][name]) if use in cells else "" for use in columns)]
                for name in names
            ]
    limit = f", {asked.bandwidth:g} MB a second" if asked.bandwidth else ""
    where = "in the page cache" if place == "disk" else f"each request after {asked.latency:g} ms{limit}"
    unit = "seconds, CPU seconds, MB of memory beyond the libraries" + ", requests, MB read" * (place == "http")
    sizes = ", ".join(
        f"{file.title} of {max(file.rows):,} rows {file.size_bytes / 1e9:.2f} GB with a footer of "
        f"{file.footer_bytes / 1e6:.1f} MB"
        for file in files
    )
    facts = (
        f"{files[0].columns:,} columns x {sum(files[0].rows):,} rows, {where}: {sizes}. {asked.columns} columns: key, "
        f"targets of one window, features of five families. Each cell: {unit}; the median of "
        f"{asked.rounds} processes, of batches one."
    )
    text = table(["reader", "file", *(use.title for use in columns)], lines)
    title = f"{_PARTS[part]}, {_PLACES[place]}"
    write_section(f"readers-{part}-{place}", "\n\n".join([f"## {title}", facts, text, *notes]), _DOCUMENT)


def _not_run(reader: str, place: str, part: str) -> str:
    """Return why a reader takes no part; empty if it does."""
    if reader == _SPARK:
        if part != "uses":
            return "it is measured as it comes"
        return "its client for HTTP cannot seek" if place == "http" else why_not("spark, vectorized")
    return ""


def _can(reader: str, use: Use) -> bool:
    """Return whether a reader has such a use: pandas has neither a schema alone nor batches."""
    return reader != "pandas" or bool(use.selection and not use.batches)


if __name__ == "__main__":
    main()
