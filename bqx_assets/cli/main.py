"""Defines the commands of ``bqx``: each calls one method of ``Pipeline`` and shows what it returns."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.errors import WarehouseError
from bqx_assets.base.pairs import Pair, parse_pair
from bqx_assets.base.store.naming import local_path, output_place
from bqx_assets.cli import results
from bqx_assets.cli.actual import month_line
from bqx_assets.cli.alert import alert_app
from bqx_assets.cli.columns import columns_app
from bqx_assets.cli.cost import cost_app
from bqx_assets.cli.diff import diff_app
from bqx_assets.cli.doctor import doctor_app, stop_on_a_lack
from bqx_assets.cli.expectations import expectations_app
from bqx_assets.cli.failures import Commands
from bqx_assets.cli.fleet_run import fleet_app  # with the group's other commands
from bqx_assets.cli.fleet_view import fleet_facts, fleet_lines
from bqx_assets.cli.options import (
    Checkpoints,
    Doctor,
    Engine,
    Every,
    Json,
    PairArgument,
    PairsOrFiles,
    ReplaceSource,
    TrainingFile,
    Workers,
    place_of,
    with_thresholds,
)
from bqx_assets.cli.reproduce import reproduce_app
from bqx_assets.cli.session import Session
from bqx_assets.cli.warehouse import warehouse_app
from bqx_assets.extract.plan import refuse_plan_over_budget
from bqx_assets.fleet.ledger import Ledger
from bqx_assets.fleet.observe import fleet_state
from bqx_assets.fleet.recording import recorded_command, refuse_over_budget
from bqx_assets.pipeline import Pipeline
from bqx_assets.release.lifecycle import init_store
from bqx_assets.release.named_file import verify_file
from bqx_assets.release.published import is_whole

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make one verified training parquet for each forex pair, from 667 feature tables and one targets table.",
    epilog="Settings also come from BQX_* environment variables, for example BQX_WAREHOUSE. Exit codes: 0 done, "
    "1 failed, 2 wrong usage, 130 interrupted.",
)
store_app = typer.Typer(no_args_is_help=True, help="Manage the output bucket's lifecycle rules.")
app.add_typer(warehouse_app, name="warehouse")
app.add_typer(store_app, name="store")
app.add_typer(expectations_app, name="expectations")
app.add_typer(fleet_app, name="fleet")
app.add_typer(diff_app)
app.add_typer(doctor_app)
app.add_typer(cost_app)
app.add_typer(alert_app)
app.add_typer(columns_app)
app.add_typer(reproduce_app)


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
        typer.Option(help="Folder for everything a run makes.", show_default="BQX_HOME, else .bqx", metavar="DIR"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Keep the options that are given before the command."""
    ctx.obj = Session(home=None if home is None else local_path(home, "--home"), debug=debug)


@app.command()
def plan(ctx: typer.Context, pair: PairArgument, *, output_dir: Annotated[Path | None, Checkpoints] = None,
         doctor: Doctor = False, as_json: Json = False) -> None:  # fmt: skip
    """Show what an extraction would read: tables, columns, bytes, cost in USD, and which slabs are fresh already."""
    session = _session(ctx, as_json=as_json)
    if doctor:
        stop_on_a_lack(session, pair, session.settings().of_pair(pair))
    with session.work() as (progress, _):
        pipeline = Pipeline(session.settings(), progress)
        found = pipeline.plan(pair, checkpoints=output_dir)
    session.say(*results.plan_lines(found), results.plan_table(found), *results.period_tables(found))
    refuse_plan_over_budget(found, pipeline.settings.max_bytes)
    if output_dir is None and (budget_usd := pipeline.settings.monthly_budget_usd) is not None:
        now = datetime.now(UTC)
        session.say(month_line(Ledger(pipeline.store).month(now).usd, now, budget_usd))
        refuse_over_budget(pipeline)
    session.suggest("extract" if found.read_bytes or found.problems else "merge", pair)
    session.answer(found)


