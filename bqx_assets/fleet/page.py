"""Renders the state of the fleet as one HTML page that needs nothing else: no script of others, no request, no font."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment

from bqx_assets.fleet.attention import Attention, attention
from bqx_assets.fleet.charts import trend_charts
from bqx_assets.fleet.state import FamilyState, FleetState, PairState, is_ahead
from bqx_assets.fleet.trend import Point
from bqx_assets.quality.report import Verdict

_WORST = ("damaged", "unreadable", "failed check", "failed table", "failed run")
"""Kinds of matters that are shown as errors."""
_MARKS = {
    "done": ("✓", "good", "done"),
    "none": ("·", "dim", "nothing yet"),
    "partial": ("◐", "warn", "partly done"),
    "stale": ("↻", "warn", "older than the stage before"),
    "failed": ("✗", "bad", "failed"),
    "unverified": ("?", "warn", "not verified since it could have changed"),
}
_MOST_EVIDENCE = 400
_DARKEST = 0.5
"""Text on the darkest ground of a heat map has a contrast above 4.5 in both themes."""


class Head(NamedTuple):
    """The head of a column."""

    name: str
    number: bool = False
    turned: bool = False
    """Whether it is written upwards, because its cells are narrow."""


class Cell(NamedTuple):
    """A cell of a table."""

    text: str
    sort: str | float
    """What rows are sorted by; an empty text comes last."""
    tone: str = ""
    share: float | None = None
    """Strength of the ground's colour in a heat map, 0 to 1."""
    title: str = ""
    said: str = ""
    """What a screen reader says instead of a mark."""


class Table(NamedTuple):
    """A table of the page: one row for each pair."""

    id: str
    title: str
    note: str
    heads: list[Head]
    rows: list[list[Cell]]


def render(state: FleetState, trend: Sequence[Point]) -> str:
    """Return the page of a state, with a trend of earlier points; equal arguments give equal pages."""
    matters = attention(state)
    details = [_details(pair, matters) for pair in state.pairs if _has_details(pair)]
    return _template().render(
        state=state,
        at=f"{state.at:%Y-%m-%d %H:%M}",
        good=sum(pair.is_good for pair in state.pairs),
        tiles=_tiles(state),
        matters=matters,
        worst=_WORST,
        tables=[each for each in (_stages(state), _checks(state), *_heat_maps(state), _efforts(state)) if each.rows],
        charts=trend_charts(trend),
        details=details,
        detailed={each["name"] for each in details},
    )


@cache
def _template() -> Any:  # noqa: ANN401 -- jinja2.Template is untyped
    text = files("bqx_assets.fleet").joinpath("page.html.j2").read_text()
    return Environment(autoescape=True, trim_blocks=True).from_string(text)


def _tiles(state: FleetState) -> list[dict[str, str]]:
    pairs, now = state.pairs, Point.of(state)
    budget = "" if state.month_budget_usd is None else f"of {state.month_budget_usd:,.2f} "
    return [
        {"name": f"of {len(pairs)} published", "value": f"{now.published}", "tone": ""},
        {"name": "published, verified and fresh", "value": f"{now.good}", "tone": "good" * (now.good == len(pairs))},
        {"name": "failed", "value": f"{now.failed}", "tone": "bad" * bool(now.failed)},
        {"name": "not fresh", "value": f"{sum(pair.fresh is False for pair in pairs)}", "tone": ""},
        {"name": "GB", "value": f"{now.size_bytes / 1e9:,.1f}", "tone": ""},
        {"name": f"{budget}USD in {state.at:%B}", "value": f"{state.month_usd:,.2f}", "tone": "bad" * state.is_spent},
    ]


def _stages(state: FleetState) -> Table:
    heads = [Head("pair"), *(Head(each) for each in ("spine", "slabs", "merged", "checks", "published", "fresh"))]
    heads += [
        Head("last run"),
        Head("source"),
        *(Head(each, number=True) for each in ("rows", "columns", "MB", "drift", "USD")),
    ]
    note = "✓ done, ✗ failed, ◐ partly done, ↻ older than the stage before, ? not verified, · nothing yet."
    return Table("stages", "Stages", note, heads, [_stage_row(pair, state) for pair in state.pairs])


