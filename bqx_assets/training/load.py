"""Loads published training files as lazy frames: the key, the chosen targets and the chosen features of a pair.

Nothing but the footer, the manifest and the dictionary is read before the frame is collected; then only the chosen
columns, and only the periods that a range of time needs.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Unpack

import polars as pl

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.dictionary.build import build_dictionary
from bqx_assets.quality.scan import Measured, stated_columns, stated_groups
from bqx_assets.training.cache import located
from bqx_assets.training.choice import LEFT_OUT, Choice, Selection, Target, chosen_targets, judged_features
from bqx_assets.training.located import Located, Pin

Moment = str | date | datetime
"""A time as ISO 8601 text, a date (its first minute) or a datetime; UTC unless it names a zone."""


_SIDES = ("minimum", "maximum")
Dtype = type[pl.DataType] | pl.DataType
"""A type of floating-point numbers, such as ``pl.Float32``."""


class NoDictionary(UserWarning):
    """A training file was published without a dictionary, so that less is known of its columns."""


@dataclass(frozen=True)
class Prepared:
    """A located file with what was chosen of it."""

    located: Located
    dictionary: pl.DataFrame
    targets: list[str]
    judged: pl.DataFrame
    """The features that the filters let through; ``left_out`` is null for those that are chosen."""

    @property
    def features(self) -> list[str]:
        """The names of the chosen features, in the file's order."""
        return self.judged.filter(pl.col(LEFT_OUT).is_null())["column"].to_list()

    def refuse_damaged(self, features: Sequence[str]) -> None:
        """Raise ChecksumMismatch if bytes of the key's, targets' or features' tables are not the manifest's."""
        chosen = pl.col("column").is_in([KEY, *self.targets, *features])
        self.located.refuse_damaged(self.dictionary.filter(chosen)["table"].unique().to_list())


def load_training(  # noqa: PLR0913 -- one keyword a question that a model builder has
    pair: str | Pair,
    target: Target | Sequence[Target] | None = None,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    labelled: bool = True,
    dtype: Dtype | None = None,
    verify: bool = False,
    source: str | Path | None = None,
    pin: Pin | None = None,
    settings: Settings | None = None,
    **choice: Unpack[Choice],
) -> pl.LazyFrame:
    """Return a pair's key, chosen targets and chosen features as a lazy frame.

    ``target`` is a window and a horizon in rows, ``(45, 15)``, or a name or pattern such as ``target_bqx45_h*``, or
    several of them; with None there is no target column. Targets that are not chosen are never among the features, nor
    is a feature that knows the future. Rows in which a chosen target is null are left out; ``labelled=False`` keeps
    them, for example the last minutes, whose future has not come.

    ``start`` is the first moment and ``end`` the first one after the range, so that neighbouring ranges share no row.
    The targets of the last rows before ``end`` follow from bars behind it: who splits by time leaves a gap of the
    horizon.

    ``features``, ``families``, ``tables``, ``windows``, ``longest_window`` and ``subjects`` filter features; one must
    pass all that are given. Left out are identifiers, texts and moments, features without a value, constant ones, and
    all but the first of the chosen ones with the same values; ``include`` takes such a kind in. ``features=[]`` gives
    none.

    ``dtype``, such as ``pl.Float32``, is the floating-point type of all numbers and flags but the key. ``verify``
    compares the bytes of the chosen tables in a local file with the manifest, which ``collect`` does not.

    ``source`` is a folder, a bucket ``gs://bucket/prefix``, or one file; by default the output of the settings. ``pin``
    is the content digest or the generation that must be there.

    **Shape**: the file's rows in the range x (1 + targets + features), in the order of the key.
    **Cost**: a second, for manifest, dictionary and footer. ``collect`` reads the chosen columns of the periods in the
    range, of a bucket through ranges of the object.

    Raises:
        BadSetting: there is no such target, feature, family, table or window, nothing is left, or the range lies before
            or after all rows of the file.
        UnknownPair, ObjectMissing: the pair, or a published file of it, does not exist.
        CheckpointCorrupt, ChecksumMismatch: file, manifest and dictionary do not belong together.
        OtherData: what is there is not what was pinned.
    """
    with prepare(as_pair(pair), target, choice, source=source, pin=pin, settings=settings) as prepared:
        if verify:
            prepared.refuse_damaged(prepared.features)
        refuse_outside([prepared], start, end)
        return selected(prepared, prepared.features, start, end, labelled=labelled, dtype=dtype)


