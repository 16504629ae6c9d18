"""Mean and deviation over pairs, row by row, of which some are silent at a row.

Belongs here: the running sums. Does not: which pairs, or what of them.
"""

from __future__ import annotations

import numpy as np

from bqx_assets.sandbox.features.rolling import ratio
from bqx_assets.sandbox.market import Floats


class Sums:
    """Count and sum of the members added so far: all that a mean needs.

    **Shape**: one entry a row of the clock. **Cost**: nine bytes a row, however many members.
    """

    def __init__(self, rows: int) -> None:
        self._count = np.zeros(rows, np.int8)
        self._total: Floats = np.zeros(rows)

    def add(self, values: Floats) -> None:
        """Add one member; its NaN rows count for nothing."""
        known = ~np.isnan(values)
        self._count += known
        np.add(self._total, values, out=self._total, where=known)

    def mean(self) -> Floats:
        """Return the mean, NaN where no member has a value."""
        return ratio(self._total, self._count.astype(np.float64))


class Moments:
    """Count, mean and squared deviations of the members added so far.

    **Shape**: one entry a row of the clock. **Cost**: three arrays, however many members (Welford's update).
    """

    def __init__(self, rows: int) -> None:
        self._count: Floats = np.zeros(rows)
        self._mean: Floats = np.zeros(rows)
        self._squares: Floats = np.zeros(rows)

    def add(self, values: Floats) -> None:
        """Add one member; its NaN rows count for nothing."""
        known = ~np.isnan(values)
        self._count += known
        distance = np.where(known, values - self._mean, 0.0)
        self._mean += distance / np.maximum(self._count, 1.0)
        self._squares += distance * np.where(known, values - self._mean, 0.0)

    def mean(self) -> Floats:
        """Return the mean, NaN where no member has a value."""
        return np.where(self._count > 0.0, self._mean, np.nan)

    def variance(self) -> Floats:
        """Return the sample variance (divisor n - 1), NaN where fewer than two members have a value."""
        return ratio(self._squares, np.maximum(self._count - 1.0, 0.0))

    def deviation(self) -> Floats:
        """Return the sample standard deviation."""
        return np.sqrt(self.variance())
