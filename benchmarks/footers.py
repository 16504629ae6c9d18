"""Measures what the footer of a whole training file costs its readers, by number of periods and by what it states.

``python -m benchmarks.footers --vary periods``, or ``periods-http``, or ``forms``. The files have 17,038 columns and
are spliced from small pieces, 64 rows a period. A piece takes as much of the file as one of a month would, mostly as
a hole: readers join ranges that lie close together, so columns must be as far apart as they really are.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from benchmarks import reader_calls
from benchmarks.columns import column, keys, targets
from benchmarks.folders import PAIR, chosen_tables
from benchmarks.measured import Apart, Run
from benchmarks.place import parser_of, workplace
from benchmarks.range_server import Served, range_server
from benchmarks.report import DOCUMENT, bars, table, write_section
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.merge.chunks import UNKNOWN, Chunk
from bqx_assets.merge.footer import Footer, RowGroup, merge_footers, parse_footer

_ROWS = 64
"""Rows of a period: a footer's size does not depend on them."""
_PIECE_BYTES = 3 << 20
"""Room of a piece in the file: 25 columns of a month's 31,700 rows take as much."""
_LATENCY_SECONDS = 0.030
_READERS = ("Polars", "pyarrow", "DuckDB", "the product")
_BAR = 2
"""For one of many periods a reader takes at most twice its share of all bytes; the key is read of the others too."""
_TITLES = {
    "periods": ("The footer on a disk", "in the page cache"),
    "periods-http": ("The footer over HTTP", f"each request after {_LATENCY_SECONDS * 1e3:.0f} ms"),
    "forms": ("What the footer states", "in the page cache"),
}


def _as_it_is(chunk: Chunk) -> Chunk:
    return chunk


def _without_bounds(chunk: Chunk) -> Chunk:
    return chunk._replace(low=None, high=None)


def _without_statistics(chunk: Chunk) -> Chunk:
    return _without_bounds(chunk)._replace(nulls=UNKNOWN)


def _without_encodings(chunk: Chunk) -> Chunk:
    return chunk._replace(encodings=())


FORMS: dict[str, Callable[[Chunk], Chunk]] = {
    "as the product writes it": _as_it_is,
    "bounds of the key only": _without_bounds,
    "statistics of the key only": _without_statistics,
    "no lists of encodings": _without_encodings,
}
"""Footers that state more or less of every column but the key."""
_AS_IT_IS = next(iter(FORMS))


class Case(NamedTuple):
    """A file: its periods, and the form of its footer."""

    periods: int
    form: str


class Use(NamedTuple):
    """A use of a file: how many columns are read (0: the schema), and whether of one period only."""

    columns: int
    one_period: bool = False

    def __str__(self) -> str:
        """Return the use in words."""
        if not self.columns:
            return "open, schema"
        return f"{self.columns} columns, {'one period' if self.one_period else 'all rows'}"


_COUNTS = (5, 500)
USES = (Use(0), *map(Use, _COUNTS), Use(_COUNTS[-1], one_period=True))


def main() -> None:
    """Make the files, read them in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--periods", type=int, nargs="+", default=[1, 6, 12, 24])
    parser.add_argument("--tables", type=int, default=667)
    parser.add_argument("--vary", choices=_TITLES, default="periods")
    asked = parser.parse_args()
    cases = [Case(periods, _AS_IT_IS) for periods in asked.periods]
    if asked.vary == "forms":
        cases = [Case(asked.periods[-1], form) for form in FORMS]
    with workplace(asked, 1e6 * asked.tables * len(cases), f"{asked.tables} tables, periods {asked.periods}") as home:
        files = {case: home / f"{number}.parquet" for number, case in enumerate(cases)}
        names, sizes = _make(files, asked.tables)
        server = range_server(home, _LATENCY_SECONDS) if asked.vary == "periods-http" else nullcontext(None)
        with server as served:
            found = _measured(files, names, asked.rounds, served)
    _write(asked.vary, sizes, len(names), found)


def _make(files: dict[Case, Path], tables: int) -> tuple[list[str], dict[Case, int]]:
    """Write the files; return the names of their columns and the sizes of their footers."""
    most = max(case.periods for case in files)
    handles = {case: os.open(path, os.O_CREAT | os.O_RDWR) for case, path in files.items()}
    footers: list[list[Footer]] = [[] for _ in range(most)]
    frames = _frames(tables, most * _ROWS)
    for number, frame in enumerate(frames):
        encodings = choose(frame, "balanced", {})
        for period in range(most):
            file = io.BytesIO()
            rows = frame.slice(period * _ROWS, _ROWS)
            with parquet_writer(cast("Any", file), rows, encodings) as writer:
                writer.write_table(as_arrow(rows))
            piece = file.getvalue()
            footer = parse_footer(piece, len(piece), frame.columns[0])
            footers[period].append(replace(footer, file_bytes=_PIECE_BYTES))
            for case, handle in handles.items():
                if period < case.periods:
                    os.pwrite(handle, piece, (period * (tables + 1) + number) * _PIECE_BYTES)
    sizes: dict[Case, int] = {}
    for case, handle in handles.items():
        stated = ([_in_form(each, FORMS[case.form]) for each in footers[period]] for period in range(case.periods))
        end = merge_footers(stated, [_ROWS] * case.periods, {})
        os.pwrite(handle, end, case.periods * (tables + 1) * _PIECE_BYTES)
        os.close(handle)
        sizes[case] = len(end)
    return [name for footer in footers[0] for name in footer.columns], sizes


def _frames(tables: int, rows: int) -> list[pl.DataFrame]:
    """Return the targets and the tables, with the columns' names as in a training file."""
    found = [targets(rows)]
    for number, each in enumerate(chosen_tables(tables)):
        rng = np.random.default_rng([19, number])
        prefix = table_prefix(each.table, PAIR)
        found.append(
            pl.DataFrame([column(output_column(prefix, name), kind, rows, rng) for name, kind in each.columns])
        )
    return found


