"""Defines ``bqx fleet``: what concerns all pairs of the fleet together."""

from __future__ import annotations

import webbrowser
from datetime import UTC, datetime
from typing import Annotated

import typer

from bqx_assets.base.store.naming import local_path
from bqx_assets.cli.fleet_view import fleet_facts
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.fleet.attention import summary
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.pipeline import Pipeline

fleet_app = typer.Typer(no_args_is_help=True, help="Make, follow and report all pairs of the fleet (BQX_FLEET).")


@fleet_app.callback()
def fleet_group() -> None:
    """Keep each command as a word of its own: Typer replaces a group by its only command."""


@fleet_app.command()
def report(
    ctx: typer.Context,
    *,
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="File to write.", show_default="HOME/fleet/report.html")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Ask the warehouse whether tables changed since they were read.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish it beside the training files, with a point of the trend.")
    ] = False,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write the state of all pairs as one HTML page, which needs no network and no server."""
    # Jinja2 and the charts take 0.2 s to import.
    from bqx_assets.fleet.publication import publish_report, write_report  # noqa: PLC0415

    session: Session = ctx.obj
    session.as_json = as_json
    settings = session.settings()
    target = settings.home / "fleet" / "report.html" if output is None else local_path(output, "--output")
    with session.work() as (progress, _):
        pipeline = Pipeline(settings, progress)
        state = fleet_state(pipeline, datetime.now(UTC), ask_sources=sources)
        published = publish_report(pipeline.store, state) if publish else None
        write_report(pipeline.store, state, target)
    session.say(summary(state), f"report: {target}")
    if published:
        session.say(f"published: {published}")
    if browse:
        webbrowser.open(target.absolute().as_uri())
    session.answer({"report": str(target), "published_report": published, **fleet_facts(state)})
