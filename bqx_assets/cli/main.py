"""Defines the commands of ``bqx``: each calls one method of ``Pipeline`` and shows what it returns."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.errors import WarehouseError
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.store.naming import local_path, output_place
from bqx_assets.cli import summaries, tables
from bqx_assets.cli.commands import Commands
from bqx_assets.cli.cost import cost_app
from bqx_assets.cli.diff import diff_app
from bqx_assets.cli.doctor import doctor_app, stop_on_a_lack
from bqx_assets.cli.expectations import expectations_app
from bqx_assets.cli.options import (
    Checkpoints,
    Doctor,
    Engine,
    Every,
    Json,
    PairArgument,
    ReplaceSource,
    SomePairs,
    TrainingFile,
    Workers,
    place_of,
    with_thresholds,
)
from bqx_assets.cli.session import Session
from bqx_assets.cli.warehouse import warehouse_app
from bqx_assets.extract.plan import refuse_plan_over_budget
from bqx_assets.pipeline import Pipeline
from bqx_assets.release.lifecycle import init_store
from bqx_assets.release.published import is_whole

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From 667 feature tables and one targets table of a forex pair to one verified training parquet.",
    epilog="Settings also come from BQX_* environment variables, for example BQX_WAREHOUSE. Exit codes: 0 done, "
    "1 failed, 2 wrongly called, 130 interrupted.",
)
store_app = typer.Typer(no_args_is_help=True, help="Manage the output bucket's lifecycle rules.")
app.add_typer(warehouse_app, name="warehouse")
app.add_typer(store_app, name="store")
app.add_typer(expectations_app, name="expectations")
app.add_typer(diff_app)
app.add_typer(doctor_app)
app.add_typer(cost_app)


def main() -> None:
    """Run ``bqx``."""
    app()


def _show_version(value: bool) -> None:  # noqa: FBT001 -- Typer's callback
    if value:
        typer.echo(f"bqx {version('bqx-assets')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    home: Annotated[
        str | None,
        typer.Option(help="Folder for everything a run makes.", show_default=".bqx, or BQX_HOME", metavar="DIR"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Keep the options that stand before the command."""
    ctx.obj = Session(home=None if home is None else local_path(home, "--home"), debug=debug)


@app.command()
def plan(ctx: typer.Context, pair: PairArgument, *, output_dir: Annotated[Path | None, Checkpoints] = None,
         doctor: Doctor = False, as_json: Json = False) -> None:  # fmt: skip
    """Show what an extraction would read: tables, columns, bytes, cost in USD, and what is fresh already."""
    session = _session(ctx, as_json=as_json)
    if doctor:
        stop_on_a_lack(session, pair, session.settings().of_pair(pair))
    with session.work() as (progress, _):
        found = Pipeline(session.settings(), progress).plan(pair, checkpoints=output_dir)
    session.say(*summaries.plan_lines(found), tables.plan_table(found))
    refuse_plan_over_budget(found, session.settings().max_bytes)
    session.suggest("extract", pair)
    session.answer(found)


