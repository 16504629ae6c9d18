"""What is examined, and what the probes have found out so far.

Belongs here: the settings under examination and the facts that one probe leaves for another; the form of a probe.
Does not: any probe, or the order they run in (``examine``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from bqx_assets.base.pairs import Pair
from bqx_assets.base.refusals.table import Service
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import BucketPolicy
from bqx_assets.catalogue.discovery import PairCatalogue, TableDescription
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.doctor.report import Finding
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.pipeline import Pipeline


@dataclass
class Case:
    """One examination. A fact is set by the probe that its comment names; whoever reads it needs that probe."""

    settings: Settings
    pair: Pair
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings that options of the command line gave, and the option's name."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    credentials: Any = None
    """Of ``google.auth``; None where none are needed: "credentials"."""
    account: str = ""
    """The account's address, empty where it is not known: "credentials"."""
    reached: set[str] = field(default_factory=set[str])
    """Servers that answered: "reach ..."."""
    offsets_seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Server to how far its clock is ahead of this machine's: "network"."""
    warehouse: Warehouse = field(init=False)
    """"warehouse"."""
    clients: Any = None
    """``Clients`` of ``extract/bigquery``, which imports Google's libraries: "projects"."""
    first_call: BaseException | None = None
    """What BigQuery's first call was refused with, None where it was answered: "BigQuery API"."""
    first_session: BaseException | None = None
    """As ``first_call``, of the Storage Read API: "BigQuery Storage API"."""
    first_listing: BaseException | None = None
    """As ``first_call``, of Cloud Storage: "Cloud Storage API"."""
    described: Sequence[TableDescription] = ()
    """"catalogue"."""
    snapshot: datetime = field(init=False)
    """"snapshot"."""
    expectations: Expectations = field(init=False)
    """"expectations"."""
    catalogue: PairCatalogue = field(init=False)
    """"tables of the pair"."""
    read_bytes: int = 0
    """What a run of the pair reads at most: "reads"."""
    location: str = ""
    """Where the data lie: "place of the data"."""
    store: Any = None
    """The bucket's ``GcsObjectStore``, whose client is untyped: "Cloud Storage API"."""
    bucket: BucketPolicy = field(init=False)
    """"bucket settings"."""
    instance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """``dagster.yaml``, with its variables filled in: "dagster.yaml"."""
    jobs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Cloud Run jobs by their short names: "jobs"."""

    @cached_property
    def pipeline(self) -> Pipeline:
        """The door to the stages, as a run with these settings opens it."""
        return Pipeline(self.settings)

    @property
    def in_bucket(self) -> bool:
        """Return whether a run publishes to a bucket."""
        return self.pipeline.in_bucket

    @property
    def member(self) -> str:
        """The account as IAM names it in a grant."""
        if not self.account:
            return "serviceAccount:ACCOUNT"
        return f"{'serviceAccount' if self.account.endswith('.gserviceaccount.com') else 'user'}:{self.account}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to look at. ``look`` returns what it found, or raises: that is then what is missing."""

    theme: str
    name: str
    look: Callable[[Case], Finding]
    needs: tuple[str, ...] = ()
    """Names of the probes that must have passed before: the lack is theirs, and is not counted twice."""
    after: tuple[str, ...] = ()
    """Names of the probes that must have ended before, however they ended."""
    service: Service | None = None
    """Whose refusals it meets."""
    seconds: float = 20.0
    """After so long without an end, the probe is given up, and that is what it found."""