@app.command()
def extract(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    pair: PairArgument,
    *,
    workers: Workers = None,
    output_dir: Annotated[Path | None, Checkpoints] = None,
    table: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Read only this feature table; may be repeated.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Read feature tables even if their slabs are fresh.")] = False,
    as_json: Json = False,
) -> None:
    """Read the pair's tables into slabs, aligned to its spine. Slabs that are fresh are not read again."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, cost):
        pipeline = Pipeline(session.settings(workers=workers), progress)
        with nullcontext() if output_dir else recorded_command(pipeline, pair, "extract"):
            record = pipeline.extract(pair, table, checkpoints=output_dir, anew=anew)
    place = pipeline.slabs(pair, output_dir).place
    session.say(*results.extraction_lines(record, place, cost))
    session.suggest("merge", pair, *(("--checkpoint-dir", output_dir) if output_dir else ()))
    session.answer(results.extraction_facts(record, place, cost))


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
            help="Folder of the pair's slabs, itself or as DIR/PAIR; for raw checkpoints also gs://bucket/DIR.",
            show_default="HOME/checkpoints",
        ),
    ] = None,
    output: TrainingFile = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Merge the pair's slabs into one wide parquet, with its manifest beside it."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, cost):
        pipeline = Pipeline(session.settings(engine=engine), progress)
        # Files of this machine are merged without the output bucket, where the ledger is.
        with nullcontext() if checkpoint_dir or output else recorded_command(pipeline, pair, "merge"):
            made = pipeline.merge(pair, checkpoints=checkpoint_dir, output=output)
    session.say(*results.merge_lines(made.manifest, made.place, cost))
    session.suggest("validate", made.place, "--pair", pair)
    session.answer(results.merge_facts(made.manifest, made.place, cost))


@app.command(name="validate")
def validate_command(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Training parquet, path or gs:// URI; a manifest beside it is used."),
    ],
    *,
    pair: Annotated[Pair, typer.Option(parser=parse_pair, metavar="PAIR", help="Pair that the file must belong to.")],
    required_targets: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Minimum number of horizons for each window.", show_default="all"),
    ] = None,
    min_rows: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Minimum number of rows.", show_default="from the expectations"),
    ] = None,
    min_columns: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Minimum number of columns.", show_default="from the expectations"),
    ] = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Check footer and statistics only, no values.")] = False,
    as_json: Json = False,
) -> None:
    """Check a training file by every rule. Exit code 0: passed, 1: failed, 2: wrong usage."""
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, _):
        pipeline = Pipeline(session.settings(), progress)
        asked = with_thresholds(pipeline.expectations_of(file, pair), required_targets, min_rows, min_columns)
        report = pipeline.validate(pair, file, expectations=asked, deep=not shallow)
    session.say(results.verdict_table(report.verdicts, session.bqx), results.report_line(report, session.bqx))
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
        bool, typer.Option("--clean-checkpoints", help="Delete the slabs once the store has confirmed the file.")
    ] = False,
    replace_source: ReplaceSource = False,
    as_json: Json = False,
) -> None:
    """Publish a merged file: validate it, upload it, verify the upload, then swap it in as a whole."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings(
        output=None if output_dir is None else output_place(output_dir, "--output-dir"),
        replace_source=replace_source or None,
    )
    with session.work() as (progress, _):
        pipeline = Pipeline(settings, progress)
        with recorded_command(pipeline, pair, "publish"):
            done = pipeline.publish(pair, file=file, clean=clean)
    session.say(*results.published_lines(done.published))
    session.say(*results.removed_lines(done.swept, done.cleaned, settings.staging_days))
    session.say(*results.reading_lines(done.published))
    session.answer(done.published)


