"""Appends bars to an embedded warehouse's own market, as days pass in a real one.

All tables are computed anew beside the present ones, from the beginning: windows and sums carry what went before, and
only the same steps round in the same way. What the tables already held is the same afterwards, to the last bit.
"""

from __future__ import annotations

import filecmp
import shlex
import shutil
from pathlib import Path

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.files import remove_partials, scratch_name, sync_file
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Progress
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE
from bqx_assets.catalogue.families import PAIR_COLUMN, TARGETS_DATASET, targets_table
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import (
    APPENDING_FILE,
    DATASETS,
    RECORD_FILE,
    UNFINISHED_FILE,
    Appending,
    WarehouseRecord,
    load_appending,
    load_record,
    refuse_unusable,
    table_path,
    table_paths,
)
from bqx_assets.sandbox.batches import MarketSource
from bqx_assets.sandbox.create import exclusive, make_tables
from bqx_assets.sandbox.features.pair_tables import targets_frame
from bqx_assets.sandbox.features.source import BASE_WINDOW
from bqx_assets.sandbox.market.bars import Market


def advance_warehouse(folder: Path, *, bars: int, progress: Progress) -> WarehouseRecord:
    """Append ``bars`` bars to each pair of the warehouse in ``folder``; return its record.

    The tables are those that ``create_warehouse`` makes of as many rows. Earlier rows stay as they are, but for columns
    that look into the future: targets that were unknown become known. Until all new tables are complete the present
    ones can be read; then they are replaced. If that was interrupted, the same call ends it.

    **Cost**: that of making the longer warehouse, and as much space on the disk as it takes.

    Raises:
        TableMissing, TableUnreadable: there is no warehouse, or its creation was interrupted.
        BadSetting: it was spoiled, made from rates, by another version, or not by ``bqx warehouse create``.
    """
    if bars < 1:
        raise BadSetting("--bars", got=str(bars), expected="a number from 1", cure="For example --bars 1440, a day.")
    _appendable(folder)
    with exclusive(folder, progress):
        record = _appendable(folder)
        begun = load_appending(folder)
        if begun is not None and begun.rows == record.present.rows:  # only the mark was left
            (folder / APPENDING_FILE).unlink()
            return record
        wanted = record.model_copy(update={"appended": (*record.appended, bars)})
        _refuse_other_bars(folder, MarketSource(wanted.present, None).load(), record)
        remove_partials(folder)
        staged = folder / scratch_name()
        try:
            for dataset in DATASETS:
                (staged / dataset).mkdir(parents=True)
            done = make_tables(staged, wanted, None, progress)
            Appending(bars=bars, rows=done.present.rows).save(folder / APPENDING_FILE)
            _replace(staged, folder)
            done.save(folder / RECORD_FILE)
            (folder / APPENDING_FILE).unlink()
            LocalWarehouse(folder).keep_months()
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return done


def _appendable(folder: Path) -> WarehouseRecord:
    """Return the record of a warehouse whose later bars are known."""
    record = None if (folder / UNFINISHED_FILE).exists() else load_record(folder)
    if record is None:
        refuse_unusable(folder)
        raise BadSetting(
            str(folder),
            got="tables that bqx warehouse create did not make",
            expected="a simulated market, whose later bars can be computed",
            cure="Append rows to your own tables as you made them; bqx plan shows what a run will read.",
        )
    if record.made.rates is not None:
        raise BadSetting(
            str(folder),
            got="a warehouse made from a file of rates",
            expected="a simulated market, whose later bars can be computed",
            cure=f"Make another one from a longer file: bqx warehouse create NEW --pairs {_pairs(record)} --rates FILE",
        )
    if record.spoiled:
        raise BadSetting(
            str(folder),
            got=f"a spoiled warehouse ({'; '.join(record.spoiled)})",
            expected="tables as they were made: new ones would not have the fault",
            cure=f"Make it again first: {_making(folder, record)}",
        )
    return record


def _refuse_other_bars(folder: Path, market: Market, record: WarehouseRecord) -> None:
    """Refuse where the simulated market does not begin with the present one, as that of an earlier version does not."""
    for pair in map(parse_pair, record.made.pairs):
        again = targets_frame(market.pairs[pair.name], pair, (BASE_WINDOW,), (), whole=not record.made.quirks)
        path = table_path(folder, TARGETS_DATASET, targets_table(pair))
        present = read_parquet(path, [KEY, PAIR_COLUMN, f"bqx_{BASE_WINDOW}"]) if path.is_file() else again.clear()
        rows = min(present.height, again.height)
        if not again.head(rows).equals(present.head(rows)):
            raise BadSetting(
                str(folder),
                got=f"bars of {pair} that this version does not simulate",
                expected=f"the bars of seed {record.made.seed}, which new ones can continue",
                cure=f"Remove the folder (rm -r {shlex.quote(str(folder))}) and make it again: "
                f"{_making(folder, record)}",
            )


def _replace(staged: Path, folder: Path) -> None:
    """Move the tables and expectations into their places; a table whose content is the same stays as it is."""
    for dataset in DATASETS:
        for new in table_paths(staged, dataset):
            old = folder / dataset / new.name
            if not old.is_file() or not filecmp.cmp(new, old, shallow=False):
                new.replace(old)
        sync_file(folder / dataset)
    (staged / EXPECTATIONS_FILE).replace(folder / EXPECTATIONS_FILE)


def _making(folder: Path, record: WarehouseRecord) -> str:
    made = record.made
    tables = [] if made.tables is None else ["--tables", str(made.tables)]
    flags = ["--no-quirks"] * (not made.quirks) + ["--known-gaps"] * made.known_gaps
    words = ["--pairs", _pairs(record), "--rows", str(made.rows), *tables, "--seed", str(made.seed), *flags]
    return " ".join(("bqx warehouse create", shlex.quote(str(folder)), *words))


def _pairs(record: WarehouseRecord) -> str:
    return ",".join(record.made.pairs)
