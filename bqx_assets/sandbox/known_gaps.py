"""What the users' own tables are known to lack: rows by instrument and family, values inside rows, a few tables.

Belongs here: these shares, as their reports state them, and a table thinned by them. Does not: quirks that any
warehouse has (``quirks``), or what may be missing (``catalogue.expectations``).
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import PAIR_COLUMN, ExpectedTable
from bqx_assets.sandbox.selection import Selection

_MINUTES = 2_164_285
_ETF_ROWS = {
    "ewa": 928_724,
    "ewg": 990_966,
    "ewj": 1_067_160,
    "ewu": 990_966,
    "gld": 1_190_996,
    "spy": 1_201_524,
    "uup": 1_037_017,
    "vix": 998_129,
}
"""Of so many minutes. That of ewu nobody counted: as the other European one."""
_MISSING = {"tri": (0.04, 0.11), "cov": (0.01, 0.10)}
"""Least and greatest share of rows that a table of the family lacks."""
_NULLS = {"tri": 0.2408, "cov": 0.1038, "mkt": 0.0818, "var": 0.0753, "csi": 0.0190}
"""Share of nulls of a family, missing rows included. That of corr follows from its rows and two empty tables."""
_ABSENT = 13
"""cov_* tables of all pairs that there are not."""


def with_known_gaps(stored: pl.DataFrame, table: ExpectedTable, seed: int) -> pl.DataFrame:
    """Return a table as it is stored, less the rows and values that the users' table of its name lacks.

    **Shape**: the same columns, fewer rows; the same ``seed`` and name give the same rows.
    """
    rng = np.random.default_rng([seed, 4, crc32(table.table.encode())])
    family = table.table.partition("_")[0]
    missing = 0.0
    if family == "corr":
        missing = 1 - _ETF_ROWS[table.table.rpartition("_")[2]] / _MINUTES
    elif family in _MISSING:
        missing = float(rng.uniform(*_MISSING[family]))
    kept = stored.filter(pl.Series(rng.random(stored.height) >= missing))
    empty = max(0.0, (_NULLS.get(family, 0.0) - missing) / (1 - missing))
    known = pl.Series(rng.random(kept.height) >= empty)
    return kept.with_columns(pl.when(known).then(pl.all().exclude(KEY, PAIR_COLUMN)))


def without_absent(selection: Selection) -> Selection:
    """Return the choice less the ``cov_*`` tables that the users do not have; of a small one not more than half."""
    cov = sorted((name for name in selection.made if name.startswith("cov_")), key=lambda name: crc32(name.encode()))
    gone = {*cov[: min(_ABSENT, len(cov) // 2)]}
    return replace(selection, made={name: each for name, each in selection.made.items() if name not in gone})
