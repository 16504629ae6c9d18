"""Computes the embargo: the rows to leave out between training and test rows so that the two share no bar.

Of a row ``t`` a feature with a window of ``W`` rows knows the bars ``t-W+1`` to ``t``, and the target
``target_bqx{w}_h{h}`` is computed from the bars ``t+h-w`` and ``t+h``. A row with its label is thus made of the bars
``t-B`` to ``t+h``, where ``B = max(longest W - 1, w - h)``. Training rows that end at ``a`` and test rows that begin at
``b`` share no bar if ``a + h < b - B``, so at least ``h + B`` rows lie between them. The same number is needed behind
the test rows, if training rows follow them. Windows count rows, not minutes, so this holds across weekends as well.
A window of a series that lacks rows of the file reaches further back: ``W`` is then the rows of the file over which it
reaches at most, which the dictionary states as ``reach_rows``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import target_name, target_parts
from bqx_assets.base.printable import some_of
from bqx_assets.dictionary.schema import ColumnFacts
from bqx_assets.training.choice import Target, target_names

_NAMED = 5


class Reach(NamedTuple):
    """The rows that a row of features and its labels are computed from, counted from that row."""

    back: int
    """Rows before it."""
    ahead: int
    """Rows behind it: the longest horizon."""
    longest: str
    """The column that looks back furthest."""

    @property
    def embargo(self) -> int:
        """The rows between training and test rows that share no bar."""
        return self.back + self.ahead


def embargo_rows(
    columns: pl.DataFrame | Iterable[ColumnFacts],
    target: Target | Sequence[Target],
    *,
    unknown_window: int | None = None,
) -> int:
    """Return the rows to leave out between training and test rows: ``reach(...).embargo``. Raises as ``reach``.

    It is the ``gap`` of scikit-learn's ``TimeSeriesSplit`` and the ``purged_size`` of skfolio's ``WalkForward``.
    """
    return reach(columns, target, unknown_window=unknown_window).embargo


def reach(
    columns: pl.DataFrame | Iterable[ColumnFacts],
    target: Target | Sequence[Target],
    *,
    unknown_window: int | None = None,
) -> Reach:
    """Return how many rows back and ahead the chosen features and targets reach.

    ``columns`` are the dictionary's facts of the chosen features: records, or a frame with a row a column and at least
    the columns ``column``, ``kind`` and ``window``, such as ``training_columns`` gives; ``reach_rows`` counts in place
    of ``window`` where it is there. Targets and the key among them do not count, nor do features with a reason in a
    column ``left_out``. ``unknown_window`` is taken as the window of features whose window is not known.

    Raises:
        BadSetting: a feature's window is not known, and no ``unknown_window`` was given; or there is no such target.
    """
    if unknown_window is not None and unknown_window < 1:
        raise BadSetting(
            "unknown_window", got=f"{unknown_window}", expected="rows, 1 or more", cure="Count the row itself too."
        )
    features = _windows(columns)
    parts = [_parts(each) for each in target_names(target)] or [_parts("")]
    unknown = [name for name, window in features if window is None]
    if unknown and unknown_window is None:
        raise BadSetting(
            f"the windows of {len(unknown):,} features",
            got=f"not known: {some_of(unknown, _NAMED)}",
            expected="a known window of each feature, because the embargo is computed from them",
            cure="Leave these features out, also when loading: longest_window=2880. "
            "Or give the rows that they look back over: unknown_window=ROWS.",
        )
    rows = [((unknown_window or 1) if window is None else window, name) for name, window in features]
    back = [(window - 1, name) for window, name in rows]
    back += [(window - horizon, target_name(window, horizon)) for window, horizon in parts]
    furthest, longest = max(back)
    return Reach(max(furthest, 0), max(horizon for _, horizon in parts), longest)


def _windows(columns: pl.DataFrame | Iterable[ColumnFacts]) -> list[tuple[str, int | None]]:
    if not isinstance(columns, pl.DataFrame):
        return [(each.column, each.reach_rows) for each in columns if each.kind == "feature"]
    chosen = columns.filter(pl.col("kind") == "feature")
    if "left_out" in chosen.columns:
        chosen = chosen.filter(pl.col("left_out").is_null())
    return chosen.select("column", "reach_rows" if "reach_rows" in chosen.columns else "window").rows()


def _parts(name: str) -> tuple[int, int]:
    found = target_parts(name)
    if found is None or found[0] < 1:
        raise BadSetting(
            "target",
            got=repr(name),
            expected="a target's name such as target_bqx45_h15, or its window and horizon",
            cure="Name the target that the model is trained on.",
        )
    return found
