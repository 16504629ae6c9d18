"""The typed outcome of a validation.

Belongs here: verdicts and the report, as JSON and as plain text. Does not: the rules.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bqx_assets.base.artifacts import JudgedBy, Record
from bqx_assets.base.printable import printable

Plain = str | int | float | bool | None


def _shown(evidence: dict[str, Plain | list[Plain]]) -> dict[str, Plain | list[Plain]]:
    """Evidence with its texts escaped. A name in a list is one line; a text of several lines keeps them."""
    shown = dict(evidence)
    for name, value in evidence.items():
        if isinstance(value, list):
            shown[name] = [printable(each) if isinstance(each, str) else each for each in value]
        elif isinstance(value, str):
            shown[name] = "\n".join(map(printable, value.split("\n")))
    return shown


Shown = Annotated[str, AfterValidator(printable)]
"""A text that may quote names of others."""


class Verdict(Record):
    """What one rule found."""

    rule: str
    passed: bool
    severity: Literal["error", "warn"] = "error"
    """A failed "error" blocks publication; a failed "warn" is shown."""
    got: Shown
    expected: Shown
    cure: Shown = ""
    """What to do about a failure; empty when passed."""
    evidence: Annotated[dict[str, Plain | list[Plain]], AfterValidator(_shown)] = Field(
        default_factory=dict[str, "Plain | list[Plain]"]
    )
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
    expectations: JudgedBy | None = None
    """What the file was held against; None in reports made before it was kept."""
    not_checked: tuple[str, ...] = ()
    """Rules without a verdict: the pass was shallow, or the file could not be read so far."""

    @property
    def passed(self) -> bool:
        """True when no rule of severity "error" failed."""
        return not self.failures()

    def failures(self) -> list[Verdict]:
        """Return the failed verdicts of severity "error"."""
        return [verdict for verdict in self.verdicts if not verdict.passed and verdict.severity == "error"]
