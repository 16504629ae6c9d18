"""Computes and writes the tables of an embedded warehouse in batches, in several processes at once."""

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

from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.process import memory_free_bytes, worker_count
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, ExpectedTable, expected_tables
from bqx_assets.extract.embedded_layout import WarehouseSpec, table_path
from bqx_assets.sandbox.features.pair_tables import compute_pair_tables
from bqx_assets.sandbox.features.shared_tables import compute_shared_tables
from bqx_assets.sandbox.market.bars import Market
from bqx_assets.sandbox.market.rates import load_market
from bqx_assets.sandbox.market.simulate import simulate
from bqx_assets.sandbox.own_expectations import OnSpine, on_spine, readers, spine_keys
from bqx_assets.sandbox.quirks import SEVERAL_PAIRS, as_stored, with_known_gaps, with_other_pair
from bqx_assets.sandbox.selection import Selection
from bqx_assets.sandbox.table_files import write_table

_FEW_CELLS = 8_000_000
"""Below this number of cells the work takes no longer than starting two processes."""


_TABLE_COPIES = 2
_PROCESS_BYTES = 1 << 30
"""The memory of a process: 1.7 times the widest table, and libraries, a few pairs' bars and what allocators keep. So
2.16 million rows x 118 columns took 6 GB; at 6,000 rows it is 0.2 GB."""


@dataclass(frozen=True, slots=True)
class MarketSource:
    """The parameters of the market, which are cheaper to pass to another process than the market itself."""

    spec: WarehouseSpec
    """Holds the digest of the rates: other content of the file is another market."""
    rates: Path | None

    def load(self) -> Market:
        """Return the market; a second call in the same process is free. Raises the errors of ``load_market``."""
        return _market(self)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tables of one kind, which share intermediate results."""

    owner: Pair | None
    tables: tuple[ExpectedTable, ...]

    @property
    def columns(self) -> int:
        """Number of columns, to which the work is proportional."""
        return sum(len(table.columns) for table in self.tables)


def batches_of(selection: Selection) -> list[Batch]:
    """Return the tables to make, grouped by owner and kind; the widest batch is first, so that workers end together."""
    groups: dict[tuple[str, str], tuple[Pair | None, list[ExpectedTable]]] = {}
    for owner, table in selection.made.values():
        groups.setdefault((str(owner), table.kind), (owner, []))[1].append(table)
    return sorted((Batch(owner, tuple(tables)) for owner, tables in groups.values()), key=lambda batch: -batch.columns)


def make_batches(
    root: Path, source: MarketSource, batches: Sequence[Batch], pairs: Sequence[Pair]
) -> Iterator[list[OnSpine]]:
    """Compute and write the batches; yield for each table what it holds on the spines of the pairs that read it.

    **Cost**: one table of a batch is in memory at a time, in each of as many processes as there are processors, or
    fewer where memory is short.
    """
    widest_bytes = (
        8 * source.spec.rows * max((len(table.columns) for batch in batches for table in batch.tables), default=0)
    )
    room = memory_free_bytes() // (_TABLE_COPIES * widest_bytes + _PROCESS_BYTES)
    workers = min(worker_count(), len(batches), room)
    if workers < 2 or sum(batch.columns for batch in batches) * source.spec.rows < _FEW_CELLS:  # noqa: PLR2004 -- one is no pool
        for batch in batches:
            yield from make_batch(root, source, batch, pairs)
        return
    # spawn, because Polars' threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_be_a_worker)
    try:
        for done in as_completed([pool.submit(make_batch, root, source, batch, pairs) for batch in batches]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def make_batch(root: Path, source: MarketSource, batch: Batch, pairs: Sequence[Pair]) -> list[list[OnSpine]]:
    """Compute and write one batch; return for each table what it holds on the spines of the ``pairs`` that read it."""
    market, facts = source.load(), load_expectations()
    made: list[list[OnSpine]] = []
    if batch.owner is None:
        found = compute_shared_tables(market, batch.tables)
    else:
        found = compute_pair_tables(market, batch.owner, batch.tables)
    for table, frame in found:
        known = with_known_gaps(frame, table, source.spec.seed) if source.spec.known_gaps else frame
        stored = as_stored(known, table, batch.owner, source.spec.seed, quirks=source.spec.quirks)
        del frame, known  # a wide table is not held twice
        for_readers = ((pair, market.pairs[pair.name]) for pair in readers(table, pairs))
        spines = ((pair, spine_keys(bars, facts, whole=not source.spec.quirks)) for pair, bars in for_readers)
        made.append([on_spine(stored, table, pair, spine) for pair, spine in spines])
        if source.spec.quirks and batch.owner is not None and table.kind in SEVERAL_PAIRS:
            stored = _with_neighbours_rows(stored, market, batch.owner, table, source.spec.seed)
        write_table(table_path(root, FEATURES_DATASET, table.table), stored)
    return made


@lru_cache(maxsize=1)
def _market(source: MarketSource) -> Market:
    spec = source.spec
    if source.rates is None:
        return simulate(spec.rows, spec.seed)
    only = spec.pairs[0] if len(spec.pairs) == 1 else None
    return load_market(source.rates, spec.rows, only=only, invert=spec.invert)


def _with_neighbours_rows(
    own: pl.DataFrame, market: Market, pair: Pair, table: ExpectedTable, seed: int
) -> pl.DataFrame:
    """Return the pair's own rows with those of the next pair in market order that has bars, if there is one."""
    place = ALL_PAIRS.index(pair)
    others = [each for each in (*ALL_PAIRS[place + 1 :], *ALL_PAIRS[:place]) if each.name in market.pairs]
    if not others:
        return own
    wanted = [each for each in expected_tables(others[0]) if each.kind == table.kind]
    each, frame = next(compute_pair_tables(market, others[0], wanted))
    return with_other_pair(own, as_stored(frame, each, others[0], seed))


def _be_a_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and end with the parent: workers of a killed one would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="parent-watch", daemon=True).start()
