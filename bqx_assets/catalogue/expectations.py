"""The expectations: every number and name a check compares with, in one versioned TOML file.

Belongs here: what such a file may say, what it means for one table or column, and laying it over the packaged one.
Does not: where a file is found (``expectations_file``), writing one from an extraction (``proposal``), the comparisons.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bqx_assets.base.artifacts import JudgedBy, Record
from bqx_assets.base.names import SEPARATOR, target_name
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.expectations_file import EXPECTATIONS_FILE, bad_expectations, read_text
from bqx_assets.catalogue.pair_facts import PairFacts
from bqx_assets.catalogue.toml_text import as_toml

PACKAGED = "packaged"
"""As ``place``: the file that comes with this package."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
_FORMER_KEYS = ("family_tables",)
"""Keys that earlier versions wrote and nothing compares with: a file that has them stays readable."""


def family_word(column: str) -> str:
    """Return the family that nulls are counted by, the first word of a feature's table: ``corr``, ``tri``, ``agg``."""
    return column.partition(SEPARATOR)[0].partition("_")[0]


class EarlierGates(Record):
    """The users' earlier limits on nulls: shown beside a verdict, never part of it."""

    feature_null_fraction: Share
    target_null_fraction: Share


class Expectations(Record):
    """What a pair's tables and training file must be. A warehouse folder may carry its own file."""

    version: int
    """For people, who see it in each verdict: an approval raises it by one."""
    min_rows: int = Field(ge=1)
    min_columns: int = Field(ge=1)
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    max_feature_null_fraction: Share | dict[str, Share]
    """A number: the greatest share of nulls over all features. A table: over those of each family, by a shell pattern
    of the family's word (``family_word``); the first pattern that fits counts, and a family that none fits has none."""
    max_target_null_fraction: Share
    """Of the targets' nulls that windows and horizons do not explain."""
    earlier_gates: EarlierGates
    allowed_constant: tuple[str, ...]
    """Shell patterns of training-file columns that may hold one value only."""
    allowed_all_null: tuple[str, ...]
    """Shell patterns of training-file columns that may hold no value at all."""
    max_all_null_columns: dict[str, Count] = Field(default_factory=dict[str, Count])
    """Pattern of ``allowed_all_null`` to the most columns of a file that it excuses; the others excuse any number."""
    max_missing_fraction: dict[str, Share]
    """Shell pattern of table names to the greatest share of the spine's rows that such a table may have no row for.

    The first pattern that fits counts; a table that none fits must have all.
    """
    max_absent_tables: dict[str, Count] = Field(default_factory=dict[str, Count])
    """Shell pattern of table names to the most such tables that a warehouse may lack, of all its pairs together."""
    known_absent: dict[str, str] = Field(default_factory=dict)
    """Expected tables this warehouse is known to lack, with the reason."""
    accepted_tables: tuple[str, ...] = ()
    """Tables outside the grammar that are nevertheless features."""
    pair: dict[str, PairFacts] = Field(default_factory=dict[str, PairFacts])
    """What was found of single pairs; in force once a person has approved it."""
    place: str = Field(default=PACKAGED, exclude=True)
    """Where the file was found: no key of it."""

    def targets(self) -> tuple[str, ...]:
        """Return the target columns, windows outer, horizons inner: 49 names."""
        return tuple(name for window in self.windows for name in self.window_targets(window))

    def window_targets(self, window: int) -> list[str]:
        """Return a window's target columns, by horizon."""
        return [target_name(window, horizon) for horizon in self.horizons]

    def shortest_target(self) -> str:
        """Return the target that is known on more rows than any other: a row is on the spine where this one is."""
        return target_name(min(self.windows), min(self.horizons))

    def max_missing_rows(self, table: str, spine_rows: int) -> int:
        """Return of how many of the spine's rows a table may have none, rounded up: a short range loses whole rows."""
        return math.ceil(_first_fit(self.max_missing_fraction, table) * spine_rows)

    def max_null_share(self, family: str) -> float:
        """Return the greatest share of nulls over a family's features."""
        limit = self.max_feature_null_fraction
        return _first_fit(limit, family) if isinstance(limit, dict) else limit

    def approved(self, pair: Pair) -> PairFacts | None:
        """Return what a person approved of a pair, which then is exactly what is expected; None where nobody did."""
        facts = self.pair.get(pair.name)
        return facts if facts is not None and facts.approved else None

    def absent(self, pair: Pair) -> Mapping[str, str]:
        """Return the tables that the pair is known to lack, with the reasons."""
        facts = self.approved(pair)
        return self.known_absent | (facts.absent if facts is not None else {})

    def excused_absent(self, pair: Pair, missing: Collection[str]) -> dict[str, str]:
        """Return those of ``missing`` tables, of all pairs of a warehouse, that ``max_absent_tables`` excuses, and why.

        Where more are missing than a pattern excuses, it excuses none: which of them are the known ones nobody can say.
        A table that was approved as being there is never excused.
        """
        facts = self.approved(pair)
        found: dict[str, str] = {}
        for pattern, most in self.max_absent_tables.items():
            fitting = sorted(table for table in missing if fnmatchcase(table, pattern))
            if len(fitting) <= most:
                found |= dict.fromkeys(fitting, f"one of at most {most} {pattern} tables that may be absent")
        return {name: why for name, why in found.items() if facts is None or name not in facts.tables}

    def beyond_all_null(self, pair: Pair, columns: Iterable[str]) -> list[str]:
        """Return those of a file's columns without any value that nothing allows.

        Where more fit a pattern than it excuses, all of them are beyond: which are the known ones nobody can say.
        """
        facts = self.approved(pair)
        if facts is not None:
            return [name for name in columns if name not in facts.all_null]
        capped = self.max_all_null_columns
        free = [pattern for pattern in self.allowed_all_null if pattern not in capped]
        left = [name for name in columns if not fits(name, free)]
        beyond = [name for name in left if not fits(name, self.allowed_all_null)]
        for pattern, most in capped.items():
            fitting = [name for name in left if name not in beyond and fnmatchcase(name, pattern)]
            beyond += fitting if len(fitting) > most else []
        return [name for name in left if name in {*beyond}]

    def may_be_empty(self, pair: Pair, columns: Iterable[str]) -> bool:
        """Return whether a table of these training-file columns may have no row on the spine: all may be without value.

        A table whose keys were damaged at the source has none there, and the users keep two such tables.
        """
        names = list(columns)
        return bool(names) and not self.beyond_all_null(pair, names)

    def of(self, pair: Pair) -> Expectations:
        """Return what of these expectations a pair is judged by: its own approved facts, no other pair's."""
        facts = self.approved(pair)
        return self.model_copy(update={"pair": {pair.name: facts} if facts is not None else {}})

    def text(self) -> str:
        """Return the whole of the expectations as a TOML file, what the packaged file states included."""
        return as_toml(self.model_dump(mode="json", exclude_none=True))

    def judged_by(self, pair: Pair) -> JudgedBy:
        """Return how a pair's report and manifest name these expectations."""
        facts = self.pair.get(pair.name)
        return JudgedBy(
            version=self.version,
            sha256=hashlib.sha256(self.of(pair).text().encode()).hexdigest(),
            place=self.place,
            approval="none" if facts is None else "approved" if facts.approved else "proposed",
            approved=facts.approved if facts is not None else "",
        )