def _stage_row(pair: PairState, state: FleetState) -> list[Cell]:
    status = pair.status
    slabs = f" {status.slabs_done:,}/{status.slabs_expected:,}" if status.slabs != "none" else ""
    return [
        Cell(status.pair, status.pair),
        _mark(status.spine),
        _mark(status.slabs, slabs, ", ".join(status.failed_tables[:20])),
        _mark(status.merged),
        _mark(status.validated, f" {len(status.failed_checks)} failed" * bool(status.failed_checks)),
        _mark(status.published),
        _age(pair, state),
        _last_run(pair),
        Cell(pair.source, pair.source, "warn" if pair.source == "changed" else "dim", None, pair.source_error),
        _number(status.rows),
        _number(status.columns),
        _number(status.size_bytes, lambda size: f"{size / 1e6:,.0f}"),
        _number(len(pair.drift) or None),
        _number(pair.usd, lambda usd: f"{usd:,.3f}"),
    ]


def _age(pair: PairState, state: FleetState) -> Cell:
    """Return how old the published data are, and up to which row they reach."""
    if pair.snapshot_time is None:
        return Cell("·", "", "dim", None, _until(pair))
    days = max(0.0, (state.at - pair.snapshot_time).total_seconds() / 86_400)
    if is_ahead(pair.snapshot_time, state.at):  # what needs attention says so
        return Cell("ahead", days, "warn", None, _until(pair))
    mark, tone, _ = _MARKS["done" if pair.fresh else "failed"]
    return Cell(f"{mark} {days:,.1f} d", days, tone, None, _until(pair), "fresh" if pair.fresh else "old")


def _until(pair: PairState) -> str:
    return f"last row at {pair.rows_until:%Y-%m-%d %H:%M} UTC" if pair.rows_until else ""


def _last_run(pair: PairState) -> Cell:
    """Return how the last stage that ran ended: its name, unless it is done."""
    if not pair.stages:
        return _mark("none")
    last, checks = pair.stages[-1], pair.status.failed_checks
    if last.stage == "validate" and last.outcome == "done" and checks:  # the stage judged, and the run ended there
        return _mark("failed", f" {last.stage}", ", ".join(checks))
    if last.outcome == "done":
        return _mark("done", title=f"{last.stage} at {last.began_at:%Y-%m-%d %H:%M} UTC")
    if last.outcome == "failed":
        return _mark("failed", f" {last.stage}", f"{last.error}: {last.message}")
    return _mark("partial", f" {last.stage}", "at work, or killed")


def _checks(state: FleetState) -> Table:
    rules = list(dict.fromkeys(each.rule for pair in state.pairs for each in pair.verdicts))
    heads = [Head("pair"), *(Head(rule.replace("_", " "), turned=True) for rule in rules)]
    rows = [
        [Cell(pair.status.pair, pair.status.pair), *(_verdict(_of_rule(pair, rule)) for rule in rules)]
        for pair in state.pairs
        if pair.verdicts
    ]
    note = "✓ passed, ✗ failed and blocking, ! warned. Point at a mark for details; a pair's name leads to what failed."
    return Table("checks", "Checks", note, heads, rows)


def _of_rule(pair: PairState, rule: str) -> Verdict | None:
    return next((each for each in pair.verdicts if each.rule == rule), None)


def _verdict(verdict: Verdict | None) -> Cell:
    if verdict is None:
        return Cell("", "", "c")
    word, tone, weight, said = ("✓", "good", 2, "passed") if verdict.passed else ("✗", "bad", 0, "failed")
    if not verdict.passed and verdict.severity == "warn":
        word, tone, weight, said = "!", "warn", 1, "warned"
    return Cell(word, weight, f"{tone} c", None, f"{verdict.rule}: {verdict.got}; expected {verdict.expected}", said)


def _heat_maps(state: FleetState) -> list[Table]:
    return [
        _heat_map(
            "nulls",
            "Nulls by family",
            "Share of null values in the columns of a family, in per cent; the darkest is the greatest of all.",
            state,
            lambda family: family.null_share,
        ),
        _heat_map(
            "unmatched",
            "Rows without a match by family",
            "Share of the spine's rows for which a family's tables have no row, in per cent.",
            state,
            lambda family: None if family.matched_share is None else 1 - family.matched_share,
        ),
    ]


