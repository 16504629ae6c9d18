"""Shows the state of the fleet on a terminal: stages, ages and costs of each pair, and what needs attention first."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.results import keep_whole, plain_table, status_lines
from bqx_assets.fleet.attention import attention, summary
from bqx_assets.fleet.state import FleetState, PairState

_MOST_MATTERS = 8


def fleet_lines(state: FleetState, bqx: str = "bqx") -> list[Table | Text | str]:
    """Return stages, ages and costs of the pairs, then what needs attention with the commands that help."""
    begun = [pair for pair in state.pairs if pair.stages or pair.snapshot_time]
    matters = attention(state)
    lines: list[Table | Text | str] = [*status_lines([pair.status for pair in state.pairs])]
    if begun:
        lines.append(_ages(begun, state))
    for each in matters[:_MOST_MATTERS]:
        lines.append(Text.assemble(("! ", "bold yellow"), each.sentence))
        if each.command:
            lines.append(Text(f"  → {pasteable(each.command, bqx)}", style="italic"))
    if len(matters) > _MOST_MATTERS:
        lines.append(f"and {len(matters) - _MOST_MATTERS:,} more: --json has all of them")
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


def _ages(pairs: list[PairState], state: FleetState) -> Table:
    table = plain_table("pair", "data of", "age", "source", "last run", numbers=("seconds", "USD"))
    keep_whole(table)
    for each in pairs:
        failed = [stage for stage in each.stages if stage.outcome == "failed"]
        last = each.stages[-1].began_at if each.stages else None
        table.add_row(
            each.status.pair,
            "" if each.snapshot_time is None else f"{each.snapshot_time:%Y-%m-%d %H:%M}",
            _age(each.snapshot_time, state, fresh=each.fresh),
            Text(each.source, style="bold yellow" if each.source == "changed" else "dim"),
            Text("" if last is None else f"{last:%Y-%m-%d %H:%M}{' failed' * bool(failed)}"),
            f"{sum(stage.seconds for stage in each.stages):,.0f}" if each.stages else "",
            "" if each.usd is None else f"{each.usd:,.4f}",
        )
    return table


def _age(snapshot: datetime | None, state: FleetState, *, fresh: bool | None) -> Text:
    if snapshot is None:
        return Text("")
    days = (state.at - snapshot).total_seconds() / 86_400
    text = f"{days * 24:.0f} h" if days < 2 else f"{days:.0f} d"  # noqa: PLR2004 -- from two days on, days say more
    return Text(f"{text} {'fresh' if fresh else 'stale'}", style="green" if fresh else "bold yellow")
