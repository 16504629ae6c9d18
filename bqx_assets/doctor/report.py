"""What was looked at, and what of it is missing: one line a probe.

Belongs here: the records. Does not: looking (``examine``), or drawing (``cli/doctor``).
"""

from __future__ import annotations

from typing import Literal

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import NotReady

State = Literal["passed", "missing", "skipped", "note"]
"""``missing``: a run would fail. ``skipped``: it was not looked at, and ``found`` says why. ``note``: good to know."""


class Finding(Record):
    """What one probe found."""

    state: State
    found: str
    cure: str = ""
    """What to do, with the command that grants what is missing."""
    permission: str = ""
    """The permission that is missing, where a service named one: ``bigquery.readsessions.create``."""
    resource: str = ""
    """What the permission is missing on."""
    reason: str = ""
    """The row of the table of refusals (``base/refusals``)."""


class Line(Finding):
    """A finding, with what was looked at."""

    theme: str
    name: str
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """Theme and name, once where they are the same."""
        return self.name if self.name == self.theme else f"{self.theme}, {self.name}"


class Report(Record):
    """All lines, in the order in which they are shown."""

    pair: str
    lines: tuple[Line, ...]
    seconds: float
    only: tuple[str, ...] = ()
    """The themes that were asked for; empty: all."""

    @property
    def missing(self) -> tuple[Line, ...]:
        """The lines that a run would fail at."""
        return tuple(line for line in self.lines if line.state == "missing")

    @property
    def passed(self) -> bool:
        """Return whether nothing is missing."""
        return not self.missing

    def refuse_lacks(self) -> None:
        """Do nothing where nothing is missing.

        Raises:
            NotReady: it names each lack and its cure.
        """
        if self.missing:
            named = "; ".join(f"{line.title}: {line.found}" for line in self.missing)
            cures = " ".join(dict.fromkeys(line.cure for line in self.missing))
            raise NotReady(f"{self.pair}", got=named, expected="nothing that is missing", cure=cures)


def passed(found: str) -> Finding:
    """Return the finding of a probe that found what a run needs."""
    return Finding(state="passed", found=found)


def noted(found: str, cure: str = "") -> Finding:
    """Return the finding of something that stops no run and is good to know."""
    return Finding(state="note", found=found, cure=cure)


def skipped(why: str) -> Finding:
    """Return the finding of a probe that had nothing to look at."""
    return Finding(state="skipped", found=f"not looked at: {why}")


def missing(found: str, cure: str, *, permission: str = "", resource: str = "", reason: str = "") -> Finding:
    """Return the finding of something without which a run fails."""
    return Finding(state="missing", found=found, cure=cure, permission=permission, resource=resource, reason=reason)
