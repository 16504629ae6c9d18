"""Makes the spine and the targets' slab of a raw checkpoint of targets, without all its columns in memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import Column, RowAccount, SlabProvenance, SlabRecord
from bqx_assets.base.checksums import Sums
from bqx_assets.base.content import periods_of
from bqx_assets.base.errors import SchemaDrift
from bqx_assets.base.names import KEY
from bqx_assets.base.printable import some_of
from bqx_assets.base.process import return_freed_memory
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import RowMatch, as_key, match_rows
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.lookahead import LookaheadDetector
from bqx_assets.extract.spine import describe_spine, equal_groups, latest_rows, spine_columns, spine_rows
from bqx_assets.merge.plan import Encoded, Prepared, Work, check_memory
from bqx_assets.merge.raw_encode import digests, encode, record_of, stored
from bqx_assets.merge.raw_file import NUMBERS, RawFile
from bqx_assets.merge.raw_part import PLACE_BYTES, RawPart, RawSpine, copies, provenance_of

_DETECTOR_BYTES = 120
"""Memory of a row of the spine for the detector of look-ahead."""
_NAMED = 5


def read_targets(file: RawFile, settings: Settings, expectations: Expectations) -> RawTargets:
    """Return the targets as a part of a merge, with the spine of all its parts.

    The spine has the rows whose shortest target is known: one per key, in ascending order, within the settings' bounds.
    **Cost**: key and shortest target in memory, then the targets of one window after another, and 130 bytes a row of
    the spine that stay: keys, positions and detector.

    Raises:
        SchemaDrift, InexactValue, FooterError: the file is not what a merge needs.
        NullKeys, DuplicateKeys, EmptyTable: it gives no spine.
        NotEnoughMemory: it does not fit.
    """
    columns = spine_columns(expectations)
    _refuse_absent(file, [column.source for column in columns])
    file.refuse_types(expectations.targets(), NUMBERS)
    check_memory(_memory_bytes(file, expectations), file.subject)
    shortest = expectations.shortest_target()
    read = file.rows((KEY, shortest), floats=True)
    key = as_key(read, file.subject)
    if (last := settings.last_span) is not None:
        read = latest_rows(read, shortest, last, file.subject, settings.duplicates)
    within = [pl.col(KEY) >= settings.start] if settings.start else []
    within += [pl.col(KEY) <= settings.end] if settings.end else []
    frame, rows = spine_rows(read, shortest, file.subject, settings.duplicates, *within)
    keys = frame.get_column(KEY)
    placed = match_rows(key, keys, subject=file.subject, policy=settings.duplicates)
    del read, key, frame
    facts = describe_spine(keys, equal_groups(keys.len(), settings.row_group_rows))
    forward = LookaheadDetector(_windows(file, placed, expectations), expectations.horizons)
    return_freed_memory()
    return RawTargets(file, RawSpine(facts, keys, forward, periods_of(keys)), settings, tuple(columns), rows, placed)


def _refuse_absent(file: RawFile, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in file.types]
    if absent:
        raise SchemaDrift(
            file.subject,
            got=f"{len(absent)} columns absent: {some_of(absent, _NAMED)}",
            expected=f"{KEY} and {len(names) - 1} targets",
            cure="Fetch the targets again.",
        )


def _windows(file: RawFile, placed: RowMatch, expectations: Expectations) -> Iterator[tuple[int, pl.DataFrame]]:
    for window in expectations.windows:
        yield window, placed.apply(file.rows(expectations.window_targets(window), floats=True))


def _memory_bytes(file: RawFile, expectations: Expectations) -> int:
    """Return the memory for finding the spine's rows, and then for the windows' targets, one window's at a time."""
    windows = (expectations.window_targets(window) for window in expectations.windows)
    largest_bytes = max(sum(file.decoded_bytes[name] for name in names) for names in windows)
    return copies(file) * largest_bytes + (PLACE_BYTES + _DETECTOR_BYTES) * file.footer.rows


@dataclass(frozen=True)
class RawTargets(RawPart):
    """The targets file as a part of a merge: 50 columns, always encoded anew. Implements ``Part``."""

    columns: tuple[Column, ...]
    rows: RowAccount
    placed: RowMatch

    @property
    def column_count(self) -> int:
        """The number of its columns, key and targets."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """The memory for the columns that are worked on at once."""
        return self.strip_memory_bytes(self.columns)

    def begin(self, period: int, scratch: Path, earlier: SlabRecord | None) -> Work:  # noqa: ARG002 -- one period
        """Return the work on the rows of the file that are in the spine: steps as of ``RawTable``."""
        content: dict[str, str] = {}
        chosen: dict[str, Encoding] = {}

        def step(columns: Sequence[Column]) -> Encoded:
            rows = self._strip(columns)
            content.update(digests(rows, self.spine.periods))
            kinds = self.chosen(rows, earlier)
            chosen.update(kinds)
            return encode(rows, self.table, self.spine.facts, kinds)

        def finish(sums: Sums) -> Prepared:
            record = record_of(sums, self._provenance(), content, chosen, self.settings.encoding)
            return Prepared(record, record.pieces[0], note="aligned")

        return Work([partial(step, columns) for columns in self.strips_of(self.columns)], finish)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return key and targets on the spine's rows."""
        rows = self._strip(self.columns)
        return rows, record_of(self.file.source.sums(), self._provenance(), digests(rows, self.spine.periods), {}, "")

    def _strip(self, columns: Sequence[Column]) -> pl.DataFrame:
        """Return columns of the file on the spine's rows; the key is the spine's own."""
        names = [column.source for column in columns if column.source != KEY]
        found = self.placed.apply(self.file.rows(names, floats=True)).get_columns() if names else []
        return stored(pl.DataFrame([*([self.spine.keys] if len(names) < len(columns) else []), *found]), columns)

    def _provenance(self) -> SlabProvenance:
        return provenance_of(
            self.file.source,
            self.file.pair,
            self.spine.facts,
            role="spine",
            family="targets",
            columns=self.columns,
            rows=self.rows,
            policy=self.settings.duplicates,
        )
