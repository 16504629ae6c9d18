"""Warns of splits that test a model on what it has learned: shared rows, shuffled rows, too short an embargo."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from bqx_assets.base.errors import BadSetting, LeakySplit
from bqx_assets.training.splits import Rows, refuse_unordered, rows_between

Leak = Literal["shared rows", "shuffled rows", "short embargo"]


class LeakySplitWarning(UserWarning):
    """A model would be tested on rows that share bars with rows that it was trained on."""


@dataclass(frozen=True, slots=True)
class SplitFinding:
    """A fault of a split, with figures and the cure."""

    leak: Leak
    got: str
    expected: str
    cure: str

    def __str__(self) -> str:
        return f"{self.leak}: {self.got}, expected {self.expected}. {self.cure}"


def check_split(
    train: npt.ArrayLike | pl.Series,
    test: npt.ArrayLike | pl.Series,
    embargo: int,
    *,
    keys: pl.Series | None = None,
    on_leak: Literal["warn", "raise", "return"] = "warn",
) -> list[SplitFinding]:
    """Return the faults of a split, and warn of each; none of a good one.

    ``train`` and ``test`` are positions of rows in the order of time, as any splitter gives them, in any order. With
    ``keys``, the keys of all rows, they are keys themselves. ``embargo`` is the number of rows that must lie between a
    training row and a test row (``embargo_rows``).

    Raises:
        LeakySplit: with ``on_leak="raise"``, for the first fault.
        BadSetting: train or test is empty or holds no positions, or one of their keys is none of ``keys``; or ``keys``
            are not unique and ascending, or the embargo is negative.
    """
    if embargo < 0:
        raise BadSetting("embargo", got=f"{embargo}", expected="rows, 0 or more", cure="Compute it by embargo_rows.")
    if keys is not None:
        refuse_unordered(keys)
    trained, tested = (np.unique(_positions(each, keys)) for each in (train, test))
    found = _findings(trained, tested, embargo)
    for each in found if on_leak != "return" else ():
        if on_leak == "raise":
            raise LeakySplit(f"a split with {each.leak}", got=each.got, expected=each.expected, cure=each.cure)
        warnings.warn(LeakySplitWarning(str(each)), stacklevel=2)
    return found


def _findings(train: Rows, test: Rows, embargo: int) -> list[SplitFinding]:
    between = rows_between(train, test)
    shared = int((between < 0).sum())
    found: list[SplitFinding] = []
    if shared:
        cure = "Take each row for one of the two: train = numpy.setdiff1d(train, test)."
        found.append(SplitFinding("shared rows", f"{shared:,} rows are in both", "each row in one of the two", cure))
    apart = train[between >= 0]
    near = int((between < embargo).sum()) - shared
    if _is_shuffled(apart, test):
        inside = int(((apart > test[0]) & (apart < test[-1])).sum())
        got = f"{inside:,} training rows lie among the test rows, which are in {_pieces(test):,} pieces"
        cure = (
            f"Split by time, without shuffling: walk_forward(..., embargo={embargo}) or TimeSeriesSplit(gap={embargo})."
        )
        found.append(SplitFinding("shuffled rows", got, "blocks of training and test rows", cure))
    elif near > 0:
        got = f"{' and '.join(_nearest(apart, test))}; {near:,} training rows are too near"
        cure = (
            f"Use walk_forward(..., embargo={embargo}), TimeSeriesSplit(gap={embargo}), or "
            f"purged(train, test, {embargo}), which leaves them out."
        )
        found.append(SplitFinding("short embargo", got, f"{embargo:,} rows between training and test rows", cure))
    return found


def _pieces(rows: Rows) -> int:
    return int((np.diff(rows) > 1).sum()) + 1


def _is_shuffled(train: Rows, test: Rows) -> bool:
    """Return whether the test rows are in at least half as many pieces as if they had been drawn by chance."""
    by_chance = len(test) * len(train) / (len(test) + len(train))
    return bool(len(train)) and _pieces(test) > 1 and _pieces(test) >= by_chance / 2


def _nearest(train: Rows, test: Rows) -> list[str]:
    """Return a sentence's part for each side of a test row on which there are training rows."""
    place = np.searchsorted(test, train)
    before, behind = place < len(test), place > 0
    sides: list[str] = []
    if before.any():
        sides.append(f"training ends {int((test[place[before]] - train[before]).min()) - 1:,} rows before a test row")
    if behind.any():
        sides.append(f"training begins {int((train[behind] - test[place[behind] - 1]).min()) - 1:,} rows behind one")
    return sides


def _positions(rows: npt.ArrayLike | pl.Series, keys: pl.Series | None) -> Rows:
    values: npt.NDArray[Any] = rows.to_numpy() if isinstance(rows, pl.Series) else np.asarray(rows)
    if keys is not None and len(values):
        known = keys.to_numpy()
        if values.dtype.kind != "M":
            raise _no_positions(values, "moments, as a series or an array of numpy, together with keys=")
        place = np.searchsorted(known, values)
        if place.max() == len(known) or bool((known[place] != values).any()):
            raise BadSetting("a split", got="keys that no row has", expected="keys of rows", cure="Give all keys.")
        values = place
    if not len(values) or values.dtype.kind not in "iu":
        raise _no_positions(values, "positions of rows")
    if values.min() < 0:  # numpy counts them from the end, and the distance to them is not known here
        got = f"position {values.min()}"
        raise BadSetting("a split", got=got, expected="positions from 0 on", cure="Add the number of rows.")
    return values.astype(np.int64)


def _no_positions(values: npt.NDArray[Any], expected: str) -> BadSetting:
    return BadSetting(
        "a split",
        got=f"{len(values):,} values of type {values.dtype}",
        expected=expected,
        cure="Give whole numbers, or moments together with keys=, the keys of all rows.",
    )
