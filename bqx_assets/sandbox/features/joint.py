"""Rows that two series of bars share: rolling windows over two pairs count these only.

Belongs here: finding the shared rows and putting results back onto a pair's own. Does not: what is computed on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bqx_assets.sandbox.market import Floats, Integers


@dataclass(frozen=True, slots=True)
class Joint:
    """Positions of the shared times in the pair's own bars and in the other's, ascending.

    A window of shared rows is full however many minutes either series misses; on all rows, one missing minute of the
    other would leave every window that holds it unknown.
    """

    own: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]
    rows: int
    """Of the pair's own bars."""

    def spread(self, features: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return features of the shared rows on the pair's own rows, NaN on the others."""
        found: dict[str, Floats] = {}
        for name, values in features.items():
            found[name] = np.full(self.rows, np.nan)
            found[name][self.own] = values
        return found


def joint_rows(own: Integers, other: Integers) -> Joint:
    """Return the rows whose times are in both; times are unique and ascending."""
    place = np.searchsorted(other, own)
    place[place == len(other)] = 0
    shared = np.flatnonzero(other[place] == own) if len(other) else np.empty(0, dtype=np.intp)
    return Joint(shared, place[shared], len(own))
