"""The only table of list prices (``prices.toml``), and the cost of each quantity by it.

The users' own estimate had 5 USD a TB in one place and 6.25 in another, and was wrong by a factor of eight.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import Field

from bqx_assets.base.artifacts import Record

TIB_BYTES, GIB_BYTES = 1 << 40, 1 << 30


class Section(Record):
    """Prices that were read from one page."""

    source: str
    how: str
    """The way in which the page was read."""


class BigQueryPrices(Section):
    """Prices of BigQuery in USD a TiB."""

    query_per_tib: float = Field(ge=0)
    storage_read_per_tib: float = Field(ge=0)


class CloudRunPrices(Section):
    """Prices of Cloud Run in USD for each second of a running task."""

    vcpu_per_second: float = Field(ge=0)
    gib_per_second: float = Field(ge=0)


class CloudStoragePrices(Section):
    """Prices of Cloud Storage in USD: a thousand operations, a GiB kept for a month, a GiB that leaves its region."""

    class_a_per_thousand: float = Field(ge=0)
    class_b_per_thousand: float = Field(ge=0)
    gib_per_month: float = Field(ge=0)
    between_regions_per_gib: float = Field(ge=0)


class ComputeEnginePrices(Section):
    """Prices of Compute Engine in USD: an hour of a machine and of its address, a GiB of disk for a month."""

    per_hour: dict[str, float]
    disk_gib_per_month: float = Field(ge=0)
    address_per_hour: float = Field(ge=0)


class CloudSqlPrices(Section):
    """Prices of Cloud SQL in USD: an hour of an instance, a GiB of its disk and of its backups for a month."""

    per_hour: dict[str, float]
    disk_gib_per_month: float = Field(ge=0)
    backup_gib_per_month: float = Field(ge=0)


class ArtifactRegistryPrices(Section):
    """The price of Artifact Registry in USD for a GiB kept for a month."""

    gib_per_month: float = Field(ge=0)


class LoggingPrices(Section):
    """The price of Cloud Logging in USD for a GiB written."""

    per_gib: float = Field(ge=0)


class Prices(Record):
    """The price table as it was on one day."""

    as_of: str
    read: str
    """The way in which all prices were read."""
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
    """Return the cost of reading ``read_bytes`` through the Storage Read API, in USD."""
    return read_bytes / TIB_BYTES * prices().bigquery.storage_read_per_tib


def query_usd(scanned_bytes: int) -> float:
    """Return what an on-demand query that scans ``scanned_bytes`` costs, in USD."""
    return scanned_bytes / TIB_BYTES * prices().bigquery.query_per_tib


def cloud_run_usd(seconds: float, *, vcpus: float, gib: float) -> float:
    """Return what a Cloud Run task of this size costs for ``seconds``, in USD."""
    found = prices().cloud_run
    return seconds * (vcpus * found.vcpu_per_second + gib * found.gib_per_second)


def storage_operations_usd(class_a: int, class_b: int = 0) -> float:
    """Return what operations on Cloud Storage cost, in USD. Deletions are free."""
    found = prices().cloud_storage
    return (class_a * found.class_a_per_thousand + class_b * found.class_b_per_thousand) / 1000


def storage_kept_usd(kept_bytes: int) -> float:
    """Return what keeping ``kept_bytes`` in Cloud Storage costs, in USD a month."""
    return kept_bytes / GIB_BYTES * prices().cloud_storage.gib_per_month
