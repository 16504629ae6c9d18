"""The records of an examination: what a probe found, the report, the case that is examined, and the form of a probe."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import NotReady
from bqx_assets.base.pairs import Pair
from bqx_assets.base.refusals.table import Service
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import BucketPolicy
from bqx_assets.catalogue.discovery import PairCatalogue, TableDescription
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.warehouse import Warehouse
from bqx_assets.pipeline import Pipeline

State = Literal["passed", "missing", "skipped", "note"]
"""``missing``: a run would fail. ``skipped``: not looked at, and ``found`` says why. ``note``: it stops no run."""
MARKS: dict[State, str] = {"passed": "✓", "missing": "✗", "skipped": "·", "note": "!"}
"""The character that stands for each state in a report."""
NOT_DEPLOYED = "DAGSTER_HOME is not set, so there is no deployed instance to look at"


class Finding(Record):
    """The result of one probe."""

    state: State
    found: str
    cure: str = ""
    """The action that helps, with the command that grants what is missing."""
    permission: str = ""
    """The missing permission, where a service named one: ``bigquery.readsessions.create``."""
    resource: str = ""
    """The resource on which the permission is missing."""
    reason: str = ""
    """The row of the table of refusals (``base/refusals``)."""
    follows: str = ""
    """Name of the line whose lack kept this one from being looked at."""


class Line(Finding):
    """A finding with the theme and the name of its probe."""

    theme: str
    name: str
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Theme and name; once if they are the same."""
        return self.name if self.name == self.theme else f"{self.theme}, {self.name}"


class Report(Record):
    """All lines, in the order in which they are shown."""

    pair: str
    lines: tuple[Line, ...]
    seconds: float
    only: tuple[str, ...] = ()
    """The themes that were asked for; empty for all."""

    @property
    def missing(self) -> tuple[Line, ...]:
        """The lines because of which a run would fail."""
        return tuple(line for line in self.lines if line.state == "missing")

    @property
    def passed(self) -> bool:
        """Return whether nothing is missing."""
        return not self.missing

    def refuse_lacks(self) -> None:
        """Do nothing if nothing is missing.

        Raises:
            NotReady: something is missing; each lack is named with its cure.
        """
        if self.missing:
            named = "; ".join(f"{line.title}: {line.found}" for line in self.missing)
            cures = " ".join(dict.fromkeys(line.cure for line in self.missing))
            raise NotReady(self.pair, got=named, expected="nothing that is missing", cure=cures)


def passed(found: str) -> Finding:
    """Return the finding that a run has what it needs."""
    return Finding(state="passed", found=found)


def noted(found: str, cure: str = "") -> Finding:
    """Return the finding of something that an operator should know and that stops no run."""
    return Finding(state="note", found=found, cure=cure)


def skipped(why: str, *, follows: str = "") -> Finding:
    """Return the finding of a probe that did not look; ``follows`` names the lack that kept it from looking."""
    return Finding(state="skipped", found=f"not looked at: {why}", follows=follows)


def missing(found: str, cure: str, *, permission: str = "", resource: str = "", reason: str = "") -> Finding:
    """Return the finding of something without which a run fails."""
    return Finding(state="missing", found=found, cure=cure, permission=permission, resource=resource, reason=reason)


@dataclass
class Case:
    """The settings under examination, and the facts that probes leave for later ones.

    The comment of a fact names the probe that sets it. A probe that reads the fact needs that probe.
    """

    settings: Settings
    pair: Pair
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings that were given by options of the command line, with the option's name."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    credentials: Any = None
    """An object of ``google.auth``; None if no credentials are needed. Set by "credentials"."""
    account: str = ""
    """The account's address; empty if it is not known. Set by "credentials"."""
    reached: set[str] = field(default_factory=set[str])
    """Names of the servers that answered. Set by "reach: SERVER"."""
    unreached: dict[str, str] = field(default_factory=dict[str, str])
    """Names of the servers that did not answer, with the reason. Set by "reach: SERVER"."""
    offsets_seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds by which each server's clock is ahead of this machine's. Set by "reach: SERVER"."""
    warehouse: Warehouse = field(init=False)
    """Set by "projects" for BigQuery, by "warehouse" for an embedded warehouse."""
    clients: Any = None
    """``Clients`` of ``extract/bigquery``, a module that imports Google's libraries. Set by "projects"."""
    first_call: BaseException | None = None
    """The refusal of BigQuery's first call; None if it was answered. Set by "BigQuery API"."""
    first_session: BaseException | None = None
    """The refusal of the first read session; None if it was answered. Set by "BigQuery Storage API"."""
    first_listing: BaseException | None = None
    """The refusal of the first listing of the bucket; None if it was answered. Set by "Cloud Storage API"."""
    described: Sequence[TableDescription] = ()
    """All tables of the warehouse. Set by "catalogue"."""
    snapshot: datetime = field(init=False)
    """Set by "snapshot" for BigQuery, by "warehouse" for an embedded warehouse."""
    expectations: Expectations = field(init=False)
    """Set by "expectations"."""
    catalogue: PairCatalogue = field(init=False)
    """The tables of the pair. Set by "tables of the pair"."""
    read_bytes: int = 0
    """The most that a run of the pair reads. Set by "reads"."""
    location: str = ""
    """BigQuery's location of the feature tables, such as EU. Set by "place of the data"."""
    store: Any = None
    """The bucket's ``GcsObjectStore``, whose client is untyped. Set by "Cloud Storage API"."""
    bucket: BucketPolicy = field(init=False)
    """Set by "bucket settings"."""
    instance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The document ``dagster.yaml`` with its variables filled in. Set by "dagster.yaml"."""
    jobs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Cloud Run jobs by their short names. Set by "jobs"."""

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
    """One thing to look at. ``look`` returns what it found; if it raises, the error is the lack."""

    theme: str
    name: str
    look: Callable[[Case], Finding]
    needs: tuple[str, ...] = ()
    """Names of the probes that must have passed before. If one of them fails, this one is not a second lack."""
    after: tuple[str, ...] = ()
    """Names of the probes that must have ended before, whatever they found."""
    service: Service | None = None
    """The service by whose refusals an error is read."""
    seconds: float = 20.0
    """The time after which the probe is given up; its finding is then that nobody answered."""
