"""Defines ``bqx ui``: the guarded web server and the daemon over one home."""

from __future__ import annotations

from typing import Annotated

import typer

from bqx_assets.cli.session import Session

ui_app = typer.Typer()


@ui_app.command()
def ui(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
) -> None:
    """Serve the graph, its runs and backfills in the browser, with Dagster's daemon, until Ctrl-C.

    Only pages of this server may use it. Under another name than localhost, set BQX_UI_HOSTS to that name.
    """
    # Dagster and its web server take 3 s to import.
    from bqx_assets.runtime.web_server import serve_home  # noqa: PLC0415

    session: Session = ctx.obj
    session.say(f"http://{host}:{port}   (Ctrl-C ends it)")
    serve_home(session.settings(), host=host, port=port)
