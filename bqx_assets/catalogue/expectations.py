"""The expectations: every number and name a check compares with, in one TOML file with a version.

A file states only what differs and is laid over the packaged ``expectations.toml``. It may hold the facts of single
pairs, which count once a person has approved them (``proposal`` writes them).
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bqx_assets.base.artifacts import JudgedBy, Record
from bqx_assets.base.errors import BadSetting, ObjectMissing
from bqx_assets.base.files import read_regular, write_atomic
from bqx_assets.base.names import SEPARATOR, target_name
from bqx_assets.base.pairs import Pair
from bqx_assets.base.store.naming import is_address
from bqx_assets.base.store.open_store import object_at
from bqx_assets.base.store.protocol import version_of
from bqx_assets.catalogue.toml_text import as_toml

EXPECTATIONS_FILE = "expectations.toml"
"""Name of an expectations file in a folder."""
PACKAGED = "packaged"
"""The ``place`` of the file that comes with this package."""
_SUFFIX = ".toml"
_MOST_BYTES = 16 << 20
"""28 pairs of 667 tables take 2 MB. A larger file is something else, perhaps a training file of 9 GB."""
_FORMER_KEYS = ("family_tables",)
"""Keys that earlier versions wrote and that no check reads. A file with such a key stays readable."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class TableFacts(Record):
    """The numbers of rows, columns and nulls that one table contributes to the training file."""

    matched: Count
    """Number of the spine's rows for which the table has a row."""
    columns: Annotated[int, Field(ge=1)]
    nulls: Count
    """Nulls in all its columns together, including those of rows that the table lacks."""


class PairFacts(Record):
    """The facts of one pair, table by table. A person approves them, and later files are compared with them.

    Rows that were approved may be extracted again, or others in their place. On the very same rows a table must have
    exactly as many rows and nulls as were approved. On other rows only shares can be compared: the share of missing
    rows, and of nulls, may be larger by ``drift``.
    """

    approved: str = ""
    """The date and the person of the approval, in any words. Empty: the facts are a proposal, and not in force."""
    found: str
    """The extraction that the facts were taken from, and when."""
    spine: str
    """Fingerprint of the rows."""
    rows: Annotated[int, Field(ge=1)]
    first: datetime
    last: datetime
    drift: Annotated[float, Field(ge=0, le=1)] = 0.02
    """The amount by which a table's shares of missing rows and of nulls may be larger on other rows."""
    all_null: tuple[str, ...] = ()
    """Training-file columns without any value."""
    constant: tuple[str, ...] = ()
    """Training-file columns that have only one value."""
    absent: dict[str, str] = Field(default_factory=dict[str, str])
    """Expected tables that were not in the warehouse."""
    tables: dict[str, TableFacts]

    def matched_range(self, table: str, spine: str, rows: int) -> tuple[int, int] | None:
        """Return the least and the greatest number of the spine's rows that a table must have; None without facts."""
        facts = self.tables.get(table)
        if facts is None:
            return None
        if spine == self.spine:
            return facts.matched, facts.matched
        missing = 1 - facts.matched / self.rows + self.drift
        return max(0, rows - _whole(missing * rows)), rows

    def null_range(self, table: str, spine: str, rows: int, columns: int) -> tuple[int, int] | None:
        """Return the least and the greatest number of nulls that a table must have; None without facts."""
        facts = self.tables.get(table)
        if facts is None:
            return None
        if spine == self.spine and columns == facts.columns:
            return facts.nulls, facts.nulls
        share = facts.nulls / (self.rows * facts.columns) + self.drift
        return 0, min(rows * columns, _whole(share * rows * columns))


class EarlierGates(Record):
    """The users' earlier limits on nulls, which a verdict shows for information and does not apply."""

    feature_null_fraction: Share
    target_null_fraction: Share


