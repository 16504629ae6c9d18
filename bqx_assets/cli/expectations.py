"""Defines ``bqx expectations``: show those in force, propose a pair's own, and record a person's approval."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from bqx_assets.base.artifacts import ExtractionRecord
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.naming import output_place
from bqx_assets.catalogue.expectations import (
    EXPECTATIONS_FILE,
    Expectations,
    PairFacts,
    is_there,
    load_expectations,
    read_text,
    write_text,
)
from bqx_assets.catalogue.proposal import with_approval, with_proposal
from bqx_assets.cli.options import Json, PairArgument, SomePairs
from bqx_assets.cli.session import Session
from bqx_assets.extract.slabs import Slabs
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.pair_findings import find_pair_facts

expectations_app = typer.Typer(
    no_args_is_help=True, help="Show what training files are checked against, propose a pair's own, approve them."
)
_LISTED = 20
"""Greatest number of names in a line."""


def _place(text: str) -> str:
    return output_place(text, "expectations file")


Place = Annotated[str, typer.Argument(parser=_place, metavar="FILE", help="Expectations file, path or gs:// URI.")]


@expectations_app.command()
def show(
    ctx: typer.Context,
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Expectations file, its folder, or a training parquet they are kept with; path or gs:// URI.",
            show_default="those in force",
        ),
    ] = None,
    *,
    text: Annotated[bool, typer.Option("--text", help="Print all of them as a TOML file.")] = False,
    as_json: Json = False,
) -> None:
    """Show which expectations are in force, where they were found, and which pairs have approved ones of their own."""
    session = _session(ctx, as_json=as_json)
    found = _shown(place, session.settings())
    if text:
        session.say(*found.text().splitlines())
    else:
        own = _kept_with_tables(session.settings()) if place is None else {}
        session.say(*_lines(found, [name for names in own.values() for name in names]))
        for file, names in own.items():
            session.say(f"  {', '.join(names)}: checked against those of the warehouse: {_show(session, file)}")
        session.say(f"to print the whole file: {_show(session, *([place] if place else []), '--text')}")
    session.answer({"place": found.place, **found.model_dump(mode="json")})


@expectations_app.command()
def propose(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    output: Annotated[
        str | None,
        typer.Option(
            parser=_place,
            metavar="FILE",
            help="File to write; its entries for other pairs stay.",
            show_default="HOME/expectations.toml",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace expectations of this pair that are already approved.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write what the pair's last extraction found, table by table, as a proposal that a person may approve."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    pipeline = Pipeline(settings)
    slabs = pipeline.slabs(pair)
    found = find_pair_facts(slabs, _last_extraction(slabs, pair), datetime.now(UTC))
    where = output or str(settings.home / EXPECTATIONS_FILE)
    own = where if is_there(where) else pipeline.expectations_place(pair)
    before = read_text(own)[1] if own is not None else ""
    write_text(where, with_proposal(before, pair, found.facts, where=where, replace=replace))
    session.say(f"✓ {where}: {pair} proposed, not yet in force", *_facts_lines(found.facts))
    if found.failed:
        session.say(f"! {len(found.failed):,} tables failed and are left out: {_some([f.table for f in found.failed])}")
    session.suggest("expectations", "approve", where)
    session.answer(
        {"file": where, "pair": pair.name, "failed": [each.table for each in found.failed]} | _sums(found.facts)
    )


def _last_extraction(slabs: Slabs, pair: Pair) -> ExtractionRecord:
    """Return the record of the pair's last extraction. Raises CheckpointCorrupt where there is none."""
    try:
        return slabs.load_extraction()
    except CheckpointCorrupt as error:
        raise CheckpointCorrupt(
            error.subject,
            got="no complete record of an extraction",
            expected=f"the record of an extraction of {pair}",
            cure=f"bqx extract {pair}",
        ) from error


@expectations_app.command()
def approve(
    ctx: typer.Context,
    place: Place,
    pairs: SomePairs = None,
    *,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the person who approves.", show_default="your login")
    ] = None,
    as_json: Json = False,
) -> None:
    """Approve the proposals in FILE, all or those of PAIR: from then on these pairs are checked against them alone."""
    session = _session(ctx, as_json=as_json)
    where, before = read_text(place)
    after, stated = with_approval(before, pairs or (), by=by or getpass.getuser(), at=datetime.now(UTC), where=where)
    write_text(where, after)
    names = [pair.name for pair in ALL_PAIRS if stated.approved(pair) is not None]
    session.say(f"✓ {where}: version {stated.version}, approved for {', '.join(names)}")
    settings = session.settings()
    if where not in {settings.expectations, str(Pipeline(settings).expectations_place())}:
        session.say(f"They are in force where BQX_EXPECTATIONS={where} is set; containers need a gs:// URI.")
    session.answer({"file": where, "version": stated.version, "approved": names})


