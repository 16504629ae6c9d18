"""Runs all contestants of ``benchmarks.merge`` at one size, and compares every output with the slabs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from benchmarks import contestants, uses
from benchmarks.measured import Apart, Runs, alternating, make_cold, make_warm
from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file

COPIES: dict[str, Callable[[str, str], object]] = {
    "splice": contestants.splice,
    "cat": contestants.cat,
    "cat + fsync": contestants.cat_synced,
}
OURS: dict[str, Callable[[str, str], object]] = {
    "raw merge": contestants.raw_merge,
    "decode + encode": contestants.decode_encode,
}
OTHERS: dict[str, Callable[[str, str], object]] = {
    "eager joins": contestants.eager_joins,
    "lazy joins, sink": contestants.lazy_joins,
    "lazy horizontal concat": contestants.horizontal_concat,
    "DuckDB": contestants.duckdb_joins,
    "pyarrow": contestants.pyarrow_joins,
}
MIXED: dict[str, Callable[[str, str], object]] = {
    "raw merge": contestants.raw_merge,
    "decode + encode": contestants.decode_encode_by_default,
    "eager joins": contestants.eager_joins_by_default,
}
"""Contestants of mixes of columns; the others write by Polars' default."""
READERS: dict[str, Callable[[str], object]] = {
    "open (Polars)": uses.open_polars,
    "open (pyarrow)": uses.open_pyarrow,
    "read 50 columns": uses.read_50,
}
_WHOLE_TABLES = 30
"""Number of tables whose values are compared: all of them, up to this number."""


@dataclass(slots=True)
class Race:
    """The race at one size; ``folder`` holds ``raw`` and ``slabs``."""

    folder: Path
    out: Path
    tables: int
    columns: int
    rounds: int
    found: dict[str, Runs] = field(default_factory=dict[str, Runs])
    """Runs by contestant; names of copies and readers end with their state after a comma."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Size of each output in bytes."""
    slabs_bytes: int = 0

    def copies(self, apart: Apart) -> None:
        """Run splice and ``cat`` with a cold and with a warm page cache, and leave a spliced file."""
        files = sorted((self.folder / "slabs").rglob("*.parquet"))
        self.slabs_bytes = sum(file.stat().st_size for file in files)
        for state, prepare in (("cold", make_cold), ("warm", make_warm)):
            for name in alternating(list(COPIES), self.rounds):
                self._remove(name)
                prepare(files)
                self._run(apart, name, COPIES[name], "slabs", state)
                if name != "splice":
                    self._remove(name)
        self._check("splice")

    def ours(self, apart: Apart, rounds: int, contestants: Mapping[str, Callable[[str, str], object]] = OURS) -> None:
        """Run the merge of raw checkpoints, and the decoding and encoding that it cannot avoid."""
        for name in alternating(list(contestants), rounds):
            self._join(apart, name, contestants[name])
        self.sizes["decode + encode"] = self.found["decode + encode"].runs[0].result or 0

    def others(self, apart: Apart, given_up: dict[str, str]) -> None:
        """Run what a user would write, except for those that gave up on fewer tables."""
        for name, function in OTHERS.items():
            if name in given_up:
                continue
            self._join(apart, name, function, keep=name == "eager joins")
            if outcome := self.found[name].outcome:
                given_up[name] = f"{outcome} with {self.tables} tables"

    def reading(self, apart: Apart) -> None:
        """Open and read the spliced file and, where there is one, the joined one; then remove both."""
        for name, function in READERS.items():
            files = [each for each in ("splice", "eager joins") if self._path(each).exists()]
            for each in alternating(files, 2 * self.rounds):
                run = apart.run(function, self._path(each))
                self.found.setdefault(f"{name}, {each}", Runs()).runs.append(run)
        self.remove()

    def remove(self) -> None:
        """Remove the spliced and the joined file."""
        for each in ("splice", "eager joins"):
            self._remove(each)

    def _join(self, apart: Apart, name: str, function: Callable[[str, str], object], *, keep: bool = False) -> None:
        make_cold((self.folder / "raw").glob("*.parquet"))
        self._run(apart, name, function, "raw", "")
        if self._path(name).exists() and not self.found[name].outcome:
            self.sizes[name] = self._path(name).stat().st_size
            self._check(name)
        if not keep or self.found[name].outcome:
            self._remove(name)

    def _run(self, apart: Apart, name: str, function: Callable[[str, str], object], source: str, state: str) -> None:
        run = apart.run(function, self.folder / source, self._path(name))
        self.found.setdefault(f"{name}, {state}" if state else name, Runs()).runs.append(run)
        print(f"  {self.tables} tables, {name} {state}: {run.outcome or f'{run.seconds:.2f} s'}, "
              f"CPU {run.cpu_seconds:.2f} s, {run.peak_bytes / 1e6:,.0f} MB", flush=True)  # fmt: skip

    def _check(self, name: str) -> None:
        check_output(self._path(name), self.folder / "slabs", _WHOLE_TABLES)

    def _path(self, name: str) -> Path:
        return self.out / f"{name.replace(' ', '_').replace(',', '')}.parquet"

    def _remove(self, name: str) -> None:
        path = self._path(name)
        for each in (path, manifest_path(path), *self.out.glob(f"{path.name}*")):
            if each.is_file():
                each.unlink(missing_ok=True)


def check_output(output: Path, slabs: Path, most_tables: int) -> int:
    """End the program unless the output equals the slabs; return how many tables were compared.

    ``most_tables`` of them, spread evenly, are compared; names, row count and our own checksum always are.
    **Cost**: one table in memory.
    """
    record = ExtractionRecord.load(slabs / EXTRACTION_FILE)
    schema = pl.read_parquet_schema(output)
    missing = [c.name for slab in record.slabs for c in slab.provenance.columns if c.name not in schema]
    _expect(not missing, f"{output.name}: {len(missing)} columns missing: {missing[:3]}")
    if manifest_path(output).is_file():
        _expect(crc32c_of_file(output) == Manifest.load(manifest_path(output)).file.crc32c, f"{output.name}: checksum")
    count = min(most_tables, len(record.slabs))
    for slab in [record.slabs[number * len(record.slabs) // count] for number in range(count)]:
        truth = pl.concat([pl.read_parquet(slabs / piece.object_name) for piece in slab.pieces])
        found = pl.read_parquet(output, columns=truth.columns).select(truth.columns).cast(truth.schema)
        _expect(found.equals(truth), f"{output.name}: {slab.table} differs")
    return count


def _expect(holds: bool, trouble: str) -> None:  # noqa: FBT001 -- a claim
    if not holds:
        sys.exit(f"not equal: {trouble}")
