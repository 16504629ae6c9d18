"""Defines ``bqx warehouse``: the commands that make an embedded warehouse, lengthen it and inject faults into one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.cli.options import Json, path_of
from bqx_assets.cli.session import Session
from bqx_assets.sandbox.advance import advance_warehouse
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets.sandbox.faults import FAULTS, inject_fault, unknown_fault

warehouse_app = typer.Typer(
    no_args_is_help=True,
    help="Make an embedded warehouse, append bars to it, or damage one to see that the checks find it.",
)

Folder = Annotated[
    Path, typer.Argument(parser=path_of("folder of the warehouse"), metavar="DIR", help="Folder of the warehouse.")
]


def parse_pairs(text: str) -> tuple[Pair, ...]:
    """Return the pairs of ``all`` or of a comma-separated list.

    Raises:
        UnknownPair: a name is not that of a pair.
        BadSetting: a pair is named twice.
    """
    if text == "all":
        return ALL_PAIRS
    pairs = tuple(parse_pair(word.strip().lower()) for word in text.split(","))
    if len(set(pairs)) < len(pairs):
        raise BadSetting("--pairs", got=text, expected="each pair once", cure="Leave the repeated pair out.")
    return pairs


def parse_tables(text: str) -> int | None:
    """Return the number of tables per pair, None for ``all``. Raises BadSetting for anything else."""
    if text == "all":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise BadSetting("--tables", got=repr(text), expected="all or a number from 1", cure="For example --tables 20.")


def parse_mode(text: str) -> str:
    """Return the fault mode ``text``. Raises BadSetting for one that does not exist."""
    if text not in FAULTS:
        raise unknown_fault(text)
    return text


@warehouse_app.command()
def create(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    folder: Folder,
    *,
    pairs: Annotated[str, typer.Option(help="Pairs, separated by commas, or all.", metavar="PAIRS")],
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="Bars per pair, and so rows of its tables.")] = 6_000,
    tables: Annotated[str, typer.Option(help="Feature tables per pair, or all 667.", metavar="N")] = "all",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the simulation; it determines all bytes.")] = 1,
    rates: Annotated[
        Path | None,
        typer.Option(
            parser=path_of("--rates"),
            metavar="FILE",
            help="Your own rates to compute from: Parquet or CSV with interval_time, pair and close.",
            show_default="simulated rates",
        ),
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Invert the prices of pairs that FILE quotes in reverse, as usdeur.")
    ] = False,
    quirks: Annotated[
        bool | None,
        typer.Option(
            "--quirks/--no-quirks",
            help="Give tables the gaps and surplus rows of real ones, and leave two tables without values.",
            show_default="only without --rates",
        ),
    ] = None,
    known_gaps: Annotated[
        bool,
        typer.Option(
            "--known-gaps", help="Leave out rows, values and tables that the users' own warehouse is known to lack."
        ),
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            "--spoil", metavar="MODE", help="Then damage a table of the first pair; modes: warehouse spoil --list."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an embedded warehouse in DIR: targets and feature tables, computed from simulated rates or your own."""
    session: Session = ctx.obj
    session.as_json = as_json
    wanted, count = parse_pairs(pairs), parse_tables(tables)
    spoiling = parse_mode(mode) if mode is not None else None
    with session.work() as (progress, cost):
        made = create_warehouse(
            folder,
            pairs=wanted,
            rows=rows,
            tables=count,
            seed=seed,
            rates=rates,
            progress=progress,
            invert=invert,
            quirks=quirks,
            known_gaps=known_gaps,
        )
        spoiled = inject_fault(folder, spoiling, wanted[0]) if spoiling else None
    _link(session.settings(), folder, wanted)
    session.say(
        f"✓ {folder}: {len(wanted)} pair{'s' * (len(wanted) > 1)}, {cost.seconds:.1f} s, "
        f"peak {cost.peak_bytes / 1e6:,.0f} MB resident",
        *(f"- {said}" for said in made.said),
        *([f"- {sum(made.appended):,} bars a pair were appended since it was made"] if made.appended else []),
        *(f"! {doubt}" for doubt in made.doubts),
        *([f"! spoiled {wanted[0]}: {spoiled}"] if spoiled else []),
        f"next: {_variable(session.settings().of_pair(wanted[0]), folder)}{session.bqx} run {wanted[0]}",
    )
    session.answer(
        {
            "warehouse": str(folder),
            "pairs": [pair.name for pair in wanted],
            "said": made.said,
            "doubts": made.doubts,
            "appended": made.appended,
            "spoiled": spoiled,
            "seconds": round(cost.seconds, 3),
            "peak_bytes": cost.peak_bytes,
        }
    )