def training_columns(
    pair: str | Pair,
    *,
    source: str | Path | None = None,
    pin: Pin | None = None,
    settings: Settings | None = None,
    **choice: Unpack[Choice],
) -> pl.DataFrame:
    """Return what is known of the features that the filters let through, and why ``load_training`` leaves some out.

    **Shape**: a row a feature, in the file's order, x the fields of ``dictionary.schema.ColumnFacts`` and ``left_out``,
    the reason; null for a feature that is given.

    Raises:
        BadSetting, UnknownPair, ObjectMissing, CheckpointCorrupt, ChecksumMismatch, OtherData: as ``load_training``.
    """
    with prepare(as_pair(pair), None, choice, source=source, pin=pin, settings=settings) as prepared:
        return prepared.judged


def training_manifest(
    pair: str | Pair, *, source: str | Path | None = None, pin: Pin | None = None, settings: Settings | None = None
) -> Manifest:
    """Return the manifest of a pair's training file, whose ``file.content_digest`` pins its values.

    Raises:
        UnknownPair, ObjectMissing, CheckpointCorrupt, ChecksumMismatch, OtherData: as ``load_training``.
    """
    found = located(as_pair(pair), source, pin, settings or Settings())
    with closing(found.source):
        return found.manifest


@contextmanager
def prepare(
    pair: Pair,
    target: Target | Sequence[Target] | None,
    choice: Choice,
    *,
    source: str | Path | None,
    pin: Pin | None,
    settings: Settings | None,
) -> Generator[Prepared]:
    """Give a pair's file, which is closed at the end, and what is chosen of it. Raises as ``load_training``."""
    selection = Selection.of(choice)
    found = located(pair, source, pin, settings or Settings())
    with closing(found.source):
        dictionary = dictionary_of(found)
        targets = chosen_targets(dictionary, target)
        yield Prepared(found, dictionary, targets, judged_features(dictionary, selection))


def selected(
    prepared: Prepared,
    features: Sequence[str],
    start: Moment | None,
    end: Moment | None,
    *,
    labelled: bool,
    dtype: Dtype | None,
) -> pl.LazyFrame:
    """Return the key, the targets and ``features`` of the range's rows. Raises BadSetting for a range that is none."""
    targets = prepared.targets
    rows = _in_range(prepared.located.scan(), start, end)
    if labelled and targets:
        rows = rows.filter(*(pl.col(name).is_not_null() for name in targets))
    refuse_narrow(dtype, prepared.dictionary.filter(pl.col("column").is_in([*targets, *features])))
    types = dict(prepared.dictionary.select("column", "type").rows())
    return rows.select(KEY, *(pl.col(name).cast(numbers_as(types[name], dtype)) for name in (*targets, *features)))


def dictionary_of(found: Located) -> pl.DataFrame:
    """Return the dictionary of a file; without a published one, it is made of the manifest and the footer.

    **Shape**: a row a column of the file x the fields of ``ColumnFacts``.

    Raises:
        CheckpointCorrupt: it is not that of the file, or the footer states too little to make one.
    """
    published = found.dictionary()
    if published is not None:
        return published.frame
    columns = stated_columns(found.footer, stated_groups(found.footer))
    unknown = sum(each.nulls != each.rows and (each.low is None or each.high is None) for each in columns)
    lacks = ["rows before the first value"]
    if unknown:
        lacks.append(f"whether {unknown:,} columns are constant")
    warnings.warn(
        NoDictionary(
            f"{found.file.place} was published without a dictionary. Its columns are judged by manifest and footer, "
            f"which do not tell {' and '.join(lacks)}. Publish it again: bqx publish {found.pair}"
        ),
        stacklevel=6,
    )
    keys = found.scan().select(KEY).collect()[KEY]
    try:
        return build_dictionary(found.manifest, Measured(columns, keys)).frame
    except ValueError as error:
        raise CheckpointCorrupt(
            found.file.place,
            got=str(error),
            expected="a dictionary, or a footer that states nulls of every column",
            cure=f"Publish it again, with its dictionary: bqx publish {found.pair}",
        ) from error