class Expectations(Record):
    """The numbers and names that a pair's tables and training file must have. A warehouse may have its own file."""

    version: int
    """Shown to people in each report. Every approval raises it by one."""
    min_rows: int = Field(ge=1)
    min_columns: int = Field(ge=1)
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    max_feature_null_fraction: Share | dict[str, Share]
    """A number: the greatest share of nulls over all features. A table: shell patterns of a family's word
    (``family_word``), each with the greatest share over the features of such families. The first pattern that fits
    counts; a family that no pattern fits may have no nulls."""
    max_target_null_fraction: Share
    """The greatest share of target values that are null without the reason that a window or horizon is incomplete."""
    earlier_gates: EarlierGates
    allowed_constant: tuple[str, ...]
    """Shell patterns of training-file columns that may have only one value."""
    allowed_all_null: tuple[str, ...]
    """Shell patterns of training-file columns that may have no value at all."""
    max_all_null_columns: dict[str, Count] = Field(default_factory=dict[str, Count])
    """Patterns of ``allowed_all_null``, each with the most columns of a file it excuses. Others excuse any number."""
    max_missing_fraction: dict[str, Share]
    """Shell patterns of table names, each with the greatest share of the spine's rows that such a table may lack.

    The first pattern that fits counts; a table that no pattern fits must have all rows.
    """
    max_absent_tables: dict[str, Count] = Field(default_factory=dict[str, Count])
    """Shell patterns of table names, each with the most such tables that a warehouse of all its pairs may lack."""
    known_absent: dict[str, str] = Field(default_factory=dict)
    """Expected tables that this warehouse is known to lack, with the reason."""
    accepted_tables: tuple[str, ...] = ()
    """Tables outside the grammar that are features nevertheless."""
    pair: dict[str, PairFacts] = Field(default_factory=dict[str, PairFacts])
    """Facts of single pairs, which are in force once a person has approved them."""
    place: str = Field(default=PACKAGED, exclude=True)
    """The place where the file was found. It is not a key of the file."""

    def targets(self) -> tuple[str, ...]:
        """Return the target columns, windows outer, horizons inner: 49 names."""
        return tuple(name for window in self.windows for name in self.window_targets(window))

    def window_targets(self, window: int) -> list[str]:
        """Return a window's target columns, by horizon."""
        return [target_name(window, horizon) for horizon in self.horizons]

    def shortest_target(self) -> str:
        """Return the target that is known on the most rows: the spine has the rows on which this one is known."""
        return target_name(min(self.windows), min(self.horizons))

    def max_missing_rows(self, table: str, spine_rows: int) -> int:
        """Return how many of the spine's rows a table may lack, rounded up because a row is missing as a whole."""
        return math.ceil(_first_fit(self.max_missing_fraction, table) * spine_rows)

    def max_null_share(self, family: str) -> float:
        """Return the greatest share of nulls over a family's features."""
        limit = self.max_feature_null_fraction
        return _first_fit(limit, family) if isinstance(limit, dict) else limit

    def approved(self, pair: Pair) -> PairFacts | None:
        """Return the pair's facts if a person approved them, which makes them what is expected; otherwise None."""
        facts = self.pair.get(pair.name)
        return facts if facts is not None and facts.approved else None

    def absent(self, pair: Pair) -> Mapping[str, str]:
        """Return the tables that the pair is known to lack, with the reasons."""
        facts = self.approved(pair)
        return self.known_absent | (facts.absent if facts is not None else {})

    def excused_absent(self, pair: Pair, missing: Collection[str]) -> dict[str, str]:
        """Return the ``missing`` tables of a whole warehouse that ``max_absent_tables`` excuses, with the reason.

        Where more tables are missing than a pattern excuses, it excuses none, because nobody can tell which of them
        are the known ones. A table that the pair's approved facts have is never excused.
        """
        facts = self.approved(pair)
        found: dict[str, str] = {}
        for pattern, most in self.max_absent_tables.items():
            fitting = sorted(table for table in missing if fnmatchcase(table, pattern))
            if len(fitting) <= most:
                found |= dict.fromkeys(fitting, f"one of at most {most} {pattern} tables that may be absent")
        return {name: why for name, why in found.items() if facts is None or name not in facts.tables}

    def beyond_all_null(self, pair: Pair, columns: Iterable[str]) -> list[str]:
        """Return the columns that have no value and may not be empty, out of a file's ``columns`` that have no value.

        Where more columns fit a pattern than it excuses, it excuses none, because nobody can tell which of them are
        the known ones.
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
        """Return whether all these columns of a table may have no value, so that it may have no row on the spine.

        The users keep two tables whose keys were damaged at the source and that have no row there.
        """
        names = list(columns)
        return bool(names) and not self.beyond_all_null(pair, names)

    def of(self, pair: Pair) -> Expectations:
        """Return the expectations that apply to a pair: with its own approved facts, without those of other pairs."""
        facts = self.approved(pair)
        return self.model_copy(update={"pair": {pair.name: facts} if facts is not None else {}})

    def text(self) -> str:
        """Return all expectations as the text of a TOML file, including what only the packaged file states."""
        return as_toml(self.model_dump(mode="json", exclude_none=True))

    def judged_by(self, pair: Pair) -> JudgedBy:
        """Return the part of a pair's report and manifest about these expectations."""
        facts = self.pair.get(pair.name)
        return JudgedBy(
            version=self.version,
            sha256=hashlib.sha256(self.of(pair).text().encode()).hexdigest(),
            place=self.place,
            approval="none" if facts is None else "approved" if facts.approved else "proposed",
            approved=facts.approved if facts is not None else "",
        )


