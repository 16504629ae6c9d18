"""A month of keeping training files fresh: every line of its bill, for three places where the engine can run.

Belongs here: quantities (``month.toml``) and a way's runs turned into USD a month. Does not: prices (``costs``), what
one run takes (``ways``).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from bqx_assets.base.artifacts import Record
from bqx_assets.base.costs import GIB_BYTES, prices, query_usd, storage_kept_usd
from bqx_assets.base.ways import Way, ways

HOURS = 730.0
"""Of a month."""
_DAYS = HOURS / 24
WEEKLY = 52 / 12
"""Runs of each pair a month."""
PLACES = ("Cloud Run", "VM, always on", "VM for the runs")
"""The recipe of ``deploy/``; one machine for Dagster and the runs; a machine that is stopped between its runs."""


class Quantity(Record):
    """A value of the month, and how it is known."""

    value: float
    how: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What may differ from one user to another."""

    pairs: int = 28
    runs: float = WEEKLY
    """Of each pair a month."""
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
    text = files("bqx_assets.base").joinpath("month.toml").read_text()
    return {name: Quantity.model_validate(facts) for name, facts in tomllib.loads(text).items()}


def month(usage: Usage) -> list[Line]:
    """Return the bill's lines once all earlier versions are there, so not of the first weeks."""
    runs = usage.pairs * usage.runs
    cloud_run, vm = _way("bqx_assets, Cloud Run, 1 of 28"), _way("bqx_assets, VM, 1 of 28")
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
    """Return the sum of each place, of all lines or of those of one kind."""
    counted = [line.usd for line in lines if of in ("", line.of)]
    first, second, third = (sum(usd[place] for usd in counted) for place in range(len(PLACES)))
    return first, second, third


def _way(name: str) -> Way:
    return next(way for way in ways() if way.name == name)


def _of(name: str) -> float:
    return quantities()[name].value


def _alike(name: str, usd: float, of: Literal["runs", "files", "machines"]) -> Line:
    return Line(name, (usd, usd, usd), of)


def _staged_bytes(usage: Usage) -> float:
    """Slabs and the merged file of the last week, shared tables once; replaced and deleted ones a day longer."""
    per_pair = _of("slabs_bytes") + _of("file_bytes")
    there = min(1.0, usage.runs * _of("staging_days") / _DAYS)
    replaced = usage.pairs * usage.runs * (per_pair + _of("file_bytes")) / _DAYS
    return there * (usage.pairs * per_pair + _of("shared_bytes")) + replaced


def _soft_deleted_bytes(usage: Usage) -> float:
    """Of each run, in the end: slabs, merged file, components of the composition, and the oldest version."""
    per_run = _of("slabs_bytes") + 3 * _of("file_bytes")
    shared = _of("shared_bytes") * usage.runs
    return (usage.pairs * usage.runs * per_run + shared) * _of("soft_delete_days") / _DAYS


def _sql_usd(usage: Usage) -> float:
    found = prices().cloud_sql
    disk = _of("sql_gib") * (found.disk_gib_per_month + found.backup_gib_per_month)
    return HOURS * found.per_hour[usage.sql] + disk


def _machine_usd() -> tuple[float, float, float]:
    """A small one beside Cloud Run; one that runs the pairs too; of one that is stopped between runs the disk."""
    found = prices().compute_engine
    disk = _of("disk_gib") * found.disk_gib_per_month
    always = HOURS * found.address_per_hour + disk
    return HOURS * found.per_hour["e2-medium"] + always, HOURS * found.per_hour["e2-standard-2"] + always, disk


def _image_usd() -> float:
    return _of("image_gib") * prices().artifact_registry.gib_per_month