@app.command()
def run(ctx: typer.Context, pair: PairArgument, *, workers: Workers = None, engine: Engine = None,  # noqa: PLR0913
        replace_source: ReplaceSource = False, doctor: Doctor = False, as_json: Json = False) -> None:  # fmt: skip
    """Run the pair through the whole Dagster graph in this process, up to its published file."""
    # Dagster takes 2 s to import; every other command works without it.
    from bqx_assets.cli.pair_run import run_and_show  # noqa: PLC0415

    session = _session(ctx, as_json=as_json)
    settings = session.settings(workers=workers, engine=engine, replace_source=replace_source or None).of_pair(pair)
    if doctor:
        stop_on_a_lack(session, pair, settings)
    passed = run_and_show(session, pair, settings)
    raise typer.Exit(0 if passed else 1)


@app.command(name="verify")
def verify_command(
    ctx: typer.Context, what: PairsOrFiles = None, *, every: Every = False, as_json: Json = False
) -> None:
    """Compare published files, or copies of them, with their manifests: read them, or ask a bucket for checksums.

    Exit code 0: all are whole, 1: at least one is not, 2: wrong usage.
    """
    session = _session(ctx, as_json=as_json)
    pairs = [each for each in what or () if isinstance(each, Pair)]
    files = [each for each in what or () if isinstance(each, str)]
    with session.work() as (progress, _):
        found = [verify_file(file) for file in files]
        if pairs or every or not files:
            found += Pipeline(session.settings(), progress).verify(pairs, every=every)
    session.say(results.standing_table(found, session.bqx))
    session.answer({"verified": all(map(is_whole, found)), "pairs": [results.standing_facts(each) for each in found]})
    raise typer.Exit(0 if all(map(is_whole, found)) else 1)


@app.command()
def status(
    ctx: typer.Context,
    *,
    sources: Annotated[
        bool, typer.Option("--sources", help="Ask the warehouse whether tables changed since they were read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the state of all pairs: their stages, age and cost, and what needs attention first.

    By records, manifests and the ledger; whether sources changed is asked of the warehouse with --sources only.
    """
    session = _session(ctx, as_json=as_json)
    with session.work() as (progress, _):
        found = fleet_state(Pipeline(session.settings(), progress), datetime.now(UTC), ask_sources=sources)
    session.say(*fleet_lines(found, session.bqx))
    session.answer(fleet_facts(found))


@app.command()
def ui(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(metavar="NAME", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Port to listen on.")] = 3000,
) -> None:
    """Serve the graph, its runs and backfills in the browser, with Dagster's daemon, until Ctrl-C.

    It answers only its own pages. If it is reached under another name than localhost, set BQX_UI_HOSTS to that name.
    """
    # Dagster and its web server take 3 s to import.
    from bqx_assets.runtime.web_server import serve_home  # noqa: PLC0415

    session: Session = ctx.obj
    serve_home(session.settings(), host=host, port=port, tell=session.say)


@store_app.callback()
def store_group() -> None:
    """Keep ``init`` as a word of its own: Typer replaces a group by its only command."""


@store_app.command(name="init")
def store_init(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Set the lifecycle rules of BQX_OUTPUT, for unfinished objects and earlier versions, and read them back."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    pipeline = Pipeline(settings)
    policy = init_store(
        pipeline.store,
        staging_days=settings.staging_days,
        keep_versions=settings.keep_versions,
        data_location=_data_location(session, pipeline) if pipeline.in_bucket else None,
    )
    session.say(*results.policy_lines(policy))
    session.answer(policy)


def _session(ctx: typer.Context, *, as_json: bool) -> Session:
    session: Session = ctx.obj
    session.as_json = as_json
    return session


def _data_location(session: Session, pipeline: Pipeline) -> str | None:
    """Return the region of the tables, None where BigQuery does not tell it: the rules are set all the same.

    Whoever may set a bucket's rules need not have the right to read the tables.
    """
    try:
        return pipeline.data_location()
    except WarehouseError as error:
        session.say(f"the bucket's region was not compared with that of the tables: {error}")
        return None
