"""Holds verdicts and reports: what a rule finds, what becomes of it, and the words that findings share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bqx_assets.base.artifacts import JudgedBy, Record
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import printable, some_of

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


NAMED = 20
"""Names at most in a piece of evidence."""
_IN_SENTENCE = 3

Severity = Literal["error", "warn"]
Evidence = Mapping[str, Plain | list[Plain]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's outcome before it has the rule's name."""

    passed: bool
    got: str
    expected: str
    cure: str = ""
    evidence: Evidence = field(default_factory=dict[str, "Plain | list[Plain]"])
    severity: Severity | None = None
    """Where it is not the rule's own: what could not be checked warns."""


def no_manifest(what: str) -> Finding:
    """Return that ``what`` was not checked, for want of a manifest: a warning, never a pass."""
    return Finding(
        passed=False,
        severity="warn",
        got="not checked: no manifest lies beside the file",
        expected=what,
        cure="Make the file by `bqx merge`, which writes its manifest.",
    )


def not_recorded(got: str, pair: Pair) -> Finding:
    """Return that a manifest of an earlier version lacks what would find intent: a warning, never a pass."""
    return Finding(
        passed=False,
        severity="warn",
        got=got,
        expected="a manifest that records it",
        cure=f"An earlier version made it. To have it recorded: bqx extract {pair}, into a folder without slabs.",
    )


def sample(names: Iterable[Plain]) -> list[Plain]:
    """Return the first names, as evidence."""
    return list(names)[:NAMED]


def listed(names: Iterable[str]) -> str:
    """Return a few names and how many more there are, for a sentence."""
    return some_of(list(names), _IN_SENTENCE)


def count(number: int, word: str) -> str:
    """Return "1 row", "2 rows"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
