"""Defines ``bqx columns`` and ``bqx fetch``, for people who train models: what there is to choose, and a local copy."""

from __future__ import annotations

import shlex
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import polars as pl
import typer
from rich.table import Table
from rich.text import Text

from bqx_assets.cli.options import Json, PairArgument, path_of, place_of
from bqx_assets.cli.results import plain_table
from bqx_assets.cli.session import Session
from bqx_assets.training.cache import fetch
from bqx_assets.training.choice import LEFT_OUT, REASONS, Choice, counts_left_out, left_out_text, named_windows
from bqx_assets.training.load import NoDictionary, Prepared, prepare

columns_app = typer.Typer()
_WIDEST = 120
"""Widest line of a meaning."""
Source = Annotated[
    str | None,
    typer.Option(
        parser=place_of("--source"),
        metavar="PLACE",
        help="Folder, gs://bucket or file to take it from.",
        show_default="BQX_OUTPUT",
    ),
]
PinOption = Annotated[
    str | None, typer.Option("--pin", metavar="PIN", help="Content digest or generation that must be there.")
]


@columns_app.command(name="columns")
def columns_command(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    pair: PairArgument,
    *,
    family: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this family; repeatable.")] = None,
    table: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this table, or tables like agg_*; repeatable.")
    ] = None,
    window: Annotated[list[int] | None, typer.Option(metavar="ROWS", help="Only this window; repeatable.")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD", help="Only what is about pair, compared, base, quote, market or other; repeatable."
        ),
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only names like reg_bqx__*_45; repeatable.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also list the features that are left out, and why.")] = False,
    source: Source = None,
    pin: PinOption = None,
    as_json: Json = False,
) -> None:
    """Show the features of a published file that a model can be given: by family, or one by one with any filter.

    Left out are constant features, duplicates, identifiers, texts, those without values, and what knows the future.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    given = {"features": match, "families": family, "tables": table, "windows": window, "subjects": subject}
    choice = cast("Choice", {name: value for name, value in given.items() if value})
    with session.work() as (progress, _), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", NoDictionary)
        with prepare(pair, None, choice, source=source, pin=pin, settings=session.settings()) as found:
            pass  # all that is shown is known by now
        for each in noted:
            progress.warn("columns", str(each.message))
    judged = found.judged if every else found.judged.filter(pl.col(LEFT_OUT).is_null())
    session.say(*_head(found))
    if choice or every:
        session.say(*_listed(judged, min(session.out.width, _WIDEST)))
    else:
        session.say(_by_family(found.judged, {*_of_targets(found.dictionary, "window")}))
    if not every and (out := left_out_text(found.judged)):
        session.say(f"left out: {out} (--all lists them)")
    if not choice and not every:
        session.suggest("columns", pair, "--family", "pair_specific", "--window", "45")
    session.answer(_facts(found, judged, listed=bool(choice) or every))


@columns_app.command(name="fetch")
def fetch_command(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    source: Source = None,
    pin: PinOption = None,
    to: Annotated[
        Path | None,
        typer.Option(parser=path_of("--to"), metavar="DIR", help="Folder of copies.", show_default="HOME/cache"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a published file with its manifest and dictionary to DIR/DIGEST, and compare every byte.

    load_training reads the copies of HOME/cache. To remove old ones, remove their folders.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    with session.work() as (progress, cost):
        done = fetch(pair, session.settings(), progress, source=source, pin=pin, to=to)
    how = "was there" if done.was_there else f"fetched and verified in {cost.seconds:,.1f} s"
    session.say(f"✓ {done.path}: {done.size_bytes / 1e6:,.1f} MB, {how}")
    session.say(f"  pin: {done.digest}")
    session.say(f"  remove it: rm -r {shlex.quote(str(done.path.parent))}")
    session.answer(
        {"path": str(done.path), "pin": done.digest, "size_bytes": done.size_bytes, "was_there": done.was_there}
    )


def _head(found: Prepared) -> Iterator[str]:
    manifest = found.located.manifest
    spine, digest = manifest.extraction.spine, manifest.file.content_digest
    yield f"{found.located.file.place}"
    yield f"  {spine.rows:,} rows, {spine.first:%Y-%m-%d %H:%M} to {spine.last:%Y-%m-%d %H:%M} UTC"
    yield f"  pin: {digest or 'none; it was published without a content digest'}"
    windows, horizons = (" ".join(map(str, _of_targets(found.dictionary, each))) for each in ("window", "horizon"))
    yield f"  targets: windows {windows}; horizons {horizons}"


def _of_targets(dictionary: pl.DataFrame, column: str) -> list[int]:
    return dictionary.filter(pl.col("kind") == "target")[column].drop_nulls().unique().sort().to_list()


def _by_family(judged: pl.DataFrame, of_targets: set[int]) -> Table:
    """Return a line for each family: its features, those left out, and which of the targets' windows they have."""
    table = plain_table("family", numbers=("features", "left out", "tables"))
    table.add_column("windows")
    for (family,), rows in judged.group_by("family", maintain_order=True):
        kept = rows.filter(pl.col(LEFT_OUT).is_null())
        windows = set[int]().union(*named_windows(kept)) & of_targets
        counts = (kept.height, rows.height - kept.height, rows["table"].n_unique())
        table.add_row(str(family), *(f"{count:,}" for count in counts), " ".join(map(str, sorted(windows))))
    return table


def _listed(judged: pl.DataFrame, width: int) -> Iterator[Text]:
    """Yield two lines for each feature: its name and numbers, and below them its meaning.

    **Shape**: ``judged`` has a row a feature.
    """
    longest = max((len(name) for name in judged["column"]), default=0)
    yield Text(f"{'column':<{longest}}  rows back  type      nulls", style="bold")
    fields = ("column", "window", "type", "nulls", "rows", "meaning", "duplicate_of", LEFT_OUT)
    for column, window, kind, nulls, rows, meaning, first, reason in judged.select(fields).iter_rows():
        share = f"{nulls / rows:.1%}" if nulls else "0"
        yield Text(f"{column:<{longest}}  {'' if window is None else window:>9}  {kind:<7}  {share:>6}")
        if reason is not None:
            same = f" of {first}" if reason == "duplicate" and first else ""
            yield Text(
                f"  left out: {'a duplicate' if reason == 'duplicate' else REASONS[reason]}{same}", style="yellow"
            )
        for line in textwrap.wrap(meaning, width - 2):
            yield Text(f"  {line}", style="dim")
    yield Text(f"{judged.height:,} feature{'' if judged.height == 1 else 's'}")


def _facts(found: Prepared, judged: pl.DataFrame, *, listed: bool) -> dict[str, object]:
    """Return the same for ``--json``; the features one by one where they are listed."""
    manifest = found.located.manifest
    families = found.judged.group_by("family", maintain_order=True).agg(
        features=pl.col(LEFT_OUT).is_null().sum(), left_out=pl.col(LEFT_OUT).is_not_null().sum()
    )
    return {
        "pair": found.located.pair.name,
        "place": found.located.file.place,
        "rows": manifest.file.rows,
        "content_digest": manifest.file.content_digest,
        "targets": found.dictionary.filter(pl.col("kind") == "target")["column"].to_list(),
        "features": len(found.features),
        "left_out": counts_left_out(found.judged),
        "families": families.to_dicts(),
        **({"columns": judged.to_dicts()} if listed else {}),
    }
