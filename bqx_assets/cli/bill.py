"""Computes what a run and a month cost in USD: quantities (``ways.toml``, ``month.toml``) times list prices."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from bqx_assets.base.artifacts import Record
from bqx_assets.base.costs import (
    GIB_BYTES,
    cloud_run_usd,
    prices,
    query_usd,
    storage_kept_usd,
    storage_operations_usd,
    storage_read_usd,
)
from bqx_assets.doctor.tables import MEASURED_PAIR

HOURS = 730.0
"""Hours in a month."""
_DAYS = HOURS / 24
WEEKLY = 52 / 12
"""Runs of each pair in a month if it runs weekly."""
PLACES = ("Cloud Run", "VM, always on", "VM for the runs")
"""The three places of a bill: the recipe of ``deploy/``; one machine for Dagster and the runs; one machine that is
stopped between the runs."""


class Way(Record):
    """One way to make a pair's training file, with the quantities it takes. **Units** are in the names; 0: not used."""

    name: str
    vm: str = "n2-highmem-8"
    """Machine type, as the price table names it."""
    vm_hours: float = Field(default=0, ge=0)
    """Hours of that machine."""
    vcpus: float = Field(default=0, ge=0)
    gib: float = Field(default=0, ge=0)
    seconds: float = Field(default=0, ge=0)
    """Seconds of a Cloud Run task of that size."""
    at_once: int = Field(default=1, ge=1)
    """Pairs that are processed at the same time."""
    queried_bytes: int = Field(default=0, ge=0)
    storage_read_bytes: int = Field(default=0, ge=0)
    class_a: int = Field(default=0, ge=0)
    class_b: int = Field(default=0, ge=0)
    kept_bytes: int = Field(default=0, ge=0)
    """Size of the training file."""
    claimed_usd: float | None = None
    """The users' own estimate."""
    claimed_hours: float | None = None
    """The users' own estimate, for 26 pairs."""
    cannot: str = ""
    """The reason why this way does not work at all; empty where it works."""
    measured: str
    assumed: str

    @property
    def compute_usd(self) -> float:
        """USD for the time of machines and containers."""
        vm_usd = self.vm_hours * prices().compute_engine.per_hour[self.vm]
        return vm_usd + cloud_run_usd(self.seconds, vcpus=self.vcpus, gib=self.gib)

    @property
    def bigquery_usd(self) -> float:
        """USD for queries and reads."""
        return query_usd(self.queried_bytes) + storage_read_usd(self.storage_read_bytes)

    @property
    def storage_usd(self) -> float:
        """USD for operations on Cloud Storage, without keeping the file."""
        return storage_operations_usd(self.class_a, self.class_b)

    @property
    def keeping_usd(self) -> float:
        """USD for keeping the training file in Cloud Storage for a month."""
        return storage_kept_usd(self.kept_bytes)

    @property
    def total_usd(self) -> float:
        """USD for one run of one pair."""
        return self.compute_usd + self.bigquery_usd + self.storage_usd

    def hours(self, pairs: int) -> float:
        """Return the hours that ``pairs`` pairs take, ``at_once`` of them at a time."""
        return -(-pairs // self.at_once) * (self.vm_hours + self.seconds / 3600)


class _Ways(Record):
    way: tuple[Way, ...]


@cache
def ways() -> tuple[Way, ...]:
    """Return the packaged ways, the users' own first."""
    document = tomllib.loads(files("bqx_assets.cli").joinpath("ways.toml").read_text())
    for facts in document["way"]:
        facts |= {name: getattr(MEASURED_PAIR, name) for name in facts.pop("as_measured", ())}
    return _Ways.model_validate(document).way


class Quantity(Record):
    """A quantity of the month, with how its value is known."""

    value: float
    how: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The quantities of a month that differ from user to user."""

    pairs: int = 28
    runs: float = WEEKLY
    """Runs of each pair in a month."""
    regions_differ: bool = False
    """Whether BigQuery's data lies in another region than bucket and machines."""
    sql: str = "db-g1-small"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill, in USD a month for each of ``PLACES``."""

    name: str
    usd: tuple[float, float, float]
    of: Literal["runs", "files", "machines"]


@cache
def quantities() -> dict[str, Quantity]:
    """Return the packaged quantities by name."""
    text = files("bqx_assets.cli").joinpath("month.toml").read_text()
    return {name: Quantity.model_validate(facts) for name, facts in tomllib.loads(text).items()}


def month(usage: Usage) -> list[Line]:
    """Return the lines of the bill of a month after the first weeks, when all earlier versions are kept."""
    runs = usage.pairs * usage.runs
    cloud_run, vm = estimated_run(), _way("bqx_assets, VM, 1 of 28")
    moved_gib = runs * cloud_run.storage_read_bytes / GIB_BYTES if usage.regions_differ else 0.0
    return [
        _alike(
            "BigQuery reads, catalogue",
            runs * (cloud_run.bigquery_usd + query_usd(round(_of("catalogue_bytes")))),
            "runs",
        ),
        Line("processors of the runs", (runs * cloud_run.compute_usd, 0.0, runs * vm.compute_usd), "runs"),
        _alike("requests to Cloud Storage", runs * cloud_run.storage_usd, "runs"),
        _alike("network between regions", moved_gib * prices().cloud_storage.between_regions_per_gib, "runs"),
        _alike("slabs", storage_kept_usd(round(usage.pairs * _of("slabs_bytes"))), "files"),
        _alike("staging, 7 days", storage_kept_usd(round(_staged_bytes(usage))), "files"),
        _alike("published files", storage_kept_usd(round(usage.pairs * _of("file_bytes"))), "files"),
        _alike(
            f"{_of('kept_versions'):.0f} earlier versions of each",
            storage_kept_usd(round(usage.pairs * _of("file_bytes") * _of("kept_versions"))),
            "files",
        ),
        _alike("soft delete, 7 days", storage_kept_usd(round(_soft_deleted_bytes(usage))), "files"),
        Line("Postgres for Dagster", (_sql_usd(usage), 0.0, 0.0), "machines"),
        Line("the machine", _machine_usd(), "machines"),
        Line("images", (_image_usd(), _image_usd(), 0.0), "machines"),
        _alike("logs", runs * _of("log_gib") * prices().logging.per_gib, "machines"),
    ]


def total(lines: list[Line], of: str = "") -> tuple[float, float, float]:
    """Return the sum of each place over all lines, or over those of one kind."""
    counted = [line.usd for line in lines if of in ("", line.of)]
    first, second, third = (sum(usd[place] for usd in counted) for place in range(len(PLACES)))
    return first, second, third


def estimated_run() -> Way:
    """Return the way that runs a pair by the recipe of ``deploy/``, as one of a fleet that shares tables."""
    return _way("bqx_assets, Cloud Run, 1 of 28")


def _way(name: str) -> Way:
    return next(way for way in ways() if way.name == name)


def _of(name: str) -> float:
    return quantities()[name].value


def _alike(name: str, usd: float, of: Literal["runs", "files", "machines"]) -> Line:
    """Return a line that costs the same in all places."""
    return Line(name, (usd, usd, usd), of)


def _staged_bytes(usage: Usage) -> float:
    """Return the bytes in staging but slabs: a week's merged files and shared tables, and removed ones a day more."""
    there = min(1.0, usage.runs * _of("staging_days") / _DAYS)
    replaced = usage.pairs * usage.runs * (_of("slabs_bytes") + 2 * _of("file_bytes")) / _DAYS
    return there * (usage.pairs * _of("file_bytes") + _of("shared_bytes")) + replaced


def _soft_deleted_bytes(usage: Usage) -> float:
    """Return what soft delete keeps: a run deletes slabs, merged file, components and the oldest version."""
    per_run = _of("slabs_bytes") + 3 * _of("file_bytes")
    shared = _of("shared_bytes") * usage.runs
    return (usage.pairs * usage.runs * per_run + shared) * _of("soft_delete_days") / _DAYS


def _sql_usd(usage: Usage) -> float:
    found = prices().cloud_sql
    disk = _of("sql_gib") * (found.disk_gib_per_month + found.backup_gib_per_month)
    return HOURS * found.per_hour[usage.sql] + disk


def _machine_usd() -> tuple[float, float, float]:
    """Return the cost of a machine beside Cloud Run, of one that also runs the pairs, and of a stopped one's disk."""
    found = prices().compute_engine
    disk = _of("disk_gib") * found.disk_gib_per_month
    always = HOURS * found.address_per_hour + disk
    return HOURS * found.per_hour["e2-medium"] + always, HOURS * found.per_hour["e2-standard-2"] + always, disk


def _image_usd() -> float:
    return _of("image_gib") * prices().artifact_registry.gib_per_month
