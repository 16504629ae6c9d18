"""Loads several pairs as one lazy frame, with columns named by what they mean for a pair and not by its currencies.

The strength of the euro is ``base`` for eurusd and ``quote`` for a pair that is quoted in euros: in a panel it is one
feature for both, by the dictionary's ``common_name``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

import polars as pl

from bqx_assets.base.errors import BadSetting, CheckpointCorrupt
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.settings import Settings
from bqx_assets.training.choice import LEFT_OUT, Choice, Target, same_values
from bqx_assets.training.load import Dtype, Moment, Prepared, as_pair, numbers_as, prepare, refuse_outside, selected
from bqx_assets.training.located import Pin

PAIR = "pair"
"""The first column of a panel."""
_PANEL_WIDE = ("constant", "duplicate")
"""Reasons that count in a panel only if they hold for every pair: a value that is constant in a pair may tell pairs
apart."""
_NAMED = 3


def load_panel(  # noqa: PLR0913 -- as ``load_training``
    pairs: Sequence[str | Pair] = ALL_PAIRS,
    target: Target | Sequence[Target] | None = None,
    *,
    absent: Literal["leave_out", "null"] = "leave_out",
    start: Moment | None = None,
    end: Moment | None = None,
    labelled: bool = True,
    dtype: Dtype | None = None,
    verify: bool = False,
    source: str | Path | None = None,
    pins: Mapping[str, Pin] | None = None,
    settings: Settings | None = None,
    **choice: Unpack[Choice],
) -> pl.LazyFrame:
    """Return the rows of several pairs, one pair below the other, as a lazy frame with the pair in its first column.

    Features have their common names: ``csi_agg_base__csi_mean_45`` is the strength of each pair's own base currency.
    With ``absent="leave_out"`` only features that every pair has are taken; ``"null"`` takes those of any pair, null
    where a pair does not have them, and where they look forward or are no numbers. A feature is left out as constant
    or as a duplicate only if it is so in every pair. ``pins`` are those of single pairs, by name; ``source`` is a
    folder or a bucket. All else is as in ``load_training``.

    **Shape**: the rows of all pairs x (2 + targets + features): ``pair`` as an Enum, the key, targets, features.
    **Cost**: a second for each pair; ``collect`` reads as ``load_training`` does.

    Raises:
        BadSetting: as ``load_training``; or the pairs have a feature in different types, or none in common.
        CheckpointCorrupt: two features of a pair have the same common name; other errors as ``load_training``.
    """
    wanted = list(dict.fromkeys(as_pair(each) for each in pairs))
    unknown = (pins or {}).keys() - {each.name for each in wanted}
    if not wanted or unknown:
        raise BadSetting(
            "pins" if unknown else "pairs",
            got=some_of(sorted(unknown), _NAMED) or "none",
            expected="names of the pairs of the panel",
            cure="Name pairs.",
        )
    with ExitStack() as stack:
        prepared = {
            pair.name: stack.enter_context(
                prepare(pair, target, choice, source=source, pin=(pins or {}).get(pair.name), settings=settings)
            )
            for pair in wanted
        }
        refuse_outside([*prepared.values()], start, end)
        features = _features(prepared, absent)
        how = _How(start, end, labelled, dtype, verify)
        return pl.concat((_rows(name, each, features, pl.Enum([*prepared]), how) for name, each in prepared.items()))


class _How(NamedTuple):
    """The rows that a panel has, and the type of its numbers."""

    start: Moment | None
    end: Moment | None
    labelled: bool
    dtype: Dtype | None
    verify: bool


def _rows(name: str, own: Prepared, features: Mapping[str, str], names: pl.Enum, how: _How) -> pl.LazyFrame:
    """Return a pair's rows with the panel's columns."""
    # What looks forward in this pair is not given because another pair may have it.
    given = own.judged.filter(pl.col(LEFT_OUT).is_null() | pl.col(LEFT_OUT).is_in(_PANEL_WIDE))
    columns: dict[str, str] = {common: column for column, common in given.select("column", "common_name").rows()}
    taken = [columns[common] for common in features if common in columns]
    if how.verify:
        own.refuse_damaged(taken)
    rows = selected(own, taken, how.start, how.end, labelled=how.labelled, dtype=how.dtype)
    return rows.select(
        pl.lit(name, names).alias(PAIR),
        KEY,
        *own.targets,
        *(
            pl.col(columns[common]).alias(common)
            if common in columns
            else pl.lit(None, numbers_as(kind, how.dtype)).alias(common)
            for common, kind in features.items()
        ),
    )


def _features(prepared: Mapping[str, Prepared], absent: str) -> dict[str, str]:
    """Return the common names of the panel's features with their types, in the order of the first pair."""
    for name, each in prepared.items():
        double = each.judged.filter(pl.col("common_name").is_duplicated())
        if double.height:
            raise CheckpointCorrupt(
                f"the dictionary of {name}",
                got=f"{some_of(double['column'].to_list(), _NAMED)} with the same common name",
                expected="one feature a common name",
                cure=f"Choose other features; or publish again: bqx publish {name}",
            )
    both = pl.concat(
        each.judged.select(
            "common_name",
            "type",
            # A duplicate counts by the feature that is kept in its place.
            kept=pl.when(pl.col(LEFT_OUT) == "duplicate").then(pl.col("common_name").first().over(same_values())),
            reason=pl.col(LEFT_OUT),
        )
        for each in prepared.values()
    )
    panel_wide = pl.col("reason").is_in(_PANEL_WIDE).fill_null(value=False)
    per_feature = both.group_by("common_name", maintain_order=True).agg(
        pl.col("type").first(),
        types=pl.col("type").n_unique(),
        there=(pl.col("reason").is_null() | panel_wide).sum(),
        same=(panel_wide.all() & (pl.col("reason").n_unique() == 1) & (pl.col("kept").n_unique() == 1)),
    )
    least = len(prepared) if absent == "leave_out" else 1
    found = per_feature.filter((pl.col("there") >= least) & ~pl.col("same"))
    unlike = found.filter(pl.col("types") > 1)["common_name"].to_list()
    if unlike or (not found.height and per_feature.height):
        raise BadSetting(
            "pairs",
            got=f"{some_of(unlike, _NAMED)} in different types" if unlike else "pairs without a common feature",
            expected="features that the pairs have in one type",
            cure='Choose other features. absent="null" takes features that only some pairs have.',
        )
    return dict(found.select("common_name", "type").rows())
