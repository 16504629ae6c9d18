"""The command line ``bqx``: every stage by itself, and the whole graph of a pair.

Belongs here: commands, their options, and which stage each calls. Does not: the stages, or drawing.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.progress import at_work, waiting
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.choose import open_store
from bqx_assets.base.store.naming import local_path, output_place
from bqx_assets.base.threads import in_threads
from bqx_assets.cli import summaries, tables
from bqx_assets.cli.commands import Commands
from bqx_assets.cli.cost import cost_app
from bqx_assets.cli.diff import diff_app
from bqx_assets.cli.doctor import doctor_app, stop_on_a_lack
from bqx_assets.cli.expectations import expectations_app
from bqx_assets.cli.judged import expectations_for
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
from bqx_assets.cli.places import merge_pair, validate_place
from bqx_assets.cli.progress import ConsoleProgress
from bqx_assets.cli.session import Session
from bqx_assets.cli.store import store_app
from bqx_assets.cli.ui import ui_app
from bqx_assets.cli.warehouse import warehouse_app
from bqx_assets.extract.connect import connect, load_own_expectations
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.plan import plan_pair, refuse_plan_over_budget
from bqx_assets.extract.slab_objects import slab_objects
from bqx_assets.extract.slabs import SlabFolder
from bqx_assets.release.merged_file import MergedFile, merged, publish_checked
from bqx_assets.release.published import is_whole, verify_pairs
from bqx_assets.release.retention import clean_checkpoints, sweep
from bqx_assets.release.status import PairStatus, pair_status

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
app.add_typer(store_app, name="store")
app.add_typer(expectations_app, name="expectations")
app.add_typer(ui_app)
app.add_typer(diff_app)
app.add_typer(doctor_app)
app.add_typer(cost_app)
_PAIRS_AT_ONCE = 8


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
    found = plan_pair(_extraction(session.settings(), pair, output_dir, ConsoleProgress(session.err)))
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
    settings = session.settings(workers=workers)
    with session.work() as (progress, cost):
        job = _extraction(settings, pair, output_dir, progress)
        record = extract_pair(job, table)
    place = job.slabs().place
    session.say(*summaries.extraction_lines(record, progress.resumed, place, cost))
    session.suggest("merge", pair, *(("--checkpoint-dir", output_dir) if output_dir else ()))
    session.answer(summaries.extraction_facts(record, progress.resumed, place, cost))


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
    settings = session.settings(engine=engine)
    with session.work() as (progress, cost):
        manifest, place = merge_pair(pair, settings, checkpoint_dir, output, progress)
    session.say(*summaries.merge_lines(manifest, place, cost))
    session.suggest("validate", place, "--pair", pair)
    session.answer(summaries.merge_facts(manifest, place, cost))


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
    settings = session.settings().of_pair(pair)
    own = expectations_for(file, settings)
    asked = with_thresholds(own, required_targets, min_rows, min_columns)
    with session.work() as (progress, _):
        # Judged by other numbers, `bqx publish` must look again.
        report = validate_place(file, pair, settings, asked, keep=asked == own, deep=not shallow, progress=progress)
    session.say(tables.verdict_table(report.verdicts, session.bqx), tables.report_line(report))
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
        typer.Option(metavar="DIR", help="Where to: a folder or gs://bucket.", show_default="BQX_OUTPUT"),
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
    ).of_pair(pair)
    store = open_store(settings)
    chosen = MergedFile(file, pair) if file else merged(settings, pair, store)
    manifest = chosen.manifest()
    with session.work() as (progress, _):
        published = publish_checked(chosen, manifest, settings, load_own_expectations(settings), store, progress)
        swept = sweep(store, staging_days=settings.staging_days)
        slabs = slab_objects(settings, pair) or SlabFolder(settings.checkpoint_dir / pair.name)
        cleaned = clean_checkpoints(pair, slabs, store) if clean else None
    session.say(*summaries.published_lines(published))
    session.say(*summaries.removed_lines(swept, cleaned, settings.staging_days))
    session.say(*summaries.reading_lines(published.uri))
    session.answer(published)


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
        found = verify_pairs(open_store(session.settings()), pairs or (), progress, every=every)
    session.say(tables.standing_table(found, session.bqx))
    session.answer({"verified": all(map(is_whole, found)), "pairs": [summaries.standing_facts(each) for each in found]})
    raise typer.Exit(0 if all(map(is_whole, found)) else 1)


@app.command()
def status(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show all 28 pairs' stages, as their records, manifests and the store say."""
    session = _session(ctx, as_json=as_json)
    settings = session.settings()
    common, store = load_own_expectations(settings), open_store(settings)

    def status_of(pair: Pair) -> PairStatus:
        own = settings.of_pair(pair)
        return pair_status(pair, own, common if own is settings else load_own_expectations(own), store)

    with session.work() as (progress, _), waiting(progress, "status", at_work("looking at 28 pairs")):
        found = list(in_threads(status_of, ALL_PAIRS, _PAIRS_AT_ONCE, "status"))
    done = sum(each.published == "done" for each in found)
    session.say(
        tables.status_tables(found),
        f"{done} of {len(found)} pairs published and verified in {settings.output or settings.output_dir}",
    )
    session.answer({"published": done, "pairs": [each.model_dump(mode="json") for each in found]})


def _session(ctx: typer.Context, *, as_json: bool) -> Session:
    session: Session = ctx.obj
    session.as_json = as_json
    return session


def _extraction(settings: Settings, pair: Pair, folder: Path | None, progress: ConsoleProgress) -> Extraction:
    settings = settings.of_pair(pair)
    warehouse, expectations = connect(settings)
    root = folder or settings.checkpoint_dir
    kept_in = slab_objects(settings, pair) if folder is None else None
    return Extraction(pair, warehouse, root / pair.name, settings, expectations, progress, kept_in)
