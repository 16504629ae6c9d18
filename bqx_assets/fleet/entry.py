"""Defines an entry of the ledger: what one stage of one pair read, wrote, called and cost."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bqx_assets.base.artifacts import FORMAT_VERSION, FormatVersion, Record

Place = Literal["machine", "Cloud Run"]
"""Where a stage ran: on a machine that is paid for anyway, or in a container that is paid by the second."""


class Entry(Record):
    """One stage of one run of a pair. **Units** are in the names; every count is of this stage alone."""

    format_version: FormatVersion = FORMAT_VERSION
    run: str
    """Dagster's run id; of a command without Dagster, an id of its own."""
    pair: str
    stage: str
    """``spine``, ``slabs``, ``plan`` and ``merge`` of a merge, ``validate``, ``publish`` or ``verify``; ``extract`` of
    a command that does both first ones."""
    began_at: datetime
    outcome: Literal["began", "done", "failed"]
    """``began``: the stage is at work, or its process ended without a report; its cost is then not known."""
    error: str = ""
    """Class of the error of a failed stage."""
    message: str = ""
    """First line of that error."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    place: Place = "machine"
    vcpus: float = 0.0
    gib: float = 0.0
    """Processors and memory of the container; 0 on a machine."""
    read_bytes: int = 0
    """Read by the Storage Read API."""
    queried_bytes: int = 0
    """Billed by queries."""
    written_bytes: int = 0
    """Written to the store."""
    class_a: int = 0
    class_b: int = 0
    """Operations of the store by their price class; 0 in a folder."""
    compute_usd: float = 0.0
    bigquery_usd: float = 0.0
    storage_usd: float = 0.0
    prices_as_of: str = ""
    """Day of the price table that the USD were computed by."""
    version: str = ""
    """Version of this package."""

    @property
    def usd(self) -> float:
        """USD of the stage."""
        return self.compute_usd + self.bigquery_usd + self.storage_usd
