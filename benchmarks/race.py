"""The merge race at one size: every contestant's runs, every output held against the truth.

Belongs here: the order of runs, and what is measured of each. Does not: sizes, bars, documents (``merge``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import contestants, readers
from benchmarks.measured import Apart, Runs, alternating, make_cold, make_warm
from benchmarks.truth import check_output
from bqx_assets.base.artifacts import manifest_path

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
READERS: dict[str, Callable[[str], object]] = {
    "open (Polars)": readers.open_polars,
    "open (pyarrow)": readers.open_pyarrow,
    "read 50 columns": readers.read_50,
}
_WHOLE_TABLES = 30
"""Up to so many tables all values are compared, above that so many tables' are."""


@dataclass(slots=True)
class Race:
    """One size. ``folder`` holds ``raw`` and ``slabs``."""

    folder: Path
    out: Path
    tables: int
    columns: int
    rounds: int
    found: dict[str, Runs] = field(default_factory=dict[str, Runs])
    """By contestant; copies and readers with their state behind a comma."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes of outputs."""
    slabs_bytes: int = 0

    def copies(self, apart: Apart) -> None:
        """Run splice and ``cat``, with a cold and with a warm page cache. Leaves a spliced file."""
        files = sorted((self.folder / "slabs").glob("*.parquet"))
        self.slabs_bytes = sum(file.stat().st_size for file in files)
        for state, prepare in (("cold", make_cold), ("warm", make_warm)):
            for name in alternating(list(COPIES), self.rounds):
                self._remove(name)
                prepare(files)
                self._run(apart, name, COPIES[name], "slabs", state)
                if name != "splice":
                    self._remove(name)
        self._check("splice")

    def ours(self, apart: Apart, rounds: int) -> None:
        """Run the merge of raw checkpoints and what it cannot avoid."""
        for name in alternating(list(OURS), rounds):
            self._join(apart, name, OURS[name])
        self.sizes["decode + encode"] = self.found["decode + encode"].runs[0].result or 0

    def others(self, apart: Apart, given_up: dict[str, str]) -> None:
        """Run what a user would write, but for those that gave up on fewer tables."""
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
