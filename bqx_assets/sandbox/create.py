"""Making an embedded warehouse: a market, its tables, and what this warehouse is expected to hold.

Belongs here: the order of the work and when it need not be done. Does not: any table's rows (``batches``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.files import sync_file, sync_folder, write_atomic
from bqx_assets.base.pairs import ALL_PAIRS, Pair, parse_pair
from bqx_assets.base.progress import Progress
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import TARGETS_DATASET, targets_table
from bqx_assets.extract.embedded_layout import (
    DATASETS,
    EXPECTATIONS_FILE,
    Folder,
    Made,
    begin,
    exclusive,
    finish,
    is_unfinished,
    load_folder,
    table_path,
    table_paths,
)
from bqx_assets.sandbox.batches import MarketSource, batches_of, make_batches
from bqx_assets.sandbox.extras import stray_tables
from bqx_assets.sandbox.known_gaps import without_absent
from bqx_assets.sandbox.market import Market
from bqx_assets.sandbox.own_expectations import OnSpine, own_expectations
from bqx_assets.sandbox.rates import rates_digest
from bqx_assets.sandbox.selection import NOT_ASKED_FOR, Selection, select
from bqx_assets.sandbox.table_files import write_table
from bqx_assets.sandbox.targets import targets_frame

STAGE = "warehouse"
_LACKING = re.compile("^(no rate with|no bars of instrument) ")
_SHOWN = 3
"""Tables of one reason that are named; ``expectations.toml`` names all of them."""


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
) -> Folder:
    """Fill ``folder`` with the feature and targets tables of ``pairs``, computed from ``rows`` bars a pair.

    With ``rates`` nothing is simulated: tables of instruments that the file does not have are left out, and ``quirks``
    (None: as real tables have them, without ``rates`` only) are not put in. With ``known_gaps`` tables lack what the
    users' own are known to lack, and the packaged expectations hold for them: see ``own_expectations``. Returns what
    the folder says of itself.
    Does nothing where the same was made before and not spoiled since; begins again where the making was interrupted.
    A table's bytes follow from ``rows``, ``seed`` and ``rates``, not from the other pairs or the number of processors.
    **Cost**: about 20 s for the 667 tables of one pair at 6,000 rows on two processors, 0.5 GB.

    Raises:
        BadSetting: the folder holds something else, or a warehouse of other parameters; a pair cannot be derived.
        FolderBusy: another making of the same folder is at work.
        TableDefect, UnknownPair: the rates cannot be trusted.
    """
    wanted = tuple(pair for pair in ALL_PAIRS if pair in pairs)
    made = Made(
        pairs=tuple(pair.name for pair in wanted),
        rows=rows,
        tables=tables,
        seed=seed,
        rates=rates_digest(rates) if rates else None,
        invert=invert,
        quirks=rates is None if quirks is None else quirks,
        known_gaps=known_gaps,
    )
    there = _unchanged(folder, made, progress)
    if there is not None:
        return there
    only = wanted[0].name if len(wanted) == 1 else None
    source = MarketSource(rows, seed, rates, made.rates, only, made.invert, made.quirks, made.known_gaps)
    market = source.load()
    _refuse_lacking(wanted, market, rates)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        chosen = select(market, wanted, tables)
        selection = without_absent(chosen) if made.known_gaps else chosen
        begin(folder)
        progress.start(STAGE, len(wanted) + len(selection.made))
        _make_targets(folder, made, market, selection, progress)
        found: list[OnSpine] = []
        for table in make_batches(folder, source, batches_of(selection), wanted):
            progress.advance(STAGE, table[0].table)
            found += table
        write_atomic(folder / EXPECTATIONS_FILE, own_expectations(made, wanted, market, selection, found).encode())
        _settle(folder)
        done = Folder(made=made, said=(*market.said, *_left_out(selection)), doubts=market.doubts)
        finish(folder, done)
    return done


def _unchanged(folder: Path, made: Made, progress: Progress) -> Folder | None:
    """What is there already if it is what is asked for; refuses what must not be overwritten."""
    if not folder.exists() or is_unfinished(folder):
        return None
    there = load_folder(folder)
    if there is None:
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise BadSetting(
                str(folder),
                got="a folder with other things in it",
                expected="a new or empty folder",
                cure="Name another folder.",
            )
        return None
    if there.made != made:
        differences = [name for name in Made.model_fields if getattr(there.made, name) != getattr(made, name)]
        raise BadSetting(
            str(folder),
            got=f"a warehouse made with {', '.join(f'{name} {getattr(there.made, name)}' for name in differences)}",
            expected=", ".join(f"{name} {getattr(made, name)}" for name in differences),
            cure=f"Name another folder, or remove this one: rm -r {folder}",
        )
    if there.spoiled:
        progress.warn(STAGE, f"{folder} was spoiled ({'; '.join(there.spoiled)}): made anew")
    return None if there.spoiled else there


def _left_out(selection: Selection) -> Iterator[str]:
    """How many tables cannot be computed, by what is lacking for them."""
    reasons: dict[str, tuple[list[str], set[str]]] = {}
    for table, reason in selection.absent.items():
        if not reason.startswith(NOT_ASKED_FOR):
            why, _, lacking = _LACKING.sub(r"\1:", reason.rpartition(": ")[2]).partition(":")
            tables, words = reasons.setdefault(why, ([], set()))
            tables.append(table)
            words.update(lacking.split(" or "))
    for why, (tables, words) in reasons.items():
        names = f"{', '.join(tables[:_SHOWN])}{', ...' if len(tables) > _SHOWN else ''}"
        yield f"left out: {len(tables)} tables ({names}): {why} {', '.join(sorted(words))}".rstrip()


def _refuse_lacking(pairs: Sequence[Pair], market: Market, rates: Path | None) -> None:
    lacking = {pair.name: market.missing[pair.name] for pair in pairs if pair.name in market.missing}
    if lacking:
        raise BadSetting(
            f"--pairs {','.join(lacking)}",
            got="; ".join(f"{name}: {reason}" for name, reason in lacking.items()),
            expected=f"pairs that {rates} holds or allows to derive",
            cure=f"Choose among: {', '.join(market.pairs)}",
        )
    facts = load_expectations()
    least = min(facts.windows) + min(facts.horizons) + 1
    short = {pair.name: market.pairs[pair.name].rows for pair in pairs if market.pairs[pair.name].rows < least}
    if short:
        raise BadSetting(
            f"--pairs {','.join(short)}",
            got=", ".join(f"{rows} bars of {name}" for name, rows in short.items()),
            expected=f"at least {least}: the shortest window and horizon",
            cure="Give more rows, or rates with more common times.",
        )


def _make_targets(folder: Path, made: Made, market: Market, selection: Selection, progress: Progress) -> None:
    facts, pairs = load_expectations(), [parse_pair(name) for name in made.pairs]
    frames = [
        targets_frame(market.pairs[pair.name], pair, facts.windows, facts.horizons, whole=not made.quirks)
        for pair in pairs
    ]
    for pair, frame in zip(pairs, frames, strict=True):
        write_table(table_path(folder, TARGETS_DATASET, targets_table(pair)), frame)
        progress.advance(STAGE, targets_table(pair))
    features = [table for _, table in selection.made.values()]
    for (dataset, name), frame in stray_tables(features, frames).items():
        write_table(table_path(folder, dataset, name), frame)


def _settle(folder: Path) -> None:
    """Bring every table to the disk before the folder is called finished."""
    for dataset in DATASETS:
        for path in table_paths(folder, dataset):
            sync_file(path)
        sync_folder(folder / dataset)
