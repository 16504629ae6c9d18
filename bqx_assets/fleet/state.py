"""Defines the state of the fleet on one moment, as data: what the report draws and the fleet's check judges."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from bqx_assets.base.artifacts import FORMAT_VERSION, FormatVersion, Record
from bqx_assets.quality.report import Verdict
from bqx_assets.release.status import PairStatus

Source = Literal["unchanged", "changed", "not asked"]
"""Whether the pair's tables changed since its spine and slabs were made; the warehouse is asked only on demand."""
_CLOCKS = timedelta(minutes=5)
"""Difference between two clocks that is of no interest."""


class FamilyState(Record):
    """The columns of one family in a pair's training file."""

    family: str
    tables: int
    columns: int
    null_share: float | None
    """Share of its values that are null, 0 to 1; None where no statistics are known."""
    matched_share: float | None
    """Share of the spine's rows, 0 to 1, for which the family's tables have a row."""


class StageState(Record):
    """The last entry of the ledger for one stage of a pair."""

    stage: str
    began_at: datetime
    outcome: Literal["began", "done", "failed"]
    seconds: float
    peak_bytes: int
    usd: float
    error: str = ""
    message: str = ""


class PairState(Record):
    """One pair: its artefacts' state, what its checks said, how old it is and what it cost."""

    status: PairStatus
    rows_until: datetime | None
    """The last row's time in the published file."""
    snapshot_time: datetime | None
    """The moment that the published file's tables were read at."""
    published_at: datetime | None
    fresh: bool | None
    """Whether the published file's snapshot is at most ``fresh_days`` old; None where nothing is published."""
    source: Source
    source_error: str
    """Why the warehouse, when asked for changes, did not tell them; empty if it did, or was not asked."""
    verdicts: tuple[Verdict, ...]
    """Of the merged file's report, or of the published one's while nothing is merged."""
    families: tuple[FamilyState, ...]
    drift: tuple[str, ...]
    """Tables and columns that appeared, vanished or changed their type in the last extraction."""
    stages: tuple[StageState, ...]
    usd: float | None
    """USD of the pair's last run by the ledger; None where the ledger has none."""
    seconds: float | None
    """Seconds of that run's stages."""

    @property
    def is_untouched(self) -> bool:
        """Return whether nothing was ever made of it, or tried."""
        status = self.status
        made = {status.spine, status.slabs, status.merged, status.published} != {"none"}
        return not (made or status.problem or status.failed_tables or self.stages)

    @property
    def is_good(self) -> bool:
        """Return whether it is published, verified, fresh, and its source is not known to have changed."""
        return self.status.published == "done" and self.fresh is True and self.source != "changed"

    @property
    def has_failed(self) -> bool:
        """Return whether a check, a table or the published file failed, or its records cannot be read."""
        status = self.status
        return bool(status.problem or status.failed_checks or status.failed_tables or status.published == "failed")


def is_fresh(age: timedelta, fresh_days: float) -> bool:
    """Return whether the data of a published file count as fresh; ``age`` is the time since their snapshot."""
    return age <= timedelta(days=fresh_days)


def is_ahead(snapshot: datetime, now: datetime) -> bool:
    """Return whether data are of a moment that this machine's clock has not reached, by more than clocks may differ."""
    return snapshot > now + _CLOCKS


class FleetState(Record):
    """The state of all pairs on one moment."""

    format_version: FormatVersion = FORMAT_VERSION
    at: datetime
    output: str
    """Folder or bucket of the published files."""
    origin: str
    """The source of the numbers, as in manifests; empty where none is known."""
    pairs: tuple[PairState, ...]
    fresh_days: float
    month_usd: float
    """USD of this calendar month (UTC) by the ledger."""
    month_unended_usd: float = 0.0
    """USD that its stages without an end come to by the last ones that ended; they count against the budget."""
    month_budget_usd: float | None
    unread: tuple[str, ...] = ()
    """Names of the ledger's objects that cannot be read, whose costs are in no sum."""

    @property
    def month_forecast_usd(self) -> float:
        """USD of the month once its stages without an end have ended."""
        return self.month_usd + self.month_unended_usd

    @property
    def is_spent(self) -> bool:
        """Return whether no further run begins, because the runs of the month have taken its budget or will."""
        return self.month_budget_usd is not None and self.month_forecast_usd >= self.month_budget_usd