def _heat_map(
    name: str, title: str, note: str, state: FleetState, share_of: Callable[[FamilyState], float | None]
) -> Table:
    words = list(dict.fromkeys(each.family for pair in state.pairs for each in pair.families))
    shares = {
        pair.status.pair: {each.family: share_of(each) for each in pair.families}
        for pair in state.pairs
        if pair.families
    }
    most = max((share for row in shares.values() for share in row.values() if share is not None), default=0.0)
    rows = [
        [Cell(pair, pair), *(_heat(row.get(word), most) for word in words)]
        for pair, row in shares.items()
        if any(share is not None for share in row.values())
    ]
    return Table(name, title, note, [Head("pair"), *(Head(word, number=True) for word in words)], rows)


def _heat(share: float | None, most: float) -> Cell:
    if share is None:
        return Cell("", "")
    return Cell(f"{100 * share:.2f}", share, "", _DARKEST * share / most if most else 0.0)


def _efforts(state: FleetState) -> Table:
    names = list(dict.fromkeys(stage.stage for pair in state.pairs for stage in pair.stages))
    heads = [Head("pair"), Head("last run")]
    heads += [Head(f"{name}, {unit}", number=True) for name in names for unit in ("s", "MB")]
    rows = [
        [
            Cell(pair.status.pair, pair.status.pair),
            Cell(f"{pair.stages[-1].began_at:%Y-%m-%d %H:%M}", pair.stages[-1].began_at.isoformat()),
            *(cell for name in names for cell in _effort(pair, name)),
        ]
        for pair in state.pairs
        if pair.stages
    ]
    return Table("efforts", "Seconds and peak memory", "Of the last run of each stage, by the ledger.", heads, rows)


def _effort(pair: PairState, name: str) -> tuple[Cell, Cell]:
    """Return seconds and peak memory of a stage; the reason of a failed one at its seconds."""
    stage = next((each for each in pair.stages if each.stage == name), None)
    if stage is None:
        return _number(None), _number(None)
    seconds = _number(stage.seconds, lambda value: f"{value:,.1f}")
    if stage.outcome != "done":
        word = "✗" if stage.outcome == "failed" else "…"
        title = f"{stage.error}: {stage.message}" if stage.error else "at work, or killed"
        seconds = seconds._replace(text=f"{word} {seconds.text}", tone="n bad", title=title)
    return seconds, _number(stage.peak_bytes, lambda value: f"{value / 1e6:,.0f}")


def _has_details(pair: PairState) -> bool:
    return bool(pair.has_failed or pair.drift or _failed(pair) or any(s.outcome == "failed" for s in pair.stages))


def _failed(pair: PairState) -> list[Verdict]:
    return [each for each in pair.verdicts if not each.passed]


def _details(pair: PairState, matters: Sequence[Attention]) -> dict[str, object]:
    status = pair.status
    checks = [
        {
            "rule": each.rule,
            "severity": each.severity,
            "got": each.got,
            "expected": each.expected,
            "cure": each.cure,
            "evidence": [(name, _shown(value)) for name, value in each.evidence.items() if value not in (None, "", [])],
        }
        for each in _failed(pair)
    ]
    failed = [stage for stage in pair.stages if stage.outcome == "failed"]
    facts = [
        ("failed tables", ", ".join(status.failed_tables)),
        *((f"{each.stage} failed", f"{each.error}: {each.message}") for each in failed),
        ("changed since the last extraction", "; ".join(pair.drift)),
        ("published", f"{status.uri}, verified {status.verified_at:%Y-%m-%d %H:%M} UTC" if status.verified_at else ""),
        ("content digest", status.content_digest or ""),
    ]
    own = [each.sentence.removeprefix(f"{status.pair}: ") for each in matters if each.pair == status.pair]
    changes = f"{len(pair.drift)} changes of tables or columns" if pair.drift else f"{len(checks)} warned"
    return {
        "name": status.pair,
        "line": own[0] if own else changes,
        "open": pair.has_failed,
        "problem": status.problem,
        "checks": checks,
        "facts": [(name, text) for name, text in facts if text],
    }


def _shown(value: object) -> str:
    items: list[object] = list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType]
    return ", ".join(map(str, items))[:_MOST_EVIDENCE]


def _mark(state: str, more: str = "", title: str = "") -> Cell:
    word, tone, meaning = _MARKS[state]
    order = list(_MARKS).index(state)
    return Cell(f"{word}{more}", order, tone, None, title or meaning, meaning)


def _number(value: float | None, text: Callable[[float], str] = lambda value: f"{value:,}") -> Cell:
    return Cell("" if value is None else text(value), "" if value is None else value, "n")