def _in_form(footer: Footer, form: Callable[[Chunk], Chunk]) -> Footer:
    """Return the footer with all chunks but the key's in that form."""
    is_key = [name == KEY for name in footer.columns]
    groups = tuple(
        RowGroup(group.rows, tuple(c if key else form(c) for c, key in zip(group.chunks, is_key, strict=True)))
        for group in footer.groups
    )
    return replace(footer, groups=groups)


class Found(NamedTuple):
    """A run of a reader's use of a file, and what each round of it asked of the server."""

    run: Run
    requests: float
    read_bytes: float


Results = dict[tuple[str, Use, Case], Found]


def _measured(files: dict[Case, Path], names: list[str], rounds: int, served: Served | None) -> Results:
    home = next(iter(files.values())).parent
    lists = {count: reader_calls.write_names(names, count, home / f"{count}.json") for count in {*_COUNTS}}
    found: Results = {}
    for (case, path), reader, use in product(files.items(), _READERS, USES):
        if reader == "the product" and (use.columns or served):
            continue
        if served:
            served.reset()
        place = f"{served.address}/{path.name}" if served else str(path)
        columns = lists[use.columns] if use.columns else ""
        run = Apart().run(reader_calls.read, reader, place, columns, _span(use, case), rounds)
        if run.outcome or run.result != _expected(use, case, len(names)):
            raise SystemExit(f"{reader}, {use}, {case}: {run}")
        requests, read_bytes = (served.requests, served.read_bytes) if served else (0, 0)
        found[reader, use, case] = Found(run, requests / rounds, read_bytes / rounds)
        print(f"  {case.periods} periods, {case.form}: {reader}, {use}: {run.seconds:.2f} s", flush=True)
    return found


def _span(use: Use, case: Case) -> str:
    """Return the time range of the last period, or of all."""
    if not use.one_period:
        return ""
    first = keys(case.periods * _ROWS)[(case.periods - 1) * _ROWS]
    return f"{first.isoformat()}/2100-01-01T00:00:00+00:00"


def _expected(use: Use, case: Case, columns: int) -> int:
    return _ROWS * (1 if use.one_period else case.periods) if use.columns else columns


def _write(vary: str, sizes: dict[Case, int], columns: int, found: Results) -> None:
    """Write a table of the cases, and for HTTP whether one period is read alone."""
    cases, http = list(sizes), vary == "periods-http"
    heads = [case.form if vary == "forms" else f"{case.periods:,}" for case in cases]
    cell = _by_http if http else _on_disk
    lines = [["footer", *(f"{sizes[case] / 1e6:.1f} MB" for case in cases)]]
    lines += [
        [f"{reader}: {use}", *(cell(found[reader, use, case]) for case in cases)]
        for reader, use in dict.fromkeys((reader, use) for reader, use, _ in found)
    ]
    what = "seconds, requests, MB read" if http else "seconds, CPU seconds, MB of memory beyond the libraries"
    text = f"{columns:,} columns, {_TITLES[vary][1]}. Each cell: {what}."
    claims = _claims(found, cases[-1]) if http else {}
    corner = f"{cases[-1].periods} periods" if vary == "forms" else "periods"
    parts = [f"## {_TITLES[vary][0]}", text, table([corner, *heads], lines), *([bars(claims)] if claims else [])]
    write_section(f"footers-{vary}", "\n\n".join(parts), DOCUMENT.with_name("performance-footers.md"))
    sys.exit(0 if all(claims.values()) else 1)


def _on_disk(found: Found) -> str:
    run = found.run
    return f"{run.seconds:.2f}, {run.cpu_seconds:.2f}, {run.peak_bytes / 1e6:,.0f}"


def _by_http(found: Found) -> str:
    return f"{found.run.seconds:.2f}, {found.requests:,.0f}, {found.read_bytes / 1e6:,.1f}"


def _claims(found: Results, case: Case) -> dict[str, bool]:
    """Return whether each reader skips the other periods by the key's statistics, as the bytes of columns tell."""
    claims: dict[str, bool] = {}
    bar = _BAR / case.periods
    for reader in dict.fromkeys(reader for reader, _, _ in found):
        opened, everything, one = (found[reader, use, case].read_bytes for use in (USES[0], *USES[2:]))
        share = (one - opened) / (everything - opened)
        claim = f"{reader} reads {share:.1%} of the columns' bytes for one of {case.periods} periods (bar {bar:.1%})"
        claims[claim] = share <= bar
    return claims


if __name__ == "__main__":
    main()
