"""Defines ``bqx fleet run``: runs of many pairs at once, followed to their end."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import Pair, parse_pairs
from bqx_assets.base.printable import printable
from bqx_assets.base.settings import Settings
from bqx_assets.cli import results
from bqx_assets.cli.failures import pasteable
from bqx_assets.cli.fleet import fleet_app
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.extract.embedded_layout import pairs_of_fleet, pairs_with_targets
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.pipeline import Pipeline

if TYPE_CHECKING:  # Dagster and its web server take 3 s to import
    from bqx_assets.runtime.fleet_runs import Fleet, MemberRun

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "cancelled": ("-", "yellow")}
_ONE_EVENT_SECONDS = 5.0
"""Time in which several signals tell of one event, such as a lost connection."""


@fleet_app.command()
def run(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    *,
    pairs: Annotated[str, typer.Option(metavar="A,B", help="Only these pairs.", show_default="BQX_FLEET")] = "",
    failed: Annotated[
        bool, typer.Option("--failed", help="Only pairs whose last run failed or was cancelled, or was not published.")
    ] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Only pairs that are old, not published, or whose sources changed.")
    ] = False,
    stop_after: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Cancel what is queued after N failures.", show_default="BQX_STOP_AFTER, else none"
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only put the runs into the queue.")] = False,
    as_json: Json = False,
) -> None:
    """Make many pairs, the largest first, by the queue of the Dagster instance, and follow them to their end.

    The web server shows the same runs. Ctrl-C or SIGTERM cancels them; `bqx fleet run --failed` continues.
    """
    # Dagster and its web server take 3 s to import.
    from bqx_assets.runtime.fleet_runs import fleet_of  # noqa: PLC0415

    session: Session = ctx.obj
    session.as_json = as_json
    settings = session.settings()
    chosen = _chosen(settings, pairs, failed=failed, stale=stale)
    if not chosen:
        session.say("nothing to do: no pair is left to be made")
        session.answer({"fleet": None, "pairs": []})
        return
    with _signals_as_interrupts(), fleet_of(settings, stop_after, served=not detach) as fleet:
        try:
            followed = fleet.launch(chosen)
            session.say(f"fleet {fleet.id}: {len(chosen)} pairs, of which {len(followed)} were in the queue already")
            runs = fleet.look() if detach else _follow(session, fleet)
        except KeyboardInterrupt:
            with suppress(OSError):  # after a lost connection nobody reads what is said
                session.err.print("cancelling the runs of this fleet; Ctrl-C again ends this at once", soft_wrap=True)
            cancelled = fleet.cancel()
            with suppress(OSError):
                session.say(outcome_table(cancelled, session.bqx))
                session.suggest("fleet", "run", "--failed")
            raise
    if not detach:
        session.say(outcome_table(runs, session.bqx), _sums(runs))
    else:
        session.say("The runs are in the queue; bqx ui, or the daemon of this instance, takes them.")
    session.answer({"fleet": fleet.id, "pairs": [each.model_dump(mode="json") for each in runs]})
    if any(each.state in {"failed", "cancelled"} for each in runs):
        session.suggest("fleet", "run", "--failed")
        raise typer.Exit(1)


@contextmanager
def _signals_as_interrupts() -> Generator[None]:
    """Let SIGTERM and SIGHUP act as Ctrl-C during the block: a service manager or a lost connection sends them.

    Otherwise this process would end at once, and leave the queue and the runs at work to themselves. What the caller
    ignores, as ``nohup`` does with SIGHUP, stays ignored. Signals soon after the first count as the same event: of a
    lost connection both kernel and shell tell, and the second must not end the cancelling that the first has begun.
    """
    began = -math.inf

    def interrupt(_number: int, _: FrameType | None) -> None:
        nonlocal began
        now = time.monotonic()
        if now - began >= _ONE_EVENT_SECONDS:
            began = now
            raise KeyboardInterrupt

    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _chosen(settings: Settings, pairs: str, *, failed: bool, stale: bool) -> list[Pair]:
    """Return the pairs to be made. Raises BadSetting for a pair without tables that was named, and UnknownPair.

    Raises TableMissing and TableUnreadable where no pair has tables, because each of 28 runs would fail of the same.
    """
    from bqx_assets.runtime.coordinator import without_tables  # noqa: PLC0415
    from bqx_assets.runtime.fleet_runs import pairs_to_repeat  # noqa: PLC0415

    asked = parse_pairs(pairs) if pairs else pairs_of_fleet(settings)
    absent = {pair: reason for pair in asked if (reason := without_tables(settings, pair))}
    if absent:
        raise BadSetting(
            "pairs of the fleet",
            got=next(iter(absent.values())).rstrip("."),
            expected="pairs with tables",
            cure="Name them with --pairs, or for all commands with BQX_FLEET.",
        )
    if settings.bigquery_project is None and not pairs_with_targets(settings):
        Pipeline(settings).extraction(asked[0]).catalogue()  # raises what the first run would
    repeated = pairs_to_repeat(settings, asked) if failed else []
    old = _stale(settings, asked) if stale else set[str]()
    return [pair for pair in asked if pair in repeated or pair.name in old] if failed or stale else [*asked]


def _stale(settings: Settings, pairs: Sequence[Pair]) -> set[str]:
    """Return the pairs that are not published, older than ``fresh_days``, or whose sources changed since."""
    state = fleet_state(Pipeline(settings), datetime.now(UTC), pairs=pairs, ask_sources=True)
    return {each.status.pair for each in state.pairs if not each.fresh or each.source == "changed"}


def _follow(session: Session, fleet: Fleet) -> list[MemberRun]:
    """Show each change on a terminal until all runs have ended, and return them."""
    from bqx_assets.runtime.fleet_runs import remaining_seconds  # noqa: PLC0415

    shown: dict[str, str] = {}
    now: list[MemberRun] = []
    for now in fleet.looks():
        changed = [each for each in now if shown.get(each.pair) != each.state]
        shown |= {each.pair: each.state for each in changed}
        if session.err.is_terminal:
            counts = _progress(now, remaining_seconds(now, fleet.sizes))
            for each in changed:
                if each.state != "queued":
                    session.err.print(Text(printable(f"{each.pair} {each.state:<9} {counts}")), soft_wrap=True)
    return now


def _progress(runs: Sequence[MemberRun], left_seconds: float | None) -> str:
    counts = {state: sum(each.state == state for each in runs) for state in ("done", "running", "failed", "queued")}
    words = [f"{counts['done']} done", f"{counts['running']} running", f"{counts['failed']} failed"]
    words += [f"{counts['queued']} left", f"{sum(each.usd or 0 for each in runs):.4f} USD so far"]
    return ", ".join(
        [*words, *([] if left_seconds is None else [f"about {timedelta(seconds=round(left_seconds))} left"])]
    )


def outcome_table(runs: Sequence[MemberRun], bqx: str = "bqx") -> Table:
    """Return one line a pair: its outcome, seconds and USD; of a pair that failed, why, and the cure."""
    table = results.plain_table("", "pair", "run", numbers=("seconds", "USD"))
    table.add_column("", overflow="fold")
    for each in runs:
        mark, style = _MARKS.get(each.state, ("…", "dim"))
        seconds = "" if each.seconds is None else f"{each.seconds:,.1f}"
        usd = "" if each.usd is None else f"{each.usd:.4f}"
        table.add_row(Text(mark, style), each.pair, each.run_id[:8], seconds, usd, Text(printable(_cut(each.error))))
        if each.cure:
            cure = Text(f"→ {printable(pasteable(each.cure, bqx))}", style="italic")
            table.add_row("", "", "", "", "", cure)
    return table


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _sums(runs: Sequence[MemberRun]) -> str:
    done, failed = (sum(each.state == state for each in runs) for state in ("done", "failed"))
    cancelled = len(runs) - done - failed
    usd = sum(each.usd or 0 for each in runs)
    return f"{done} of {len(runs)} pairs published, {failed} failed, {cancelled} cancelled; {usd:.4f} USD by the ledger"
