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
_SAMPLE_ROWS = 96
_FEWEST_PROBES = 12
_CHANCE = 2
"""Sampled values that must be found in the future before a column is looked up whole."""


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
    """Fed one window's targets after another. **Cost**: about 12 columns of the spine's length, kept."""

    keys: pl.Series
    horizons: Sequence[int]
    comparisons: list[Comparison] = field(default_factory=list[Comparison])
    _looks: list[ForwardLook] = field(default_factory=list[ForwardLook])
    _known: list[Floats] = field(default_factory=list[Floats])

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
        values = np.unique(np.concatenate(list(columns.values())))
        self._known.append(values[np.isfinite(values) & (values != 0.0)])

    def look(self, features: pl.DataFrame) -> Mapping[str, str]:
        """Return why each float feature looks forward, empty where it does not.

        **Cost**: a sample of every column is searched for in all known values; a column is looked up whole only if
        two of its sampled values are there, or if the sample holds too few values to tell.
        """
        floats = [name for name, dtype in features.schema.items() if dtype.is_float()]
        return {name: self._find(features.get_column(name)) for name in self._suspects(features.select(floats))}

    def _find(self, column: pl.Series) -> str:
        return next((reason for look in self._looks if (reason := look.find(column)) is not None), "")

    def _suspects(self, features: pl.DataFrame) -> list[str]:
        if not features.width or not self._looks:
            return []
        rows = np.unique(np.linspace(0, features.height - 1, min(features.height, _SAMPLE_ROWS)).astype(np.uint32))
        sample = features.select(pl.all().gather(rows).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        usable = np.isfinite(sample) & (sample != 0.0)
        found = np.zeros(sample.shape, dtype=np.bool_)
        for known in self._known:
            found |= _contains(known, sample) | _contains(known, -sample)
        suspect = ((found & usable).sum(axis=0) >= _CHANCE) | (_distinct(sample, usable) < _FEWEST_PROBES)
        return [name for name, each in zip(features.columns, suspect.tolist(), strict=True) if each]

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
        step = int(np.median(np.diff(times)))
        return times[shift:] - times[:-shift] == shift * step


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _contains(known: Floats, values: Floats) -> npt.NDArray[np.bool_]:
    """Whether each value is in ``known`` (ascending), within rounding."""
    if not known.size:
        return np.zeros(values.shape, dtype=np.bool_)
    place = np.searchsorted(known, values - np.abs(values) * _ROUND_OFF)
    return (place < known.size) & (known[np.minimum(place, known.size - 1)] <= values + np.abs(values) * _ROUND_OFF)


def _distinct(sample: Floats, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """How many different usable values each column of the sample holds."""
    ordered = np.sort(np.where(usable, sample, np.inf), axis=0)
    new = np.isfinite(ordered)
    new[1:] &= ordered[1:] != ordered[:-1]
    return new.sum(axis=0)
