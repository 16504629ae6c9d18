"""Defines ``bqx store``: the lifecycle rules of the output bucket."""

from __future__ import annotations

import typer

from bqx_assets.base.errors import WarehouseError
from bqx_assets.cli import summaries
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.pipeline import Pipeline
from bqx_assets.release.lifecycle import init_store

store_app = typer.Typer(no_args_is_help=True, help="Manage the output bucket's lifecycle rules.")


@store_app.callback()
def group() -> None:
    """Keep ``init`` a word of its own: Typer would make the only command of a group the group."""


@store_app.command()
def init(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Set, and read back, what BQX_OUTPUT keeps: unfinished objects 7 days, published files and versions for good."""
    session: Session = ctx.obj
    session.as_json = as_json
    settings = session.settings()
    pipeline = Pipeline(settings)
    policy = init_store(
        pipeline.store,
        staging_days=settings.staging_days,
        keep_versions=settings.keep_versions,
        data_location=_data_location(session, pipeline) if pipeline.in_bucket else None,
    )
    session.say(*summaries.policy_lines(policy))
    session.answer(policy)


def _data_location(session: Session, pipeline: Pipeline) -> str | None:
    """Where the tables lie. A bucket's rules do not wait for BigQuery: who may set them may have no right to read."""
    try:
        return pipeline.data_location()
    except WarehouseError as error:
        session.say(f"where the tables lie was not compared: {error}")
        return None
