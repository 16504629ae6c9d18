"""Shows the state of the fleet on a terminal: stages, ages and costs of each pair, and what needs attention first."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from bqx_assets.base.printable import printable
from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.results import keep_whole, plain_table, status_lines
from bqx_assets.fleet.attention import attention, summary
from bqx_assets.fleet.state import FleetState, PairState, is_ahead

_MOST_MATTERS = 8


def fleet_lines(state: FleetState, bqx: str = "bqx") -> list[Table | Text | str]:
    """Return stages, ages and costs of the pairs, then what needs attention with the commands that help."""
    begun = [pair for pair in state.pairs if pair.stages or pair.snapshot_time]
    matters = attention(state)
    lines: list[Table | Text | str] = [*status_lines([pair.status for pair in state.pairs])]
    if begun:
        lines.append(_ages(begun, state))
    for each in matters[:_MOST_MATTERS]:
        lines.append(Text.assemble(("! ", "bold yellow"), printable(each.sentence)))
        if each.command:
            lines.append(Text(f"  → {pasteable(each.command, bqx)}", style="italic"))
    if len(matters) > _MOST_MATTERS:
        lines.append(f"and {len(matters) - _MOST_MATTERS:,} more: --json has all of them")
    if not _is_asked(state):
        lines.append(f"Whether sources changed since was not asked: {pasteable('bqx status --sources', bqx)}")
    lines.append(summary(state))
    return lines


def fleet_facts(state: FleetState) -> dict[str, object]:
    """Return the state for ``--json``: of each pair its stages' facts beside the others, and what needs attention."""
    facts = state.model_dump(mode="json")
    pairs = [
        {**each.pop("status"), **each, "good": pair.is_good}
        for each, pair in zip(facts.pop("pairs"), state.pairs, strict=True)
    ]
    published = sum(pair.status.published == "done" for pair in state.pairs)
    matters = [each.model_dump(mode="json") for each in attention(state)]
    return {"published": published, **facts, "attention": matters, "pairs": pairs}


def _is_asked(state: FleetState) -> bool:
    return any(pair.source != "not asked" or pair.source_error for pair in state.pairs)


def _ages(pairs: list[PairState], state: FleetState) -> Table:
    source = ["source"] if _is_asked(state) else []
    table = plain_table("pair", "age", *source, "last run", numbers=("periods", "seconds", "USD"))
    keep_whole(table)
    for each in pairs:
        last = each.stages[-1] if each.stages else None
        style = "dim" if each.source == "unchanged" else "bold yellow"
        told = "no answer" if each.source_error else each.source
        failed = last is not None and (last.outcome == "failed" or bool(each.status.failed_checks))
        table.add_row(
            each.status.pair,
            _age(each.snapshot_time, state, fresh=each.fresh),
            *([Text(told, style=style)] if source else []),
            Text("" if last is None else f"{last.began_at:%Y-%m-%d}{' failed' * failed}"),
            f"{len(each.status.periods):,}" if each.status.periods else "",
            "" if each.seconds is None else f"{each.seconds:,.0f}",
            "" if each.usd is None else f"{each.usd:,.4f}",
        )
    return table


def _age(snapshot: datetime | None, state: FleetState, *, fresh: bool | None) -> Text:
    if snapshot is None:
        return Text("")
    if is_ahead(snapshot, state.at):  # what needs attention says so
        return Text("ahead", style="bold yellow")
    days = max(0.0, (state.at - snapshot).total_seconds() / 86_400)
    text = f"{days * 24:.0f} h" if days < 2 else f"{days:.0f} d"  # noqa: PLR2004 -- from two days on, days say more
    return Text(f"{text} {'fresh' if fresh else 'stale'}", style="green" if fresh else "bold yellow")
