"""The command line ``bqx``: every stage by itself, and the whole graph of a pair.

Belongs here: commands, their options, and which stage each calls. Does not: the stages, or drawing (``console``).
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.console import summaries, tables
from bqx_assets.console.commands import Commands
from bqx_assets.console.options import Checkpoints, Engine, Json, PairArgument, Workers, checkpoints_of, with_thresholds
from bqx_assets.console.progress import ConsoleProgress
from bqx_assets.console.session import Session, store_of
from bqx_assets.console.warehouse import warehouse_app
from bqx_assets.extract.connect import connect, load_own_expectations
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.plan import plan_pair
from bqx_assets.merge.engine import merge
from bqx_assets.merge.plan import plan_merge
from bqx_assets.quality.report import Report
from bqx_assets.quality.validate import validate
from bqx_assets.release.checked import report_for, save_report
from bqx_assets.release.publish import publish
from bqx_assets.release.retention import clean_checkpoints, sweep
from bqx_assets.release.status import pair_status

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From 667 feature tables and one targets table of a forex pair to one verified training parquet.",
    epilog="Settings also come from BQX_* environment variables, for example BQX_WAREHOUSE. Exit codes: 0 done, "
    "1 failed, 2 wrongly called, 130 interrupted.",
)
app.add_typer(warehouse_app, name="warehouse")


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
        Path | None,
        typer.Option(help="Folder for everything a run makes.", show_default=".bqx, or BQX_HOME", metavar="DIR"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Keep the options that stand before the command."""
    ctx.obj = Session(home=home, debug=debug)


@app.command()
def plan(ctx: typer.Context, pair: PairArgument, *, output_dir: Annotated[Path | None, Checkpoints] = None,
         as_json: Json = False) -> None:  # fmt: skip
    """Show what an extraction would read: tables, columns, bytes, cost in USD, and what is fresh already."""
    session = _session(ctx, as_json=as_json)
    found = plan_pair(_extraction(session.settings(), pair, output_dir, ConsoleProgress(session.err)))
    session.say(*summaries.plan_lines(found), tables.plan_table(found), f"next: {session.bqx} extract {pair}")
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
    settings = session.settings(workers=workers)
    with session.work() as (progress, cost):
        job = _extraction(settings, pair, output_dir, progress)
        record = extract_pair(job, table)
    session.say(*summaries.extraction_lines(record, progress.resumed, job.folder, cost))
    session.say(f"next: {session.bqx} merge {pair}" + (f" --checkpoint-dir {output_dir}" if output_dir else ""))
    session.answer(summaries.extraction_facts(record, progress.resumed, job.folder, cost))


@app.command(name="merge")
def merge_command(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Holds the pair's slabs, or DIR/PAIR does.", show_default="HOME/checkpoints"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The training file.",
            show_default="HOME/training/training_PAIR.parquet",
            dir_okay=False,
        ),
    ] = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Make one wide parquet of the pair's slabs, with its manifest beside it."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings(engine=engine)
    file = output or settings.training_file(pair)
    with session.work() as (progress, cost):
        folder = checkpoints_of(pair, checkpoint_dir or settings.checkpoint_dir)
        manifest = merge(plan_merge(pair, folder, settings), file, engine=settings.engine, progress=progress)
    session.say(*summaries.merge_lines(manifest, file, manifest_path(file), cost))
    session.say(f"next: {session.bqx} validate {file} --pair {pair}")
    session.answer(summaries.merge_facts(manifest, file, manifest_path(file), cost))


