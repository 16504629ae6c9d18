"""Defines rules, their verdicts, and the report that collects the verdicts on one training file.

The modules ``*_rules`` define what each rule judges; ``rules`` lists the rules for training files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field

from bqx_assets.base.artifacts import JudgedBy, Record
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import first_of, printable, some_of

Plain = str | int | float | bool | None
Evidence = Mapping[str, Plain | list[Plain]]
Severity = Literal["error", "warn"]
_Facts = TypeVar("_Facts")

NAMED = 20
"""Largest number of names in one piece of evidence."""
_IN_SENTENCE = 3


def _shown(evidence: dict[str, Plain | list[Plain]]) -> dict[str, Plain | list[Plain]]:
    """Return evidence with its texts escaped: each item of a list on one line, other texts with their own lines."""
    shown = dict(evidence)
    for name, value in evidence.items():
        if isinstance(value, list):
            shown[name] = [printable(each) if isinstance(each, str) else each for each in value]
        elif isinstance(value, str):
            shown[name] = "\n".join(map(printable, value.split("\n")))
    return shown


Shown = Annotated[str, AfterValidator(printable)]
"""A text that may quote names of a foreign file, and is therefore escaped."""


class Verdict(Record):
    """The outcome of one rule."""

    rule: str
    passed: bool
    severity: Severity = "error"
    """A failed "error" blocks publication; a failed "warn" is only shown."""
    got: Shown
    expected: Shown
    cure: Shown = ""
    """The advice how to correct a failure; empty if the rule passed."""
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
    """True if every value was decoded; False if only the footer and its statistics were read."""
    created_at: datetime
    seconds: float
    peak_bytes: int
    verdicts: tuple[Verdict, ...]
    expectations: JudgedBy | None = None
    """The expectations that the file was compared with; None in reports of earlier versions."""
    not_checked: tuple[str, ...] = ()
    """For people: rules without a verdict, because the pass was shallow or the file could not be read that far."""

    @property
    def passed(self) -> bool:
        """True if no rule of severity "error" failed."""
        return not self.failures()

    def failures(self) -> list[Verdict]:
        """Return the failed verdicts of severity "error"."""
        return [verdict for verdict in self.verdicts if not verdict.passed and verdict.severity == "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a rule's function: a verdict without the rule's name."""

    passed: bool
    got: str
    expected: str
    cure: str = ""
    evidence: Evidence = field(default_factory=dict[str, "Plain | list[Plain]"])
    severity: Severity | None = None
    """The severity if it differs from the rule's own: something that could not be checked only warns."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[_Facts]):
    """A named requirement and the function that judges it, by the facts of a scan or of an extraction."""

    name: str
    description: str
    severity: Severity
    judge: Callable[[_Facts], Finding | None]
    """Returns None if the facts do not suffice to decide."""

    def verdict(self, facts: _Facts) -> Verdict | None:
        """Return the verdict; None if the facts do not suffice to decide."""
        finding = self.judge(facts)
        if finding is None:
            return None
        return Verdict(
            rule=self.name,
            passed=finding.passed,
            severity=finding.severity or self.severity,
            got=finding.got,
            expected=finding.expected,
            cure="" if finding.passed else finding.cure,
            evidence=dict(finding.evidence),
        )


def no_manifest(what: str) -> Finding:
    """Return the warning that ``what`` could not be checked because there is no manifest."""
    return Finding(
        passed=False,
        severity="warn",
        got="not checked: no manifest lies beside the file",
        expected=what,
        cure="Make the file by `bqx merge`, which writes its manifest.",
    )


def not_recorded(got: str, pair: Pair) -> Finding:
    """Return the warning that a manifest of an earlier version lacks a digest that would reveal deliberate changes."""
    return Finding(
        passed=False,
        severity="warn",
        got=got,
        expected="a manifest that records it",
        cure=f"An earlier version made the file. To record it: bqx extract {pair}, into a folder without slabs.",
    )


def sample(names: Iterable[str]) -> list[Plain]:
    """Return the first names as evidence, and how many more there are."""
    return [*first_of(list(names), NAMED)]


def listed(names: Iterable[str]) -> str:
    """Return the first few names for a sentence, and how many more there are."""
    return some_of(list(names), _IN_SENTENCE)


def count(number: int, word: str) -> str:
    """Return a number with its noun: "1 row", "2 rows"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
