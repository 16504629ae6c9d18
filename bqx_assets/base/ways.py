"""The ways to make a pair's training file, what each takes, and its price by the one price table.

Belongs here: quantities (``ways.toml``) turned into USD. Does not: prices (``costs``), or measuring.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import Field

from bqx_assets.base.artifacts import Record
from bqx_assets.base.costs import (
    cloud_run_usd,
    prices,
    query_usd,
    storage_kept_usd,
    storage_operations_usd,
    storage_read_usd,
)


class Way(Record):
    """What one pair takes. **Units** in the names; 0 where nothing of the kind is used."""

    name: str
    vm: str = "n2-highmem-8"
    """Machine type, as the price table names it."""
    vm_hours: float = Field(default=0, ge=0)
    """Of that machine."""
    vcpus: float = Field(default=0, ge=0)
    gib: float = Field(default=0, ge=0)
    seconds: float = Field(default=0, ge=0)
    """Of a Cloud Run task of that size."""
    at_once: int = Field(default=1, ge=1)
    """Pairs in work at the same time."""
    queried_bytes: int = Field(default=0, ge=0)
    storage_read_bytes: int = Field(default=0, ge=0)
    class_a: int = Field(default=0, ge=0)
    class_b: int = Field(default=0, ge=0)
    kept_bytes: int = Field(default=0, ge=0)
    """The training file's."""
    claimed_usd: float | None = None
    """The users' own estimate."""
    claimed_hours: float | None = None
    """The users' own estimate, for 26 pairs."""
    cannot: str = ""
    """Why it does not work at all; empty where it does."""
    measured: str
    assumed: str

    @property
    def compute_usd(self) -> float:
        """Machine and container time."""
        vm_usd = self.vm_hours * prices().compute_engine.per_hour[self.vm]
        return vm_usd + cloud_run_usd(self.seconds, vcpus=self.vcpus, gib=self.gib)

    @property
    def bigquery_usd(self) -> float:
        """Queries and reads."""
        return query_usd(self.queried_bytes) + storage_read_usd(self.storage_read_bytes)

    @property
    def storage_usd(self) -> float:
        """Operations on Cloud Storage; keeping the file is not in it."""
        return storage_operations_usd(self.class_a, self.class_b)

    @property
    def keeping_usd(self) -> float:
        """A month of the training file in Cloud Storage."""
        return storage_kept_usd(self.kept_bytes)

    @property
    def total_usd(self) -> float:
        """Of one pair."""
        return self.compute_usd + self.bigquery_usd + self.storage_usd

    def hours(self, pairs: int) -> float:
        """Return what ``pairs`` pairs take, ``at_once`` of them at a time."""
        return -(-pairs // self.at_once) * (self.vm_hours + self.seconds / 3600)


class _Ways(Record):
    way: tuple[Way, ...]


@cache
def ways() -> tuple[Way, ...]:
    """Return the packaged ways, the users' own first."""
    return _Ways.model_validate(tomllib.loads(files("bqx_assets.base").joinpath("ways.toml").read_text())).way
