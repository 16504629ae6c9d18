"""The one table of list prices (``prices.toml``), and what reading from BigQuery costs by it.

With 5 USD in one place and 6.25 USD a TB in another, the users' own estimate was wrong by a factor of eight.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import Field

from bqx_assets.base.artifacts import Record

TIB_BYTES = 1 << 40


class Section(Record):
    """Prices that were read from one page."""

    source: str
    how: str
    """How the page was read."""


class BigQueryPrices(Section):
    """USD a TiB."""

    query_per_tib: float = Field(ge=0)
    storage_read_per_tib: float = Field(ge=0)


class CloudRunPrices(Section):
    """USD a second of a running task."""

    vcpu_per_second: float = Field(ge=0)
    gib_per_second: float = Field(ge=0)


class CloudStoragePrices(Section):
    """USD a thousand operations, a GiB kept for a month, a GiB that leaves its region."""

    class_a_per_thousand: float = Field(ge=0)
    class_b_per_thousand: float = Field(ge=0)
    gib_per_month: float = Field(ge=0)
    between_regions_per_gib: float = Field(ge=0)


class ComputeEnginePrices(Section):
    """USD an hour of a machine and of its address, a GiB of disk for a month."""

    per_hour: dict[str, float]
    disk_gib_per_month: float = Field(ge=0)
    address_per_hour: float = Field(ge=0)


class CloudSqlPrices(Section):
    """USD an hour of an instance, a GiB of its disk and of its backups for a month."""

    per_hour: dict[str, float]
    disk_gib_per_month: float = Field(ge=0)
    backup_gib_per_month: float = Field(ge=0)


class ArtifactRegistryPrices(Section):
    """USD a GiB kept for a month."""

    gib_per_month: float = Field(ge=0)


class LoggingPrices(Section):
    """USD a GiB written."""

    per_gib: float = Field(ge=0)


class Prices(Record):
    """The price table of a day."""

    as_of: str
    read: str
    """How all prices were read."""
    bigquery: BigQueryPrices
    cloud_run: CloudRunPrices
    cloud_storage: CloudStoragePrices
    compute_engine: ComputeEnginePrices
    cloud_sql: CloudSqlPrices
    artifact_registry: ArtifactRegistryPrices
    logging: LoggingPrices

    def sections(self) -> dict[str, Section]:
        """Return the sections by name."""
        return {name: section for name, section in self if isinstance(section, Section)}


@cache
def prices() -> Prices:
    """Return the packaged price table."""
    return Prices.model_validate(tomllib.loads(files("bqx_assets.base").joinpath("prices.toml").read_text()))


def storage_read_usd(read_bytes: int) -> float:
    """Return what reading ``read_bytes`` by the Storage Read API costs, in USD."""
    return read_bytes / TIB_BYTES * prices().bigquery.storage_read_per_tib
