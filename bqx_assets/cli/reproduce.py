"""Defines ``bqx reproduce`` and ``bqx card``: whether a training file can be made again, and what a model card says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, Generation, Manifest, load_record
from bqx_assets.base.errors import ObjectMissing
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.naming import is_address
from bqx_assets.base.store.open_store import object_at
from bqx_assets.cli.options import Json
from bqx_assets.cli.results import listed
from bqx_assets.cli.session import Session
from bqx_assets.pipeline import Pipeline
from bqx_assets.quality.report import Report
from bqx_assets.release.named_file import file_at, manifest_beside, named_companions, publishing_store
from bqx_assets.training.located import place_of
from bqx_assets.training.reproduce import Reproduction, model_card, reproduction

reproduce_app = typer.Typer()
What = Annotated[
    str,
    typer.Argument(metavar="PAIR|FILE", help="Pair that is published, or a training file or manifest: path or URI."),
]
_NAMED = 20
_WITH_DETAIL = 3


@reproduce_app.command(name="reproduce")
def reproduce_command(ctx: typer.Context, what: What, *, as_json: Json = False) -> None:
    """Say whether a training file can be made again with the same values, and what changed. Reads no rows.

    Exit code 0: it can, 1: no longer, 2: wrong usage.
    """
    session: Session = ctx.obj
    session.as_json = as_json
    with session.work() as (progress, _):
        pipeline = Pipeline(session.settings(), progress)
        manifest, *_ = _named(what, pipeline.settings)
        pair = parse_pair(manifest.pair)
        judged = pipeline.expectations(pair).judged_by(pair)
        job = pipeline.extraction(pair)
        found = reproduction(manifest, job, judged.sha256)
    session.say(*_lines(found, session.bqx, job.warehouse.name))
    session.answer(found)
    raise typer.Exit(0 if found.possible else 1)


@reproduce_app.command(name="card")
def card_command(ctx: typer.Context, what: What, *, as_json: Json = False) -> None:
    """Print Markdown for a model card: which data a model was trained on, and how to load exactly these again."""
    session: Session = ctx.obj
    session.as_json = as_json
    with session.work():
        card = model_card(*_named(what, session.settings()))
    session.say(*card.splitlines())
    session.answer({"card": card})


def _named(what: str, settings: Settings) -> tuple[Manifest, Generation | None, Report | None]:
    """Return the manifest that is meant, and generation and report of the published file that it belongs to."""
    if what.endswith(MANIFEST_SUFFIX):
        stored = load_record(*object_at(what, "manifest"), Manifest) if is_address(what) else None
        return stored or Manifest.load(Path(what)), None, None
    known = not is_address(what) and what.replace("_", "").isalnum()  # neither a path nor a file's name
    file = place_of(parse_pair(what), None, settings) if known else file_at(what)
    published = named_companions(file)
    if published is not None:
        info = publishing_store(file).head(file.name)
        report = Report.model_validate_json(published.texts["report"]) if "report" in published.texts else None
        return published.manifest, None if info is None else info.version, report
    beside = manifest_beside(file)
    if beside is None:
        raise ObjectMissing(
            file.place,
            got="no manifest",
            expected="a published pair, a merged file with its manifest, or a manifest",
            cure=f"Publish it: bqx run {what}." if known else "Name one of these; bqx status shows what is published.",
        )
    return beside, None, None


def _lines(found: Reproduction, bqx: str, warehouse: str) -> list[str]:
    others = [each for each in found.tables if each.state in ("changed", "settings")]
    changed = [f"{each.table} ({each.detail})" for each in others if each.missing]
    moved = [f"{each.table} ({each.detail})" for each in others if not each.missing]
    new = [each.table for each in found.tables if each.state == "new"]
    gone = [each.table for each in found.tables if each.state == "gone"]
    to_read = [each.table for each in found.tables if each.state == "unchanged"]
    digest = f", content {found.content_digest[:12]}" if found.content_digest else ""
    verdict = {
        "pieces": f"✓ {found.pair}{digest}: can be made again from the pieces at hand: {bqx} merge {found.pair}",
        "reading": f"✓ {found.pair}{digest}: can be made again by reading {warehouse}: "
        f"{bqx} extract {found.pair}, which reads what is missing alone, then {bqx} merge {found.pair}",
        "not": f"✗ {found.pair}{digest}: cannot be made again from {warehouse}",
    }[found.way]
    return [
        verdict,
        f"  pieces of {found.kept_tables:,} tables are kept",
        *listed("tables that are as they were, to read", to_read, _NAMED),
        *listed("tables that changed", changed, _WITH_DETAIL),
        *listed("tables that are kept and changed, which an extraction would read anew", moved, _WITH_DETAIL),
        *listed("tables that are new, which an extraction would add", new, _NAMED),
        *listed("tables that are gone", gone, _NAMED),
        *(f"  {note}" for note in found.notes),
    ]
