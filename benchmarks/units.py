"""Measures what a row group of a month, a quarter, half a year or a year costs: bytes, encoding and reading.

``python -m benchmarks.units --rows 177748 --columns 300`` and ``--rows 2160000 --columns 30``. The same values are
encoded as the product does, each piece by a choice of its own, and read whole.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import polars as pl

from benchmarks import mixes, selections
from benchmarks.measured import Apart, Run, make_warm
from benchmarks.place import parser_of, workplace
from benchmarks.report import DOCUMENT, table, write_section
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.merge.footer import Footer, merge_footers, parse_footer, read_footer

_YEAR_ROWS = 370_000
_UNITS = {"month": 12, "quarter": 4, "half-year": 2, "year": 1}
"""Row groups of a year."""
_CHUNK_BYTES = 92
_COLUMN_BYTES = 37
"""Bytes of a footer, by ``benchmarks.footers``: 2.2 MB at 17,038 columns and one period, 38.2 MB at 24."""
_COLUMNS = 17_038
_WIDEST_COLUMNS = 232


def main() -> None:
    """Write the values in row groups of each unit, read them, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--columns", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the values; default a new one")
    asked = parser.parse_args()
    what = f"{asked.columns} columns x {asked.rows:,} rows"
    lines: list[list[str]] = []
    with workplace(asked, 2 * mixes.BYTES_PER_VALUE * asked.columns * asked.rows, what) as home:
        frame = mixes.frame(asked.seed, asked.columns, asked.rows, list(mixes.KINDS))
        for unit, of_year in _UNITS.items():
            group_rows = min(asked.rows, -(-_YEAR_ROWS // of_year))
            path = home / f"{unit}.parquet"
            cpu_seconds = _write(frame, path, group_rows)
            make_warm([path])
            runs = [Apart().run(each, path, frame.width) for each in (selections.by_polars, selections.by_pyarrow)]
            groups = len(read_footer(path).groups)
            lines.append(_line(unit, groups, path.stat().st_size, cpu_seconds, runs, group_rows))
            path.unlink()
            print(f"  {lines[-1]}", flush=True)
    head = [
        "unit", "row groups", "MB", "encoding, CPU s", "Polars reads all, CPU s", "pyarrow reads all, CPU s",
        f"footer of {_COLUMNS:,} columns, MB", f"a period of {_WIDEST_COLUMNS} columns in memory, MB",
    ]  # fmt: skip
    text = f"{what}, seed {asked.seed}, all kinds of `benchmarks/mixes.py`; {_YEAR_ROWS:,} rows a year."
    section = f"## Units of a history of {asked.rows:,} rows\n\n{text}\n\n{table(head, lines)}"
    write_section(f"units-{asked.rows}", section, DOCUMENT.with_name("performance-footers.md"))


def _write(frame: pl.DataFrame, path: Path, group_rows: int) -> float:
    """Write the frame, each row group as a file of its own, under one footer; return the CPU seconds."""
    began = time.process_time()
    piece = path.with_suffix(".piece")
    footers: list[Footer] = []
    with path.open("wb") as file:
        for start in range(0, frame.height, group_rows):
            rows = frame.slice(start, group_rows)
            with parquet_writer(piece, rows, choose(rows, "balanced", {})) as writer:
                writer.write_table(as_arrow(rows), row_group_size=rows.height)
            data = piece.read_bytes()
            footers.append(parse_footer(data, len(data), piece.name))
            file.write(data)
        file.write(merge_footers([[each] for each in footers], [each.rows for each in footers], {}))
    piece.unlink()
    return time.process_time() - began


def _line(unit: str, groups: int, size_bytes: int, cpu_seconds: float, runs: list[Run], group_rows: int) -> list[str]:
    footer_bytes = _COLUMNS * (groups * _CHUNK_BYTES + _COLUMN_BYTES)
    return [
        unit,
        f"{groups}",
        f"{size_bytes / 1e6:,.1f}",
        f"{cpu_seconds:.1f}",
        *(run.outcome or f"{run.cpu_seconds:.2f}" for run in runs),
        f"{footer_bytes / 1e6:.1f}",
        f"{_WIDEST_COLUMNS * group_rows * 8 / 1e6:,.0f}",
    ]


if __name__ == "__main__":
    main()
