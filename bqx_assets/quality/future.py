"""The file's own future: targets compared with each other and with the BQX they promise, features looked up in it.

Belongs here: which rows can be compared at all, and what a comparison found. Does not: rebuilding the future
(``extract.leaks``), verdicts.

``target_bqx{w}_h{h}[t]`` is bqx_w h rows of the targets table after t. The file holds the spine's rows only: where
the spine left rows out between t and t + h, h rows of the file are more rows of the table. A pair of rows proves
something where none can be missing between: where t + h comes exactly h steps of the usual length later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.extract.leaks import ForwardLook

Floats = npt.NDArray[np.float64]

_ROUND_OFF = 1e-9
"""Different values that a sample must hold to tell anything."""
BQX_PREFIX = "base_bqx__bqx_"


def bqx_column(window: int) -> str:
    """Return the feature that holds bqx_w of the row itself."""
    return f"{BQX_PREFIX}{window}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column held against another one a number of rows later."""

    column: str
    other: str
    shift: int
    compared: int
    """Pairs of rows where both values are known."""
    differing: int
    proven: int
    """Differing pairs with no row missing between."""
    provable: int
    """Compared pairs with no row missing between."""

    @property
    def failed(self) -> bool:
        """A proven difference; where no pair can prove anything, more differences than not."""
        return self.proven > 0 if self.provable else 2 * self.differing > self.compared

    def __str__(self) -> str:
        return (
            f"{self.column} differs from {self.other} {self.shift} rows later "
            f"on {self.differing:,} of {self.compared:,} rows"
        )


@dataclass(slots=True)
class Future:
    """Fed one window's targets after another. **Cost**: about 35 columns of the spine's length, kept."""

    keys: pl.Series
    horizons: Sequence[int]
    comparisons: list[Comparison] = field(default_factory=list[Comparison])
    _looks: list[ForwardLook] = field(default_factory=list[ForwardLook])
    _step: int | None = None
    """Microseconds from most rows to the next."""

    def add(self, window: int, targets: pl.DataFrame, bqx: pl.Series | None) -> None:
        """Compare a window's targets with each other and with ``bqx``, the feature, where the file has it.

        **Shape**: spine rows x the horizons, named as targets.
        """
        columns = {h: _floats(targets.get_column(f"target_bqx{window}_h{h}")) for h in self.horizons}
        name = f"target_bqx{window}_h".__add__
        near = min(self.horizons)
        for h in sorted(self.horizons):
            if bqx is not None:
                self._compare((name(str(h)), columns[h]), (bqx_column(window), _floats(bqx)), h)
            if h != near:
                self._compare((name(str(h)), columns[h]), (name(str(near)), columns[near]), h - near)
        self._looks.append(ForwardLook(targets, (window,), self.horizons))

    def look(self, features: pl.DataFrame) -> Mapping[str, str]:
        """Return why float features, all rows of some columns, look forward, by name."""
        return {name: why for look in reversed(self._looks) for name, why in look.find_all(features).items()}

    def _compare(self, later: tuple[str, Floats], earlier: tuple[str, Floats], shift: int) -> None:
        here, there = later[1][: max(0, self.keys.len() - shift)], earlier[1][shift:]
        both = np.isfinite(here) & np.isfinite(there)
        differ = both & ~np.isclose(here, there, rtol=_ROUND_OFF, atol=1e-12)
        whole = self._unbroken(shift)
        self.comparisons.append(
            Comparison(
                column=later[0],
                other=earlier[0],
                shift=shift,
                compared=int(both.sum()),
                differing=int(differ.sum()),
                proven=int((differ & whole).sum()),
                provable=int((both & whole).sum()),
            )
        )

    def _unbroken(self, shift: int) -> npt.NDArray[np.bool_]:
        times = self.keys.to_physical().to_numpy()
        if times.size <= shift:
            return np.zeros(0, dtype=np.bool_)
        if self._step is None:
            self._step = int(np.median(np.diff(times)))
        return times[shift:] - times[:-shift] == shift * self._step


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
