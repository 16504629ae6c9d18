"""The settings of a run, read from ``BQX_*`` environment variables and overridden by options, and the paths they imply.

Numbers that a check compares with are no settings; they are in the expectations file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair, parse_pairs
from bqx_assets.base.store.naming import local_path, output_place, server_address

_PREFIX = "BQX_"
DuplicatePolicy = Literal["refuse", "first", "last"]
EncodingPolicy = Literal["balanced", "small", "fast", "compatible"]
PeriodUnit = Literal["month", "quarter", "half-year", "year", "none"]
_NUMBER = r"(\d{1,15}|\d{1,3}(?:,\d{3}){1,4}|\d{1,3}(?:_\d{3}){1,4})"
"""A comma separates thousands only: to many people ``1,5d`` means one and a half days, so it is not read as 15 days."""
_ROWS = re.compile(rf"{_NUMBER}\s*rows?", re.IGNORECASE)
_DAYS = re.compile(rf"{_NUMBER}\s*d(?:ays?)?", re.IGNORECASE)
_MOST = {"rows": 10**12, "days": 36_500}


@dataclass(frozen=True, slots=True)
class Last:
    """The last ``count`` rows of a spine, or those of the last ``count`` times 24 hours before its last minute."""

    count: int
    unit: Literal["rows", "days"]

    def __str__(self) -> str:
        return f"{self.count} rows" if self.unit == "rows" else f"{self.count}d"

    def days_before(self, moment: datetime, *, more: int = 0) -> datetime:
        """Return the moment ``count`` and ``more`` times 24 hours before another; at the earliest that of year 1."""
        first = datetime.min.replace(tzinfo=moment.tzinfo)
        days = self.count + more
        return moment - timedelta(days=days) if days <= (moment - first).days else first


class Settings(BaseSettings):
    """Settings of extraction, merge and release. Paths are derived from ``home`` unless set.

    It raises BadSetting for a text that is no path, place or address, and pydantic's own error for other wrong values.
    """

    # Cloud Run, compose and systemd pass an empty text for a variable that nobody set: it counts as not set.
    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    home: Path = Path(".bqx")
    """Folder for everything a run makes."""
    warehouse: Path | None = None
    """Folder of the embedded warehouse; default: the one in this home that was last made for the pair, else
    ``{home}/warehouse``."""
    expectations: str | None = None
    """Expectations file or its folder, as a path or ``gs://`` URI; default: the ``expectations.toml`` of the warehouse,
    else the packaged one."""
    bigquery_project: str | None = None
    """Google project whose feature and targets datasets are read; where it is unset, the embedded warehouse is read."""
    billing_project: str | None = None
    """Google project that runs the queries and owns the read sessions; default: ``bigquery_project``."""
    bigquery_storage_endpoint: str | None = None
    """Address of the BigQuery Storage Read API; default: Google's own. An ``http://`` address is called in plain
    text and without credentials."""
    way: Literal["read", "query"] = "read"
    """Way in which feature tables of BigQuery are brought onto the spine: ``read`` reads them by the Storage Read API
    and aligns them here; ``query`` joins them in BigQuery, which is billed as queries, and exports them to the output
    bucket. The training file is the same."""
    bigquery_streams: int = Field(default=16, ge=1)
    """Number of read streams that are open at the same time, over all tables."""
    max_bytes: int = Field(default=0, ge=0)
    """Largest number of bytes that an extraction may read from the warehouse; 0 means no limit. A larger extraction is
    refused before anything is read."""
    staging: Path | None = None
    """Folder that keeps the tables shared by all pairs after they were read; default: the output bucket where there is
    one, else ``{home}/staging``."""
    stage_shared: bool = True
    """Whether the tables shared by all pairs are kept in ``staging``; if not, they are read again for each pair."""
    output: str | None = None
    """Place where training files are published, ``gs://bucket[/prefix]`` or a folder; default
    ``{home}/bqx-ml-output``."""
    workers: int = Field(default=0, ge=0)
    """Number of tables that are read in parallel; 0 means one for each processor."""
    duplicates: DuplicatePolicy = "refuse"
    """Treatment of several rows of a table that have the same ``interval_time``: the table is refused, or the first or
    the last of them is taken."""
    include_forward_looking: bool = False
    """Whether quarantined columns stay in the training file. They leak the label."""
    start: datetime | None = None
    """First minute of the spine, inclusive; UTC unless it names a zone."""
    end: datetime | None = None
    """Last minute of the spine, inclusive; UTC unless it names a zone."""
    last: str | None = None
    """Only the last rows or days of the spine, such as ``100000 rows`` or ``395d``, counted back from the last minute
    that it has when the pair is read; not together with ``start`` or ``end``."""
    period: PeriodUnit = "quarter"
    """Unit of the calendar, UTC, by which the spine is cut into periods. Each is a row group of the training file, and
    one that did not change is not read again; ``none`` keeps all rows together."""
    row_group_rows: int = Field(default=200_000, ge=0)
    """Number of rows in a row group of a file that is merged from raw checkpoints; 0 means one row group for all
    rows."""
    engine: Literal["splice", "join"] = "splice"
    """Method that makes a training file from slabs: ``splice`` concatenates their bytes; ``join`` is slow and simple
    and serves to check the other."""
    encoding: EncodingPolicy = "balanced"
    """Rule by which the encoding of each column is chosen: ``balanced`` weighs bytes against the time to write and read
    them, ``small`` takes the fewest bytes, ``fast`` the least time; ``compatible`` has only encodings that every reader
    since 2015 knows, and makes larger files."""
    staging_days: int = Field(default=7, ge=1)
    """Number of days that unpublished parts may stay in the store. Slabs stay, since a refresh reads what is gone."""
    keep_versions: int = Field(default=3, ge=0)
    """Number of earlier versions of a published file that are kept."""
    fleet: str | None = None
    """Names of the pairs that are to be published and kept fresh, separated by commas or blanks. By default all
    28, of embedded warehouses those that have tables."""
    fresh_days: float = Field(default=8.0, gt=0)
    """Age in days up to which the data of a published file count as fresh; a week and a day, for weekly runs."""
    stop_after: int | None = Field(default=None, ge=1)
    """Number of failed pairs after which what is queued of their backfill or `bqx fleet run` is cancelled; none by
    default. Runs at work go on."""
    monthly_budget_usd: float | None = Field(default=None, gt=0)
    """USD for the runs of a calendar month (UTC), by the ledger. At or above it no further run begins; none by
    default."""
    replace_source: bool = False
    """Whether a file may be published in the place of one that was made from another source."""

    @field_validator("home", "warehouse", "staging", mode="before")
    @classmethod
    def _is_a_path(cls, value: str | Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else local_path(value, variable_of(info.field_name))

    @field_validator("output", "expectations", mode="before")
    @classmethod
    def _is_a_place(cls, value: str | Path | None, info: ValidationInfo) -> str | None:
        return None if value is None else output_place(value, variable_of(info.field_name))

    @field_validator("start", "end")
    @classmethod
    def _is_of_a_zone(cls, value: datetime | None) -> datetime | None:
        """Return a time with a zone: UTC where it has none, because it could not be compared with the keys."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @field_validator("last")
    @classmethod
    def _is_rows_or_days(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else str(parse_last(value, variable_of(info.field_name)))

    @model_validator(mode="after")
    def _has_one_range(self) -> Self:
        _refuse_two_ranges(self.last, self.start, self.end)
        return self

    @field_validator("fleet")
    @classmethod
    def _is_of_pairs(cls, value: str | None) -> str | None:
        return None if value is None or not value.strip() else " ".join(pair.name for pair in parse_pairs(value))

    @field_validator("bigquery_storage_endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else server_address(value, variable_of(info.field_name), schemes=("", "http://"))

    @property
    def last_span(self) -> Last | None:
        """The rows or days that ``last`` asks for."""
        return None if self.last is None else parse_last(self.last, variable_of("last"))

    @property
    def span(self) -> str:
        """The requested range in words; empty for the whole history."""
        return _span_text(self.last, self.start, self.end)

    @property
    def warehouse_dir(self) -> Path:
        """Folder of the embedded warehouse."""
        return self.warehouse or self.home / "warehouse"

    def source_link(self, pair: Pair) -> Path:
        """Return the link to the embedded warehouse that was last made for the pair in this home."""
        return self.home / "sources" / pair.name

    def of_pair(self, pair: Pair) -> Self:
        """Return these settings with the pair's own embedded warehouse, if the home has one and the settings name none.

        ``make run`` makes one warehouse for each pair, row count and file of rates, and leaves a link to it, so that
        each command after it reads the same tables.
        """
        link = self.source_link(pair)
        if self.warehouse is not None or self.bigquery_project is not None or not link.is_symlink():
            return self
        made = Path(os.path.normpath(link.parent / link.readlink()))
        return self.model_copy(update={"warehouse": made}) if made.is_dir() else self

    @property
    def staging_dir(self) -> Path:
        """Folder of the shared tables read from BigQuery."""
        return self.staging or self.home / "staging"

    @property
    def output_dir(self) -> Path:
        """Root of the local object store that stands for the output bucket."""
        return Path(self.output) if self.output else self.home / "bqx-ml-output"

    @property
    def checkpoint_dir(self) -> Path:
        """Root of all pairs' slabs: a pair's lie in ``{root}/{pair}``."""
        return self.home / "checkpoints"

    def training_file(self, pair: Pair) -> Path:
        """Return where a pair's merged, not yet published file lies."""
        return self.home / "training" / training_name(pair)


def variable_of(field: str | None) -> str:
    """Return the environment variable of a setting."""
    return f"{_PREFIX}{(field or '').upper()}"


def training_name(pair: Pair) -> str:
    """Return the file and object name of a pair's training parquet."""
    return f"training_{pair.name}.parquet"


def parse_last(text: str, subject: str) -> Last:
    """Return the rows or days that a text such as ``100000 rows`` or ``395d`` asks for.

    Raises:
        BadSetting: the text is neither a number of rows nor one of days, or the number is 0 or too large.
    """
    for unit, pattern in (("rows", _ROWS), ("days", _DAYS)):
        found = pattern.fullmatch(text.strip())
        count = int(re.sub(r"[,_]", "", found[1])) if found else 0
        if 1 <= count <= _MOST[unit]:
            return Last(count, "rows" if unit == "rows" else "days")
    raise BadSetting(
        subject,
        got=repr(text[:60]),
        expected=f"a number of rows, or of days up to {_MOST['days']:,}",
        cure="For example: 100000 rows, or 395d. Leave it empty for the whole history.",
    )


def refuse_unfit_for_joins(settings: Settings, *, in_bucket: bool) -> None:
    """Refuse settings with which tables cannot be joined in BigQuery.

    Raises:
        BadSetting: there is no BigQuery, no bucket to export to, or one of several rows with a key is to be taken.
    """
    unfit = [
        (settings.bigquery_project is None, "BQX_BIGQUERY_PROJECT is not set", "Set it to the project of the tables."),
        (not in_bucket, f"BQX_OUTPUT is {settings.output or 'not set'}", "Set BQX_OUTPUT to gs://BUCKET."),
        (
            settings.duplicates != "refuse",
            f"BQX_DUPLICATES={settings.duplicates}",
            "Rows of a query have no order, so none is the first: leave BQX_DUPLICATES empty.",
        ),
    ]
    for is_so, got, cure in unfit:
        if is_so:
            raise BadSetting(
                "BQX_WAY=query",
                got=got,
                expected="tables in BigQuery, a bucket for what it exports, and unique keys",
                cure=f"{cure} Or set BQX_WAY=read.",
            )


def _refuse_two_ranges(last: str | None, start: datetime | None, end: datetime | None) -> None:
    """Raise BadSetting if a range is given twice or ends before it begins."""
    bounds = [name for name, bound in (("BQX_START", start), ("BQX_END", end)) if bound is not None]
    if last is not None and bounds:
        raise BadSetting(
            "BQX_LAST",
            got=f"{last} together with {' and '.join(bounds)}",
            expected="one range: the last rows or days, or the moments that it begins and ends at",
            cure=f"Leave BQX_LAST empty, or leave {' and '.join(bounds)} empty.",
        )
    if start is not None and end is not None and end < start:
        raise BadSetting(
            "BQX_END",
            got=f"{end:%Y-%m-%d %H:%M:%S %Z}, before BQX_START, {start:%Y-%m-%d %H:%M:%S %Z}",
            expected="a range that ends after it begins",
            cure="Exchange the two, or correct one of them.",
        )


def _span_text(last: str | None, start: datetime | None, end: datetime | None) -> str:
    """Return a range in words, for manifests and people; empty for the whole history."""
    if last is not None:
        return f"the last {last}"
    bounds = [f"{word} {bound.isoformat()}" for word, bound in (("from", start), ("to", end)) if bound is not None]
    return " ".join(bounds)