def _session(ctx: typer.Context, *, as_json: bool) -> Session:
    session: Session = ctx.obj
    session.as_json = as_json
    return session


def _show(session: Session, *words: str) -> str:
    return f"{session.bqx} expectations show {shlex.join(words)}"


def _shown(place: str | None, settings: Settings) -> Expectations:
    if place is None:
        return Pipeline(settings).expectations()
    return Pipeline(settings).expectations_of(place) if place.endswith(".parquet") else load_expectations(_place(place))


def _kept_with_tables(settings: Settings) -> dict[str, list[str]]:
    """Return the pairs that are checked against a file in a warehouse of their own in the home, by that file."""
    pipeline = Pipeline(settings)
    general = pipeline.expectations_place()
    found: dict[str, list[str]] = {}
    for pair in ALL_PAIRS:
        own = pipeline.expectations_place(pair)
        if own is not None and own != general:
            found.setdefault(str(own), []).append(pair.name)
    return found


def _lines(found: Expectations, besides: Collection[str] = ()) -> list[str]:
    """Return what is in force in words; ``besides`` names the pairs that other expectations apply to."""
    pairs = [pair for pair in ALL_PAIRS if pair.name not in besides]
    judged = [found.judged_by(pair) for pair in pairs]
    by_state = {
        state: [pair.name for pair, each in zip(pairs, judged, strict=True) if each.approval == state]
        for state in ("approved", "proposed", "none")
    }
    shares = found.max_feature_null_fraction
    nulls = shares if isinstance(shares, dict) else {"all together": shares}
    return [
        f"expectations: {found.place}, version {found.version}",
        *(
            f"  {pair}: approved {found.pair[pair].approved}; {_within(found.pair[pair].found)}"
            for pair in by_state["approved"]
        ),
        *(f"  {pair}: proposed, not in force; {_within(found.pair[pair].found)}" for pair in by_state["proposed"]),
        f"  {len(by_state['none'])} pairs have no approved facts of their own and are checked against these numbers:",
        f"  at least {found.min_rows:,} rows, {found.min_columns:,} columns, {len(found.targets())} targets",
        f"  share of nulls below: {_shares(nulls)}",
        f"  share of rows that a table may lack: {_shares(found.max_missing_fraction)}",
        f"  columns without a value: {_some(found.allowed_all_null)}"
        + "".join(f"; {name} at most {most}" for name, most in found.max_all_null_columns.items()),
        f"  {_absent(found)}",
        f"  for information, the earlier pipeline allowed {found.earlier_gates.feature_null_fraction:.0%} of nulls in "
        f"features and {found.earlier_gates.target_null_fraction:.0%} in targets",
    ]


def _within(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _absent(found: Expectations) -> str:
    names = f"{len(found.known_absent):,} tables, by name" if found.known_absent else ""
    most = [f"of {name} at most {most}, over all pairs" for name, most in found.max_absent_tables.items() if most]
    allowed = "; ".join([*([names] if names else []), *most])
    return f"may be absent: {allowed}" if allowed else "no table may be absent"


def _shares(shares: Mapping[str, float]) -> str:
    return _some([f"{name} {share:.2%}" for name, share in shares.items()])


def _some(names: list[str] | tuple[str, ...]) -> str:
    return some_of(names, _LISTED) or "none"


def _facts_lines(facts: PairFacts) -> list[str]:
    lacking = sorted(name for name, each in facts.tables.items() if each.matched < facts.rows)
    return [
        f"  {facts.found}",
        f"  {len(facts.tables):,} tables on {facts.rows:,} rows; {len(lacking):,} of them lack rows: {_some(lacking)}",
        f"  {len(facts.all_null):,} columns without a value: {_some(facts.all_null)}",
        f"  {len(facts.constant):,} columns of one value",
        *([f"  {len(facts.absent):,} absent tables: {_some(list(facts.absent))}"] if facts.absent else []),
    ]


def _sums(facts: PairFacts) -> dict[str, object]:
    return {
        "rows": facts.rows,
        "tables": len(facts.tables),
        "all_null": facts.all_null,
        "constant": len(facts.constant),
        "absent": list(facts.absent),
    }
