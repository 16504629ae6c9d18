"""Words of alerts: what a fault is, which message tells of one or several faults, and how receivers show it.

No event of Dagster and no server is known here: ``runtime.alerts`` finds faults, ``notify`` sends messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlencode

from bqx_assets.base.artifacts import Record
from bqx_assets.base.printable import first_of, printable, some_of
from bqx_assets.fleet.alert_settings import Kind

_VALUE = 300
"""Longest shown text of a fault's got, expected or cure, and of a title: a message is one screen of a telephone."""
_TEXT = 1_900
"""Longest text of a webhook. Discord refuses one of more than 2,000 characters."""
_NAMES = 28
_LINES = 8
PAIRS_PAGE = "/assets/published_training_file?view=partitions"
"""Path of the page of all pairs' published files; ``&partition=PAIR`` shows one of them."""
FLEET_PAGE = "/assets/fleet_report"
"""Path of the page of the report of all pairs."""
RUNS_PAGE = "/runs?view=runs"
"""Path of the list of all runs, those of backfills among them."""
_MENTION = re.compile(r"@(?=everyone|here|channel|all)|(?<![A-Za-z0-9_.+-])@", re.IGNORECASE)


class Fault(Record):
    """One thing that is wrong with a pair, a job or the fleet until it is mended."""

    kind: Kind
    subject: str
    """The pair; of a run without a pair its job; or ``fleet``."""
    what: str
    """What is wrong, in words that are equal for all pairs that it happens to for one reason."""
    parts: tuple[str, ...]
    """What is told once: the fault has changed when there is a new part."""
    got: str = ""
    expected: str = ""
    cure: str = ""
    kept: str = ""
    """What is still published."""
    page: str = ""
    """Path of the page of the web server that shows it."""
    page_of_all: str = ""
    """Path of the page that shows it for all pairs that it happens to."""
    step: str = ""
    """The step whose success mends it; empty where any success of the pair does."""

    @property
    def key(self) -> str:
        """The name of the fault: a pair has one of each kind."""
        return f"{self.kind}:{self.subject}"

    @property
    def cause(self) -> str:
        """A text that is equal for faults that one message tells."""
        return f"{self.kind}: {self.what}"


class Told(Record):
    """A fault that a receiver was told of."""

    kind: Kind
    subject: str
    what: str
    parts: tuple[str, ...]


class Message(Record):
    """One message to people, and the faults that count as told or as mended once it is delivered."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    """Label and text of each line."""
    page: str = ""
    cause: str
    tells: tuple[Fault, ...] = ()
    mends: tuple[str, ...] = ()

    def text(self, ui_url: str) -> str:
        """Return the message as plain text, for an e-mail."""
        facts = [f"{label}: {_shown(value)}" for label, value in self.facts]
        return "\n\n".join([_shown(self.title), *(["\n".join(facts)] if facts else []), f"{ui_url}{self.page}"])

    def payload(self, ui_url: str) -> dict[str, object]:
        """Return the message as the JSON document of a Slack-compatible webhook.

        ``text`` is the whole message, since only Slack reads ``blocks``. Texts of others stand in code spans, in which
        no markup acts.
        """
        link = f"{ui_url}{self.page}"
        title = _escaped(_shown(self.title))
        facts = _fitting([f"{label}: {_code(value)}" for label, value in self.facts], _TEXT - len(title) - len(link))
        head = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*"}}
        rest = [{"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(facts)}}] if facts else []
        foot = {"type": "context", "elements": [{"type": "mrkdwn", "text": f"<{_escaped(link)}|Open in Dagster>"}]}
        return {"text": "\n".join([f"*{title}*", *facts, link]), "blocks": [head, *rest, foot]}


def of_faults(faults: Sequence[Fault]) -> Message:
    """Return the message that tells of faults with one cause."""
    first, several = faults[0], len(faults) > 1
    pages, kept = {each.page for each in faults}, [each.subject for each in faults if each.kept]
    who = f"{len(faults)} pairs" if several else first.subject
    facts = [("Pairs", some_of([each.subject for each in faults], _NAMES) if several else "")]
    for label, values in (
        ("Got", [each.got for each in faults]),
        ("Expected", [each.expected for each in faults]),
        ("Cure", [each.cure for each in faults]),
    ):
        facts.append((label if len({*values}) == 1 else f"{label} ({first.subject})", values[0]))
    files = f"the earlier files of {some_of(kept, _NAMES)}" if several and kept else first.kept
    facts.append(("Published", files))
    shown = tuple((label, value) for label, value in facts if value)
    page = first.page if len(pages) == 1 else first.page_of_all
    return Message(title=f"{who}: {first.what}", facts=shown, page=page, cause=first.cause, tells=tuple(faults))


def of_mended(mended: Sequence[Told]) -> Message:
    """Return the message that faults with one cause are mended."""
    first, names = mended[0], some_of([each.subject for each in mended], _NAMES)
    who = first.subject if len(mended) == 1 else f"{len(mended)} pairs"
    facts = (("It was", first.what), *((("Pairs", names),) if len(mended) > 1 else ()))
    keys = tuple(f"{each.kind}:{each.subject}" for each in mended)
    page = FLEET_PAGE if first.kind == "budget" else PAIRS_PAGE
    return Message(title=f"{who}: good again", facts=facts, page=page, cause=mended_cause(first), mends=keys)


def failed_runs_page(tag: str = "") -> str:
    """Return the path of the web server's list of failed runs, those of backfills among them; of those with a tag."""
    wanted = ["status:FAILURE", *([f"tag:{tag}"] if tag else [])]
    listed = [("view", "runs"), *((f"q[{place}]", word) for place, word in enumerate(wanted))]
    return f"/runs?{urlencode(listed)}"


def mended_cause(told: Told) -> str:
    """Return the text that is equal for mended faults that one message tells."""
    return f"mended {told.kind}: {told.what}"


def together(messages: Sequence[Message]) -> Message:
    """Return one message in the place of several, when there are too many of them."""
    lines = [f"{each.title} {dict(each.facts).get('Pairs', '')}".strip() for each in messages]
    return Message(
        title=f"{len(messages)} kinds of news of the fleet",
        facts=tuple(("News", line) for line in first_of(lines, _LINES)),
        page=failed_runs_page(),
        cause="several",
        tells=tuple(fault for each in messages for fault in each.tells),
        mends=tuple(key for each in messages for key in each.mends),
    )


def trial() -> Message:
    """Return a message by which an operator tries the receivers."""
    facts = (("Meaning", "this receiver is told when a run or a check fails, a pair is stale or the budget is spent"),)
    return Message(title="Test of the alerts of bqx", facts=facts, cause="test")


def clipped(text: str) -> str:
    """Return a text of others as a fault keeps it: printable, on one line, not longer than a message shows."""
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= _VALUE else f"{plain[: _VALUE - 1]}…"


def _shown(text: str) -> str:
    return printable(text)[: 2 * _VALUE]


def _escaped(text: str) -> str:
    """Return a text without Slack's control characters, and without mentions that others act on."""
    quiet = _MENTION.sub("@\u200b", text)
    return quiet.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return f"`{_escaped(_shown(text)).replace('`', chr(39))}`"


def _fitting(lines: list[str], most: int) -> list[str]:
    """Return the lines that fit into ``most`` characters, each with a line break and whole: a cut one loses its end."""
    kept: list[str] = []
    for line in lines:
        most -= len(line) + 1
        if most > 0:
            kept.append(line)
    return kept