def refuse_outside(prepared: Sequence[Prepared], start: Moment | None, end: Moment | None) -> None:
    """Raise BadSetting for a range that begins after, or ends before, all rows of all files."""
    first, behind = _moment("start", start), _moment("end", end)
    spines = [each.located.manifest.extraction.spine for each in prepared]
    earliest, latest = min(each.first for each in spines), max(each.last for each in spines)
    is_late = first is not None and first > latest
    if is_late or (behind is not None and behind <= earliest):
        one = prepared[0].located
        files, run = (one.file.place, f"run {one.pair}") if len(prepared) == 1 else ("the panel's files", "fleet run")
        raise BadSetting(
            "start" if is_late else "end",
            got=f"{first if is_late else behind}",
            expected=f"a range with rows of {files}, {earliest} to {latest}",
            cure=f"Choose another range, or bring the data up to date: bqx {run}"
            if is_late
            else "Choose another range.",
        )


def _in_range(rows: pl.LazyFrame, start: Moment | None, end: Moment | None) -> pl.LazyFrame:
    first, behind = _moment("start", start), _moment("end", end)
    if first is not None and behind is not None and behind <= first:
        raise BadSetting("end", got=f"{behind}", expected=f"a moment after start, {first}", cure="Exchange the two.")
    if first is not None:
        rows = rows.filter(pl.col(KEY) >= first)
    return rows if behind is None else rows.filter(pl.col(KEY) < behind)


def _moment(word: str, value: Moment | None) -> datetime | None:
    """Return a moment with its zone. Raises BadSetting for a text that is none."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        found = found if isinstance(found, datetime) else datetime.combine(found, time())
    except (ValueError, TypeError) as error:
        raise BadSetting(
            word, got=repr(value), expected="a date or a time", cure='For example "2024-01-01" or "2024-01-01T12:30".'
        ) from error
    # Polars compares no moments of two zones.
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def refuse_narrow(dtype: Dtype | None, chosen: pl.DataFrame) -> None:
    """Raise BadSetting for a type that does not hold the chosen numbers; a value beyond it would become infinite.

    ``chosen`` has a row for each chosen column, with its type, minimum and maximum.
    """
    if dtype is None:
        return
    wanted = pl.DataFrame(schema={"number": dtype}).schema["number"]
    if not wanted.is_float():
        raise BadSetting(
            "dtype",
            got=f"{wanted}",
            expected="a type of floating-point numbers, because others cut values off",
            cure="dtype=pl.Float32",
        )
    number = pl.col("type").is_in([name for name, each in COLUMN_TYPES.items() if each.is_number])
    bounds = [pl.col(side) for side in _SIDES]
    grows = (bound.is_finite() & bound.cast(wanted).is_infinite() for bound in bounds)
    beyond = chosen.filter(number & pl.any_horizontal(grows))
    if beyond.height:
        column, low, high = beyond.select("column", *_SIDES).row(0)
        raise BadSetting(
            "dtype",
            got=f"{wanted}, in which values of {column}, {low:g} to {high:g}, are infinite",
            expected="a type that holds all chosen columns",
            cure=f"Leave out {column}, or take dtype=pl.Float64.",
        )


def numbers_as(kind: str, dtype: Dtype | None) -> Dtype:
    """Return the type of a column of BigQuery's type ``kind``: the wanted one if it holds numbers or flags."""
    held = COLUMN_TYPES[kind]
    return dtype if dtype is not None and (held.is_number or kind == "BOOL") else held.polars


def as_pair(pair: str | Pair) -> Pair:
    """Return a pair, also by its name. Raises UnknownPair."""
    return pair if isinstance(pair, Pair) else parse_pair(pair)