@app.command(name="validate")
def validate_command(  # noqa: PLR0913 -- one parameter an option
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A training parquet; its manifest is used if beside it.")
    ],
    *,
    pair: Annotated[Pair, typer.Option(parser=parse_pair, metavar="PAIR", help="Whose file it must be.")],
    required_targets: Annotated[
        int | None, typer.Option(min=1, help="Horizons every window must have.", show_default="all 7")
    ] = None,
    min_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows at least.", show_default="by the expectations")
    ] = None,
    min_columns: Annotated[
        int | None, typer.Option(min=1, help="Columns at least.", show_default="by the expectations")
    ] = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Footer and statistics only: decode no value.")] = False,
    as_json: Json = False,
) -> None:
    """Check a training file by every rule. Exit code 0: passed, 1: failed, 2: wrongly called."""
    session = _session(ctx, as_json=as_json)
    own = load_own_expectations(session.settings())
    asked = with_thresholds(own, required_targets, min_rows, min_columns)
    manifest = Manifest.load(manifest_path(file)) if manifest_path(file).is_file() else None
    with session.work() as (progress, _):
        report = validate(file, pair, asked, manifest=manifest, deep=not shallow, progress=progress)
    if manifest is not None and report.deep and asked == own:
        save_report(file, manifest, report)  # `bqx publish` need not look again; asked otherwise, it must
    session.say(tables.verdict_table(report.verdicts), tables.report_line(report))
    session.answer({"passed": report.passed, **report.model_dump(mode="json")})
    raise typer.Exit(0 if report.passed else 1)


@app.command(name="publish")
def publish_command(
    ctx: typer.Context,
    pair: PairArgument,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The training file.",
            show_default="HOME/training/training_PAIR.parquet",
            dir_okay=False,
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Root of the local object store.", show_default="HOME/bqx-ml-output"),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean-checkpoints", help="Then delete the slabs, once the store confirms the file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish a merged file: validate it unless that was done, upload, verify, swap in whole."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    store = store_of(settings, output_dir)
    chosen = file or settings.training_file(pair)
    manifest = Manifest.load(manifest_path(chosen))
    with session.work() as (progress, _):
        report = _report(chosen, pair, manifest, settings, progress)
        published = publish(chosen, manifest, report, store, progress=progress)
        swept = sweep(store, staging_days=settings.staging_days)
        cleaned = clean_checkpoints(pair, settings.checkpoint_dir / pair.name, store) if clean else None
    session.say(*summaries.published_lines(published))
    if swept.names:
        session.say(f"  {len(swept.names)} staged objects older than {settings.staging_days} days removed")
    if cleaned is not None:
        session.say(f"  {len(cleaned.names):,} slabs removed, {cleaned.size_bytes / 1e6:,.1f} MB")
    session.say(*summaries.reading_lines(published.uri))
    session.answer(published)


@app.command()
def run(ctx: typer.Context, pair: PairArgument, *, workers: Workers = None, engine: Engine = None,
        as_json: Json = False) -> None:  # fmt: skip
    """Materialise the pair through the whole Dagster graph in this process, up to its published file."""
    # Dagster takes 2 s to import; every other command works without it.
    from bqx_assets.console.pair_run import run_and_show  # noqa: PLC0415

    session = _session(ctx, as_json=as_json)
    passed = run_and_show(session, pair, session.settings(workers=workers, engine=engine))
    raise typer.Exit(0 if passed else 1)


@app.command()
def status(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show all 28 pairs' stages, as their records, manifests and the store say."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    expectations, store = load_own_expectations(settings), store_of(settings)
    found = [pair_status(pair, settings, expectations, store) for pair in ALL_PAIRS]
    done = sum(each.published == "done" for each in found)
    session.say(
        tables.status_table(found), f"{done} of {len(found)} pairs published and verified in {settings.output_dir}"
    )
    session.answer({"published": done, "pairs": [each.model_dump(mode="json") for each in found]})


def _session(ctx: typer.Context, *, as_json: bool) -> Session:
    session: Session = ctx.obj
    session.as_json = as_json
    return session


def _extraction(settings: Settings, pair: Pair, folder: Path | None, progress: ConsoleProgress) -> Extraction:
    warehouse, expectations = connect(settings)
    root = folder or settings.checkpoint_dir
    return Extraction(pair, warehouse, root / pair.name, settings, expectations, progress)


def _report(file: Path, pair: Pair, manifest: Manifest, settings: Settings, progress: ConsoleProgress) -> Report:
    """The report kept beside the file if it speaks of these bytes, else a new one, kept."""
    report = report_for(file, manifest)
    if report is None:
        expectations = load_own_expectations(settings)
        report = validate(file, pair, expectations, manifest=manifest, progress=progress)
        save_report(file, manifest, report)
    return report
