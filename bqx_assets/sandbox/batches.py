"""Computing and writing a warehouse's tables, several processes at once.

Belongs here: which tables are made together, the workers, the Parquet files. Does not: values (``features``), quirks.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from bqx_assets.base.limits import worker_count
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, ExpectedTable, expected_tables
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.known_gaps import with_known_gaps
from bqx_assets.sandbox.market import Market
from bqx_assets.sandbox.own_expectations import OnSpine, on_spine, readers, spine_keys
from bqx_assets.sandbox.quirks import SEVERAL_PAIRS, as_stored, with_other_pair
from bqx_assets.sandbox.rates import load_market
from bqx_assets.sandbox.selection import Selection
from bqx_assets.sandbox.simulate import simulate
from bqx_assets.sandbox.table_files import write_table

_FEW_CELLS = 8_000_000
"""Below this the work takes about as long as starting two processes."""


@dataclass(frozen=True, slots=True)
class MarketSource:
    """What a market follows from: cheaper to hand to a process than the market itself."""

    rows: int
    seed: int
    rates: Path | None
    rates_digest: str | None
    """The file's content: a changed one is another market."""
    only: str | None = None
    """Whose rates they are where the file does not say it."""
    invert: bool = False
    quirks: bool = True
    known_gaps: bool = False

    def load(self) -> Market:
        """Return the market; a second call in the same process is free. Raises what ``load_market`` does."""
        return _market(self)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tables of one kind: they share intermediate results."""

    owner: Pair | None
    tables: tuple[ExpectedTable, ...]

    @property
    def columns(self) -> int:
        """What the work grows with."""
        return sum(len(table.columns) for table in self.tables)


def batches_of(selection: Selection) -> list[Batch]:
    """Return the tables to make by owner and kind, the widest batches first so that workers end together."""
    groups: dict[tuple[str, str], tuple[Pair | None, list[ExpectedTable]]] = {}
    for owner, table in selection.made.values():
        groups.setdefault((str(owner), table.kind), (owner, []))[1].append(table)
    return sorted((Batch(owner, tuple(tables)) for owner, tables in groups.values()), key=lambda batch: -batch.columns)


def make_batches(
    root: Path, source: MarketSource, batches: Sequence[Batch], pairs: Sequence[Pair]
) -> Iterator[list[OnSpine]]:
    """Compute and write the batches; yield what each table holds on its readers' spines when it is written.

    **Cost**: a batch's tables pass through memory one at a time, in each of as many processes as there are processors.
    """
    workers = min(worker_count(), len(batches))
    if workers < 2 or sum(batch.columns for batch in batches) * source.rows < _FEW_CELLS:  # noqa: PLR2004 -- one is no pool
        for batch in batches:
            yield from make_batch(root, source, batch, pairs)
        return
    # Polars' threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_be_a_worker)
    try:
        for done in as_completed([pool.submit(make_batch, root, source, batch, pairs) for batch in batches]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def make_batch(root: Path, source: MarketSource, batch: Batch, pairs: Sequence[Pair]) -> list[list[OnSpine]]:
    """Compute and write one batch; return what each table holds on the spines of those ``pairs`` that read it."""
    market, facts = source.load(), load_expectations()
    made: list[list[OnSpine]] = []
    if batch.owner is None:
        found = compute_shared_tables(market, batch.tables)
    else:
        found = compute_pair_tables(market, batch.owner, batch.tables)
    for table, frame in found:
        stored = as_stored(frame, table, batch.owner, source.seed, quirks=source.quirks)
        if source.known_gaps:
            stored = with_known_gaps(stored, table, source.seed)
        for_readers = ((pair, market.pairs[pair.name]) for pair in readers(table, pairs))
        spines = ((pair, spine_keys(bars, facts, whole=not source.quirks)) for pair, bars in for_readers)
        made.append([on_spine(stored, table, pair, spine) for pair, spine in spines])
        if source.quirks and batch.owner is not None and table.kind in SEVERAL_PAIRS:
            stored = _with_neighbours_rows(stored, market, batch.owner, table, source.seed)
        write_table(table_path(root, FEATURES_DATASET, table.table), stored)
    return made


@lru_cache(maxsize=1)
def _market(source: MarketSource) -> Market:
    if source.rates is None:
        return simulate(source.rows, source.seed)
    return load_market(source.rates, source.rows, only=source.only, invert=source.invert)


def _with_neighbours_rows(
    own: pl.DataFrame, market: Market, pair: Pair, table: ExpectedTable, seed: int
) -> pl.DataFrame:
    """The rows of the same kind of table of the next pair in market order beside the pair's own, if there is one."""
    place = ALL_PAIRS.index(pair)
    others = [each for each in (*ALL_PAIRS[place + 1 :], *ALL_PAIRS[:place]) if each.name in market.pairs]
    if not others:
        return own
    wanted = [each for each in expected_tables(others[0]) if each.kind == table.kind]
    each, frame = next(compute_pair_tables(market, others[0], wanted))
    return with_other_pair(own, as_stored(frame, each, others[0], seed))


def _be_a_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a killed parent's workers would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="parent-watch", daemon=True).start()
