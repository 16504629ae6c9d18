"""Writes proposals: sections of an expectations file with one pair's facts, which a person reads and approves.

It replaces such sections and marks them as approved; every other line of the file stays as it is.
``quality.pair_findings`` finds the facts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from datetime import datetime

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair
from bqx_assets.catalogue.expectations import Expectations, PairFacts, TableFacts, parse_expectations
from bqx_assets.catalogue.toml_text import assignment, toml_value

_HEAD = """\
# Facts of single pairs, and what else differs from the packaged expectations (bqx expectations show --text).
# A section [pair.NAME] is a proposal until its `approved` says when and by whom: bqx expectations approve FILE
version = 1
"""
_VERSION = re.compile(r"^version[ \t]*=[ \t]*\d+", re.MULTILINE)
_APPROVED = re.compile(r"^approved[ \t]*=.*$", re.MULTILINE)
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)


def with_proposal(text: str, pair: Pair, facts: PairFacts, *, where: str, replace: bool = False) -> str:
    """Return an expectations file's text with a pair's facts as a proposal, in place of an earlier proposal.

    ``text`` may be empty. ``replace`` permits replacing approved facts, which are then no longer in force.

    Raises:
        BadSetting: the text is not an expectations file, or it has approved facts of the pair.
    """
    text = text or _HEAD
    before = parse_expectations(text, where).approved(pair)
    if before is not None and not replace:
        raise BadSetting(
            f"expectations {where}",
            got=f"facts of {pair} that are approved ({before.approved}): a proposal in their place would end that",
            expected="none of this pair, or an earlier proposal",
            cure=f"Write to another file: bqx expectations propose {pair} --output FILE; or replace them: --replace",
        )
    kept = _without(text, pair).rstrip()
    found = f"{kept}\n\n{section(pair, facts)}"
    parse_expectations(found, where)
    return found


def with_approval(text: str, pairs: Sequence[Pair], *, by: str, at: datetime, where: str) -> tuple[str, Expectations]:
    """Return the text with its proposals approved, or only those of ``pairs`` if any are named, and a higher version.

    Raises:
        BadSetting: the text is not an expectations file, or no such proposal waits for approval.
    """
    stated = parse_expectations(text, where)
    waiting = [name for name, facts in stated.pair.items() if not facts.approved]
    chosen = [name for name in waiting if not pairs or name in {pair.name for pair in pairs}]
    if not chosen:
        asked = f"of {', '.join(pair.name for pair in pairs)} " if pairs else ""
        raise BadSetting(
            f"expectations {where}",
            got=f"no proposal {asked}that waits for approval; {_approved_names(stated)}",
            expected="a section [pair.NAME] whose `approved` is empty",
            cure=f"bqx expectations propose {pairs[0] if pairs else 'PAIR'} --output {where}",
        )
    mark = f"{at:%Y-%m-%d %H:%M} UTC by {by}"
    for name in chosen:
        start, end = _span(text, name)
        body = text[start:end]
        line = f"approved = {toml_value(mark)}"
        changed = _APPROVED.sub(lambda _, line=line: line, body, count=1)
        if changed == body:
            first = body.index("\n") + 1
            changed = f"{body[:first]}{line}\n{body[first:]}"
        text = text[:start] + changed + text[end:]
    text = _with_version(text, stated.version + 1)
    return text, parse_expectations(text, where)


def section(pair: Pair, facts: PairFacts) -> str:
    """Return a pair's section, with comments on what a person should look at."""
    lacking = sorted((name for name, each in facts.tables.items() if each.matched < facts.rows), key=str)
    lines = [
        f"[pair.{pair}]",
        f"# {facts.found}",
        f"# {len(facts.tables):,} tables; {len(lacking):,} of them lack some of the spine's {facts.rows:,} rows;",
        f"# {len(facts.all_null):,} columns have no value, {len(facts.constant):,} one value; "
        f"{len(facts.absent):,} expected tables are absent.",
        '# Not in force while this is empty. A person writes here "DATE by NAME":',
        assignment("approved", facts.approved),
        *(assignment(name, getattr(facts, name)) for name in ("found", "spine", "rows")),
        *(assignment(name, getattr(facts, name).isoformat()) for name in ("first", "last")),
        "# On these very rows a table must have exactly the numbers below. On other rows its share of missing rows,",
        "# and of nulls, may be greater by this:",
        assignment("drift", facts.drift),
        assignment("all_null", sorted(facts.all_null)),
        assignment("constant", sorted(facts.constant)),
        "",
        f"[pair.{pair}.absent]",
        *(assignment(name, why) for name, why in sorted(facts.absent.items())),
        "",
        f"[pair.{pair}.tables]",
        *(_table_line(name, each, facts.rows) for name, each in sorted(facts.tables.items())),
    ]
    return "\n".join(lines) + "\n"


def _table_line(name: str, facts: TableFacts, rows: int) -> str:
    line = assignment(name, facts.model_dump())
    told = [f"{facts.matched / rows:.1%} of the rows"] if facts.matched < rows else []
    told += [f"{facts.nulls / (rows * facts.columns):.1%} null"] if facts.nulls else []
    return f"{line}  # {', '.join(told)}" if told else line


def _without(text: str, pair: Pair) -> str:
    start, end = _span(text, pair.name)
    return text[:start] + text[end:]


def _span(text: str, name: str) -> tuple[int, int]:
    """Return where a pair's section begins and ends; an empty range at the end of the text if there is none.

    It ends at the first header that does not belong to it.
    """
    own = re.compile(rf"^[ \t]*\[[ \t]*pair[ \t]*\.[ \t]*{name}[ \t]*[\].]", re.MULTILINE)
    first = own.search(text)
    if first is None:
        return len(text), len(text)
    for header in _HEADER.finditer(text, first.start()):
        line = text[header.start() : header.start() + 80]
        if not own.match(line) and _is_header(text, header.start()):
            return first.start(), header.start()
    return first.start(), len(text)


def _is_header(text: str, start: int) -> bool:
    """Return whether a line that begins with a bracket is a header and not an item of a list over several lines."""
    try:
        tomllib.loads(text[:start])
    except tomllib.TOMLDecodeError:
        return False
    return True


def _with_version(text: str, version: int) -> str:
    line = f"version = {version}"
    head = _HEADER.search(text)
    top = text[: head.start()] if head else text
    return _VERSION.sub(line, text, count=1) if _VERSION.search(top) else f"{line}\n{text}"


def _approved_names(stated: Expectations) -> str:
    approved = [name for name, facts in stated.pair.items() if facts.approved]
    return f"approved: {', '.join(approved)}" if approved else "it has no facts of any pair"
