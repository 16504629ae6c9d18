"""Makes an embedded warehouse: its market, its tables, and the expectations that fit them."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from bqx_assets.base.errors import BadSetting, FolderBusy
from bqx_assets.base.files import locked, remove_partials, sync_file, write_atomic
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.progress import Progress
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE, load_expectations
from bqx_assets.catalogue.families import TARGETS_DATASET, family_of, targets_table
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import (
    APPENDING_FILE,
    DATASETS,
    MONTHS_FILE,
    RECORD_FILE,
    UNFINISHED_FILE,
    WarehouseRecord,
    WarehouseSpec,
    entries,
    is_table_name,
    is_unfinished,
    load_record,
    table_path,
    table_paths,
)
from bqx_assets.sandbox.batches import MarketSource, batches_of, make_batches
from bqx_assets.sandbox.features.pair_tables import targets_frame
from bqx_assets.sandbox.market.bars import Market
from bqx_assets.sandbox.market.rates import rates_digest
from bqx_assets.sandbox.own_expectations import OnSpine, least_bars, own_expectations
from bqx_assets.sandbox.quirks import stray_tables, stray_targets, without_absent
from bqx_assets.sandbox.selection import Selection, select
from bqx_assets.sandbox.table_files import write_table

STAGE = "warehouse"
_SHOWN = 3
"""Number of tables that are named for each reason; ``expectations.toml`` names all of them."""


def create_warehouse(  # noqa: PLR0913 -- one parameter an option of the command line
    folder: Path,
    *,
    pairs: Sequence[Pair],
    rows: int,
    tables: int | None,
    seed: int,
    rates: Path | None,
    progress: Progress,
    invert: bool = False,
    quirks: bool | None = None,
    known_gaps: bool = False,
) -> WarehouseRecord:
    """Fill ``folder`` with the feature and targets tables of ``pairs``, computed from ``rows`` bars per pair.

    Returns the content of ``warehouse.json``. With ``rates`` nothing is simulated, and tables of instruments that the
    file lacks are left out. ``quirks`` gives tables the oddities of real ones (None: only without ``rates``). With
    ``known_gaps`` tables lack what the users' own are known to lack, and are judged by the packaged expectations.

    Nothing is done if the same warehouse exists and was not damaged since; an interrupted one is made from the start.
    Bars that were appended to it stay, also where it is made again because it was damaged.
    While another process makes a warehouse in the folder, this waits, and then takes that one if it is the same.
    A table's bytes depend on ``rows``, ``seed`` and ``rates``, not on the other pairs or the number of processors.
    **Cost**: about 20 s for the 667 tables of one pair at 6,000 rows on two processors, 0.5 GB.

    Raises:
        BadSetting: the folder holds other things, or a warehouse with other parameters; a pair cannot be derived.
        TableDefect, UnknownPair: the rates are wrong.
    """
    wanted = tuple(pair for pair in ALL_PAIRS if pair in pairs)
    spec = WarehouseSpec(
        pairs=tuple(pair.name for pair in wanted),
        rows=rows,
        tables=tables,
        seed=seed,
        rates=rates_digest(rates) if rates else None,
        invert=invert,
        quirks=rates is None if quirks is None else quirks,
        known_gaps=known_gaps,
    )
    existing = _same(folder, spec)
    if existing is not None and not existing.spoiled:
        return existing
    _refuse_unusable_rates(MarketSource(spec, rates), wanted)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder, progress):
        existing = _same(folder, spec)
        if existing is not None and not existing.spoiled:
            return existing  # by the process that was waited for
        done = WarehouseRecord(made=spec)
        if existing is not None:
            progress.warn(STAGE, f"{folder} was spoiled ({'; '.join(existing.spoiled)}): it is made again")
            done = WarehouseRecord(made=spec, appended=existing.appended)
        begin(folder)
        done = make_tables(folder, done, rates, progress)
        finish(folder, done)
        LocalWarehouse(folder).keep_months()
    return done


def make_tables(folder: Path, wanted: WarehouseRecord, rates: Path | None, progress: Progress) -> WarehouseRecord:
    """Write all tables and their expectations into ``folder``; return the record with what is to be said of them.

    The files have reached the disk when this returns; the record itself is not written.
    """
    spec = wanted.present
    source, pairs = MarketSource(spec, rates), [parse_pair(name) for name in spec.pairs]
    market = source.load()
    chosen = select(market, pairs, spec.tables)
    selection = without_absent(chosen) if spec.known_gaps else chosen
    progress.start(STAGE, len(pairs) + len(selection.made))
    _make_targets(folder, spec, market, selection, progress)
    found: list[OnSpine] = []
    for table in make_batches(folder, source, batches_of(selection), pairs):
        progress.advance(STAGE, table[0].table)
        found += table
    write_atomic(folder / EXPECTATIONS_FILE, own_expectations(spec, pairs, market, selection, found).encode())
    _settle(folder)
    said = (*market.said, *_left_out(selection))
    return wanted.model_copy(update={"said": said, "doubts": market.doubts})


def _same(folder: Path, spec: WarehouseSpec) -> WarehouseRecord | None:
    """Return the existing warehouse if it is the wanted one, None if none is finished; refuse to overwrite another."""
    if not folder.exists() or is_unfinished(folder):
        return None
    existing = load_record(folder)
    if existing is None:
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise BadSetting(
                str(folder),
                got="a folder that holds other things",
                expected="a new or empty folder",
                cure="Name another folder.",
            )
        return None
    if existing.made != spec:
        differences = [
            name for name in WarehouseSpec.model_fields if getattr(existing.made, name) != getattr(spec, name)
        ]
        raise BadSetting(
            str(folder),
            got=f"a warehouse made with {', '.join(f'{name} {getattr(existing.made, name)}' for name in differences)}",
            expected=", ".join(f"{name} {getattr(spec, name)}" for name in differences),
            cure=f"Name another folder, or remove this one: rm -r {shlex.quote(str(folder))}",
        )
    return existing


def _left_out(selection: Selection) -> Iterator[str]:
    """Yield a sentence for each reason why tables cannot be computed, with their number."""
    reasons: dict[str, tuple[list[str], set[str]]] = {}
    for table, lack in selection.absent.items():
        if lack.asked:
            tables, names = reasons.setdefault(lack.what, ([], set()))
            tables.append(table)
            names.update(lack.names)
    for what, (tables, names) in reasons.items():
        yield f"left out: {len(tables)} tables ({some_of(tables, _SHOWN)}): {what} {', '.join(sorted(names))}".rstrip()


def _refuse_unusable_rates(source: MarketSource, pairs: Sequence[Pair]) -> None:
    market = source.load()
    _refuse_lacking(pairs, market, source.rates)
    _refuse_short(pairs, market, whole=not source.spec.quirks)


def _refuse_lacking(pairs: Sequence[Pair], market: Market, rates: Path | None) -> None:
    lacking = {pair.name: market.missing[pair.name] for pair in pairs if pair.name in market.missing}
    if lacking:
        raise BadSetting(
            f"--pairs {','.join(lacking)}",
            got="; ".join(f"{name}: {reason}" for name, reason in lacking.items()),
            expected=f"pairs that {rates} contains or allows to derive",
            cure=f"Choose among: {', '.join(market.pairs)}",
        )


def _refuse_short(pairs: Sequence[Pair], market: Market, *, whole: bool) -> None:
    """Refuse histories that are too short to compare any target with the later value that it must equal."""
    least = least_bars(load_expectations(), whole=whole)
    short = {pair.name: market.pairs[pair.name].rows for pair in pairs if market.pairs[pair.name].rows < least}
    if short:
        raise BadSetting(
            f"--pairs {','.join(short)}",
            got=", ".join(f"{rows} bars of {name}" for name, rows in short.items()),
            expected=f"at least {least}: the checks compare a target with the BQX of a later row",
            cure=f"Ask for more rows (--rows {least}, ROWS={least} for make run), or give longer rates.",
        )


def _make_targets(folder: Path, spec: WarehouseSpec, market: Market, selection: Selection, progress: Progress) -> None:
    facts, parts = load_expectations(), list[pl.DataFrame]()
    for pair in map(parse_pair, spec.pairs):
        bars = market.pairs[pair.name]
        frame = targets_frame(bars, pair, facts.windows, facts.horizons, whole=not spec.quirks)
        write_table(table_path(folder, TARGETS_DATASET, targets_table(pair)), frame)
        progress.advance(STAGE, targets_table(pair))
        parts.append(stray_targets(frame))
    features = [table for _, table in selection.made.values()]
    for (dataset, name), frame in stray_tables(features, parts).items():
        write_table(table_path(folder, dataset, name), frame)


def _settle(folder: Path) -> None:
    """Write all tables through to the disk, before a mark says that they are complete."""
    for dataset in DATASETS:
        for path in table_paths(folder, dataset):
            sync_file(path)
        sync_file(folder / dataset)


@contextmanager
def exclusive(root: Path, progress: Progress) -> Generator[None]:
    """Hold the folder's lock while a warehouse is made in it; say so if it must be waited for."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(root, busy="being made by another process"))
        except FolderBusy:
            progress.warn(STAGE, f"another process is making {root}: this one waits until that has ended")
            stack.enter_context(locked(root))
        yield


def begin(root: Path) -> None:
    """Mark the folder as unfinished and remove the tables of an earlier warehouse; files of others stay."""
    write_atomic(root / UNFINISHED_FILE, b"bqx warehouse create was interrupted\n")
    for name in (RECORD_FILE, EXPECTATIONS_FILE, APPENDING_FILE, MONTHS_FILE):
        (root / name).unlink(missing_ok=True)
    remove_partials(root)
    for dataset in DATASETS:
        (root / dataset).mkdir(exist_ok=True)
        remove_partials(root / dataset)
        for path in (path for path in entries(root / dataset) if _is_makeable(path.name)):
            path.unlink()


def finish(root: Path, record: WarehouseRecord) -> None:
    """Save the folder's record, then remove the mark that it is unfinished."""
    record.save(root / RECORD_FILE)
    (root / UNFINISHED_FILE).unlink()


def _is_makeable(name: str) -> bool:
    """Return whether ``create_warehouse`` or a fault may give a file this name."""
    table = name.removesuffix(".parquet")
    return is_table_name(name) and (
        table.startswith(("targets_", "mkt_")) or any(family_of(table, pair) for pair in ALL_PAIRS)
    )
