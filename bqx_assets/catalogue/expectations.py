"""The expectations: every number and name a check compares with, in one versioned TOML file.

Belongs here: loading and the packaged default (``expectations.toml``). Does not: the comparisons.
"""

from __future__ import annotations

import math
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.files import read_regular


def target_name(window: int, horizon: int) -> str:
    """Return the target that is BQX of ``window`` rows, ``horizon`` rows later."""
    return f"target_bqx{window}_h{horizon}"


class Expectations(BaseModel):
    """What a pair's tables and training file must be. A warehouse folder may carry its own file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    min_rows: int = Field(ge=1)
    min_columns: int = Field(ge=1)
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    max_feature_null_fraction: float = Field(ge=0, le=1)
    max_target_null_fraction: float = Field(ge=0, le=1)
    family_tables: dict[str, int]
    """Number of tables of each family of a pair, known-absent ones included."""
    allowed_constant: tuple[str, ...]
    """Shell patterns of training-file columns that may hold one value only."""
    allowed_all_null: tuple[str, ...]
    """Shell patterns of training-file columns that may hold no value at all."""
    max_missing_fraction: dict[str, Annotated[float, Field(ge=0, le=1)]]
    """Shell pattern of table names to the greatest share of the spine's rows that such a table may have no row for.

    The first pattern that fits counts; a table that none fits must have all.
    """
    known_absent: dict[str, str] = Field(default_factory=dict)
    """Expected tables this warehouse is known to lack, with the reason."""
    accepted_tables: tuple[str, ...] = ()
    """Tables outside the grammar that are nevertheless features."""

    def targets(self) -> tuple[str, ...]:
        """Return the target columns, windows outer, horizons inner: 49 names."""
        return tuple(target_name(w, h) for w in self.windows for h in self.horizons)

    def max_missing_rows(self, table: str, spine_rows: int) -> int:
        """Return of how many of the spine's rows a table may have none, rounded up: a short range loses whole rows."""
        fits = (share for pattern, share in self.max_missing_fraction.items() if fnmatchcase(table, pattern))
        return math.ceil(next(fits, 0.0) * spine_rows)

    def shortest_target(self) -> str:
        """Return the target that is known on more rows than any other: a row is on the spine where this one is."""
        return target_name(min(self.windows), min(self.horizons))


def load_expectations(path: Path | None = None) -> Expectations:
    """Return the expectations in ``path``, the packaged ones if None.

    A file may state only what differs: it is laid over the packaged one, key by key.

    Raises:
        BadSetting: when the file is missing, not TOML, or holds an unknown key or a value out of range.
    """
    facts = tomllib.loads(files("bqx_assets.catalogue").joinpath("expectations.toml").read_text())
    try:
        if path is not None:
            facts |= tomllib.loads(read_regular(path).decode())
        return Expectations.model_validate(facts)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadSetting(
            f"expectations {path}",
            got="; ".join(str(error).splitlines()[:3]),
            expected="a TOML file with the keys of the packaged expectations.toml",
            cure="Correct the file.",
        ) from error