@warehouse_app.command()
def advance(
    ctx: typer.Context,
    folder: Folder,
    *,
    bars: Annotated[int, typer.Option(min=1, metavar="N", help="Bars to append to each pair; 1440 are a day.")],
    as_json: Json = False,
) -> None:
    """Append bars to the simulated market in DIR, as days pass; earlier bars stay as they are."""
    session: Session = ctx.obj
    session.as_json = as_json
    with session.work() as (progress, cost):
        made = advance_warehouse(folder, bars=bars, progress=progress)
    first, rows = parse_pair(made.made.pairs[0]), made.present.rows
    session.say(
        f"✓ {folder}: {bars:,} bars a pair appended, {rows:,} now, {cost.seconds:.1f} s, "
        f"peak {cost.peak_bytes / 1e6:,.0f} MB resident",
        f"next: {_variable(session.settings().of_pair(first), folder)}{session.bqx} plan {first}",
    )
    session.answer(
        {
            "warehouse": str(folder),
            "pairs": made.made.pairs,
            "appended": bars,
            "rows": rows,
            "seconds": round(cost.seconds, 3),
            "peak_bytes": cost.peak_bytes,
        }
    )


def _link(settings: Settings, folder: Path, pairs: Sequence[Pair]) -> None:
    """Link the pairs to this folder in the home, if the folder lies in it, so that later commands find it."""
    if not folder.resolve().is_relative_to(settings.home.resolve()):
        return
    for pair in pairs:
        link = settings.source_link(pair)
        link.parent.mkdir(exist_ok=True)
        new = link.with_name(f".{link.name}.{os.getpid()}")
        new.symlink_to(os.path.relpath(folder.resolve(), link.parent.resolve()))
        new.replace(link)


def _variable(settings: Settings, folder: Path) -> str:
    """Return the variable that makes a command read this folder; empty where the settings already do so."""
    read = settings.warehouse_dir.resolve() == folder.resolve()
    return "" if read else f"BQX_WAREHOUSE={shlex.quote(str(folder))} "


def _list_modes(ctx: typer.Context, listed: bool) -> None:  # noqa: FBT001 -- Typer calls it so
    if listed:
        session: Session = ctx.obj
        width = max(map(len, FAULTS))
        session.say(*(f"{mode:<{width}}  {what}" for mode, what in FAULTS.items()))
        session.answer({"modes": dict(FAULTS)})
        raise typer.Exit


@warehouse_app.command(name="spoil")
def spoil_command(
    ctx: typer.Context,
    folder: Folder,
    mode: Annotated[str, typer.Argument(metavar="MODE", help="Fault to inject; --list shows all.")],
    *,
    pair: Annotated[Pair, typer.Option(parser=parse_pair, metavar="PAIR", help="Pair whose table is damaged.")],
    _listed: Annotated[
        bool,
        typer.Option("--list", callback=_list_modes, help="List all modes and exit."),  # after --json, which is eager
    ] = False,
    as_json: Json = False,
) -> None:
    """Damage a table of PAIR in DIR, as real tables have been damaged, to see that the checks find it."""
    session: Session = ctx.obj
    session.as_json = as_json
    done = inject_fault(folder, parse_mode(mode), pair)
    session.say(f"! spoiled {pair}: {done}")
    session.answer({"warehouse": str(folder), "pair": pair.name, "mode": mode, "spoiled": done})