def load_expectations(place: str | Path | None = None) -> Expectations:
    """Return the expectations at ``place``: a path or ``gs://`` URI, of the file or its folder; the packaged if None.

    A file may state only what differs: it is laid over the packaged one, key by key.

    Raises:
        BadSetting: when the file is missing, not TOML, or holds an unknown key or a value out of range.
        StoreError: the bucket could not deliver, or refused.
    """
    if place is None:
        return parse_expectations("", PACKAGED)
    where, text = read_text(place)
    return parse_expectations(text, where)


def parse_expectations(text: str, place: str) -> Expectations:
    """Return the expectations of a file's text. Raises BadSetting as ``load_expectations`` does."""
    try:
        own = {name: value for name, value in tomllib.loads(text).items() if name not in _FORMER_KEYS}
        stated = Expectations.model_validate({**_packaged(), **own, "place": place})
    except ValidationError as error:
        first = error.errors()[0]
        raise bad_expectations(place, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise bad_expectations(place, "; ".join(str(error).splitlines()[:3])) from error
    if "place" in own:
        raise bad_expectations(place, "place: Extra inputs are not permitted")
    return stated


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Return whether any of the shell patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _first_fit(shares: Mapping[str, float], name: str) -> float:
    return next((share for pattern, share in shares.items() if fnmatchcase(name, pattern)), 0.0)


@cache
def _packaged() -> dict[str, Any]:
    return tomllib.loads(files("bqx_assets.catalogue").joinpath(EXPECTATIONS_FILE).read_text())