@app.command()
def extract(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    workers: Workers = None,
    output_dir: Annotated[Path | None, Checkpoints] = None,
    table: Annotated[list[str] | None, typer.Option(help="Only this feature table; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Read the pair's tables into slabs, aligned to its spine. What is there and fresh is not read again."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, cost):
        pipeline = Pipeline(session.settings(workers=workers), progress)
        record = pipeline.extract(pair, table, checkpoints=output_dir)
    place = pipeline.slabs(pair, output_dir).place
    session.say(*summaries.extraction_lines(record, place, cost))
    session.suggest("merge", pair, *(("--checkpoint-dir", output_dir) if output_dir else ()))
    session.answer(summaries.extraction_facts(record, place, cost))


@app.command(name="merge")
def merge_command(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    checkpoint_dir: Annotated[
        str | None,
        typer.Option(
            parser=place_of("--checkpoint-dir"),
            metavar="DIR",
            help="Holds the pair's slabs, or DIR/PAIR does; raw checkpoints also as gs://bucket/folder.",
            show_default="HOME/checkpoints",
        ),
    ] = None,
    output: TrainingFile = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Make one wide parquet of the pair's slabs, with its manifest beside it."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, cost):
        pipeline = Pipeline(session.settings(engine=engine), progress)
        made = pipeline.merge(pair, checkpoints=checkpoint_dir, output=output)
    session.say(*summaries.merge_lines(made.manifest, made.place, cost))
    session.suggest("validate", made.place, "--pair", pair)
    session.answer(summaries.merge_facts(made.manifest, made.place, cost))


@app.command(name="validate")
def validate_command(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A training parquet, path or gs:// URI; its manifest is used if beside it."
        ),
    ],
    *,
    pair: Annotated[Pair, typer.Option(parser=parse_pair, metavar="PAIR", help="Pair the file must belong to.")],
    required_targets: Annotated[
        int | None, typer.Option(min=1, help="Minimum number of horizons for each window.", show_default="all 7")
    ] = None,
    min_rows: Annotated[
        int | None, typer.Option(min=1, help="Minimum number of rows.", show_default="from the expectations")
    ] = None,
    min_columns: Annotated[
        int | None, typer.Option(min=1, help="Minimum number of columns.", show_default="from the expectations")
    ] = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Footer and statistics only: decode no value.")] = False,
    as_json: Json = False,
) -> None:
    """Check a training file by every rule. Exit code 0: passed, 1: failed, 2: wrongly called."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, _):
        pipeline = Pipeline(session.settings(), progress)
        asked = with_thresholds(pipeline.expectations_of(file, pair), required_targets, min_rows, min_columns)
        report = pipeline.validate(pair, file, expectations=asked, deep=not shallow)
    session.say(tables.verdict_table(report.verdicts, session.bqx), tables.report_line(report, session.bqx))
    session.answer({"passed": report.passed, **report.model_dump(mode="json")})
    raise typer.Exit(0 if report.passed else 1)


@app.command(name="publish")
def publish_command(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    pair: PairArgument,
    *,
    file: TrainingFile = None,
    output_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder or gs://bucket to publish to.", show_default="BQX_OUTPUT"),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean-checkpoints", help="Then delete the slabs, once the store confirms the file.")
    ] = False,
    replace_source: ReplaceSource = False,
    as_json: Json = False,
) -> None:
    """Publish a merged file: validate it, upload, verify, swap in whole."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings(
        output=None if output_dir is None else output_place(output_dir, "--output-dir"),
        replace_source=replace_source or None,
    )
    with session.work() as (progress, _):
        done = Pipeline(settings, progress).publish(pair, file=file, clean=clean)
    session.say(*summaries.published_lines(done.published))
    session.say(*summaries.removed_lines(done.swept, done.cleaned, settings.staging_days))
    session.say(*summaries.reading_lines(done.published.uri))
    session.answer(done.published)


@app.command()
def run(ctx: typer.Context, pair: PairArgument, *, workers: Workers = None, engine: Engine = None,  # noqa: PLR0913
        replace_source: ReplaceSource = False, doctor: Doctor = False, as_json: Json = False) -> None:  # fmt: skip
    """Materialise the pair through the whole Dagster graph in this process, up to its published file."""
    # Dagster takes 2 s to import; every other command works without it.
    from bqx_assets.cli.pair_run import run_and_show  # noqa: PLC0415

    session = _session(ctx, as_json=as_json)
    settings = session.settings(workers=workers, engine=engine, replace_source=replace_source or None).of_pair(pair)
    if doctor:
        stop_on_a_lack(session, pair, settings)
    passed = run_and_show(session, pair, settings)
    raise typer.Exit(0 if passed else 1)


@app.command(name="verify")
def verify_command(ctx: typer.Context, pairs: SomePairs = None, *, every: Every = False, as_json: Json = False) -> None:
    """Read published files again, or ask a bucket for their checksums. Exit code 0: as their manifests say, 1: not."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, _):
        found = Pipeline(session.settings(), progress).verify(pairs or (), every=every)
    session.say(tables.standing_table(found, session.bqx))
    session.answer({"verified": all(map(is_whole, found)), "pairs": [summaries.standing_facts(each) for each in found]})
    raise typer.Exit(0 if all(map(is_whole, found)) else 1)


@app.command()
def status(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show all 28 pairs' stages, as their records, manifests and the store say."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    with session.work() as (progress, _):
        found = Pipeline(settings, progress).status()
    done = sum(each.published == "done" for each in found)
    session.say(
        tables.status_tables(found),
        f"{done} of {len(found)} pairs published and verified in {settings.output or settings.output_dir}",
    )
    session.answer({"published": done, "pairs": [each.model_dump(mode="json") for each in found]})


@app.command()
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
    serve_home(session.settings(), host=host, port=port, tell=session.say)


@store_app.callback()
def store_group() -> None:
    """Keep ``init`` a word of its own: Typer would make the only command of a group the group."""


@store_app.command(name="init")
def store_init(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Set, and read back, what BQX_OUTPUT keeps: unfinished objects 7 days, published files and versions for good."""
    session = _session(ctx, as_json=as_json)
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


def _session(ctx: typer.Context, *, as_json: bool) -> Session:
    session: Session = ctx.obj
    session.as_json = as_json
    return session


def _data_location(session: Session, pipeline: Pipeline) -> str | None:
    """Where the tables lie. A bucket's rules do not wait for BigQuery: who may set them may have no right to read."""
    try:
        return pipeline.data_location()
    except WarehouseError as error:
        session.say(f"where the tables lie was not compared: {error}")
        return None