def load_expectations(place: str | Path | None = None) -> Expectations:
    """Return the expectations at ``place``, a path or ``gs://`` URI of a file or its folder; the packaged ones if None.

    A file states only what differs: its keys replace those of the packaged file.

    Raises:
        BadSetting: the file is missing or not TOML, or it has an unknown key or a value out of range.
        StoreError: the bucket failed or refused.
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


def read_text(place: str | Path) -> tuple[str, str]:
    """Return the full place of an expectations file, a path or a URI, and its text.

    Raises:
        BadSetting: there is no such file, or it is empty, too large or not a text.
        StoreError: the bucket failed or refused.
    """
    if is_address(str(place)):
        where, data = _from_bucket(str(place))
    else:
        path = Path(place)
        path = path / EXPECTATIONS_FILE if path.is_dir() else path
        where = str(path)
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise _too_large(where, path.stat().st_size)
            data = read_regular(path)
        except OSError as error:
            raise bad_expectations(where, error.strerror or str(error)) from error
    if not data.strip():  # a failed upload, which would otherwise mean the packaged numbers under another name
        raise bad_expectations(where, "an empty file")
    try:
        return where, data.decode()
    except UnicodeDecodeError as error:
        raise bad_expectations(where, "bytes that are not a text") from error


def write_text(where: str, text: str) -> None:
    """Write an expectations file, new or in place of the one there, atomically.

    Raises:
        PreconditionFailed: another process wrote the object at the same time.
        StoreError: the bucket failed or refused.
    """
    if not is_address(where):
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(where), text.encode())
        return
    store, name = object_at(where, "expectations")
    info = store.head(name)
    store.put_bytes(name, text.encode(), only_if=version_of(info))


def is_there(place: str) -> bool:
    """Return whether a file or object of exactly this name exists. Raises StoreError."""
    if not is_address(place):
        return Path(place).exists()
    store, name = object_at(place, "expectations")
    return store.head(name) is not None


def _from_bucket(uri: str) -> tuple[str, bytes]:
    where = uri if uri.endswith(_SUFFIX) else f"{uri.rstrip('/')}/{EXPECTATIONS_FILE}"
    store, name = object_at(where, "BQX_EXPECTATIONS")
    info = store.head(name)
    if info is not None and info.size_bytes > _MOST_BYTES:
        raise _too_large(where, info.size_bytes)
    try:
        if info is not None:
            return where, store.read(name)
    except ObjectMissing:  # deleted between ``head`` and ``read``
        pass
    raise BadSetting(
        f"expectations {where}",
        got="no such object",
        expected="an expectations file, as bqx expectations propose writes one",
        cure=f"Copy it there: gcloud storage cp {EXPECTATIONS_FILE} {where}; or correct BQX_EXPECTATIONS.",
    )


def _too_large(where: str, size_bytes: int) -> BadSetting:
    return bad_expectations(where, f"{size_bytes:,} bytes")


def bad_expectations(where: str, got: str) -> BadSetting:
    """Return the error for a file that is missing or wrong."""
    return BadSetting(
        f"expectations {where}",
        got=got,
        expected="a TOML file with the keys of the packaged expectations.toml",
        cure="Correct the file, or name another one in BQX_EXPECTATIONS. All keys: bqx expectations show --text",
    )


def family_word(column: str) -> str:
    """Return the family that nulls are counted by, the first word of a feature's table: ``corr``, ``tri``, ``agg``."""
    return column.partition(SEPARATOR)[0].partition("_")[0]


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Return whether any of the shell patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _whole(number: float) -> int:
    """Round up, but not because of the error of a floating-point product."""
    return math.ceil(round(number, 6))


def _first_fit(shares: Mapping[str, float], name: str) -> float:
    return next((share for pattern, share in shares.items() if fnmatchcase(name, pattern)), 0.0)


@cache
def _packaged() -> dict[str, Any]:
    return tomllib.loads(files("bqx_assets.catalogue").joinpath(EXPECTATIONS_FILE).read_text())
