"""Defines an entry of the ledger: what one stage of one pair read, wrote, called and cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from bqx_assets.base.artifacts import FORMAT_VERSION, FormatVersion, Record

LONGEST = timedelta(hours=5)
"""Time after which Dagster has ended every run, also as it is deployed: an older stage that only began was killed."""
COMMAND = "cli-"
"""The beginning of the run's name of a command without Dagster, which is one stage."""
Place = Literal["machine", "Cloud Run"]
"""Where a stage ran: on a machine that is paid for anyway, or in a container that is paid by the second."""

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A quantity that can be summed: with one NaN in the ledger no sum would ever reach a budget."""


class Entry(Record):
    """One stage of one run of a pair. **Units** are in the names; every count is of this stage alone."""

    format_version: FormatVersion = FORMAT_VERSION
    run: str
    """Dagster's run id; of a command without Dagster, an id of its own."""
    pair: str
    stage: str
    """``spine``, ``slabs``, ``plan`` and ``merge`` of a merge, ``validate``, ``publish`` or ``verify``; ``extract`` of
    a command that does both first ones."""
    began_at: AwareDatetime
    outcome: Literal["began", "done", "failed"]
    """``began``: the stage is at work, or its process ended without a report; its cost is then not known."""
    error: str = ""
    """Class of the error of a failed stage."""
    message: str = ""
    """First line of that error."""
    seconds: Amount = 0.0
    cpu_seconds: Amount = 0.0
    peak_bytes: Count = 0
    place: Place = "machine"
    vcpus: Amount = 0.0
    gib: Amount = 0.0
    """Processors and memory of the container; 0 on a machine."""
    read_bytes: Count = 0
    """Read by the Storage Read API."""
    queried_bytes: Count = 0
    """Billed by queries."""
    written_bytes: Count = 0
    """Written to the store."""
    class_a: Count = 0
    class_b: Count = 0
    """Operations of the store by their price class; 0 in a folder."""
    compute_usd: Amount = 0.0
    bigquery_usd: Amount = 0.0
    storage_usd: Amount = 0.0
    prices_as_of: str = ""
    """Day of the price table that the USD were computed by."""
    version: str = ""
    """Version of this package."""

    @property
    def usd(self) -> float:
        """USD of the stage."""
        return self.compute_usd + self.bigquery_usd + self.storage_usd
