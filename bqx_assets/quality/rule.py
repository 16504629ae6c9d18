"""What a rule is, and how it gives its verdict.

Belongs here: the type of rules and findings, and small words for them. Does not: any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bqx_assets.base.printable import some_of
from bqx_assets.quality.report import Plain, Verdict
from bqx_assets.quality.scan import Scan

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


@dataclass(frozen=True, slots=True)
class Rule:
    """One law for training files."""

    name: str
    description: str
    severity: Severity
    judge: Callable[[Scan], Finding | None]
    """None: the pass gives nothing to judge by."""

    def verdict(self, scan: Scan) -> Verdict | None:
        """Return the verdict on what was read; None where that does not reach."""
        finding = self.judge(scan)
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
    """Return that ``what`` was not checked, for want of a manifest: a warning, never a pass."""
    return Finding(
        passed=False,
        severity="warn",
        got="not checked: no manifest lies beside the file",
        expected=what,
        cure="Make the file by `bqx merge`, which writes its manifest.",
    )


def not_recorded(got: str, scan: Scan) -> Finding:
    """Return that a manifest of an earlier version lacks what would find intent: a warning, never a pass."""
    return Finding(
        passed=False,
        severity="warn",
        got=got,
        expected="a manifest that records it",
        cure=f"An earlier version made it. To have it recorded: bqx extract {scan.pair}, into a folder without slabs.",
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
