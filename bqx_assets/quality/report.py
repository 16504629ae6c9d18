"""The typed outcome of a validation.

Belongs here: verdicts and the report, as JSON and as plain text. Does not: the rules.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bqx_assets.base.artifacts import Record

Plain = str | int | float | bool | None


class Verdict(Record):
    """What one rule found."""

    rule: str
    passed: bool
    severity: Literal["error", "warn"] = "error"
    """A failed "error" blocks publication; a failed "warn" is shown."""
    got: str
    expected: str
    cure: str = ""
    """What to do about a failure; empty when passed."""
    evidence: dict[str, Plain | list[Plain]] = Field(default_factory=dict[str, "Plain | list[Plain]"])
    """At most a few dozen plain values: counts, and samples of names or keys."""


class Report(Record):
    """All verdicts on one training file."""

    pair: str
    file: str
    rows: int
    columns: int
    deep: bool
    """Whether every value was decoded, or the footer and statistics only."""
    created_at: datetime
    seconds: float
    peak_bytes: int
    verdicts: tuple[Verdict, ...]
    not_checked: tuple[str, ...] = ()
    """Rules without a verdict: the pass was shallow, or the file could not be read so far."""

    @property
    def passed(self) -> bool:
        """True when no rule of severity "error" failed."""
        return not self.failures()

    def failures(self) -> list[Verdict]:
        """Return the failed verdicts of severity "error"."""
        return [verdict for verdict in self.verdicts if not verdict.passed and verdict.severity == "error"]
