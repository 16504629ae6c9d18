"""Makes a slab of a feature table's raw checkpoint.

Its bytes are copied if its rows are the spine's; else its columns are aligned and encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord
from bqx_assets.base.checksums import Sums, sums_of_files
from bqx_assets.base.names import KEY, output_column, table_prefix
from bqx_assets.base.pairs import Pair
from bqx_assets.base.process import return_freed_memory
from bqx_assets.catalogue.discovery import FORWARD_PREFIX
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import PAIR_COLUMN, family_of
from bqx_assets.extract.align import RowMatch, as_key, match_rows, refuse_empty
from bqx_assets.extract.encodings import Encoding
from bqx_assets.merge.footer import select, trim
from bqx_assets.merge.pages import Page, newer_than_2015, refuse_false_statistics, unordered_texts
from bqx_assets.merge.plan import Encoded, Prepared, Work
from bqx_assets.merge.raw_encode import digests, encode, record_of, stored
from bqx_assets.merge.raw_part import PLACE_BYTES, RawPart, provenance_of


@dataclass(frozen=True)
class RawTable(RawPart):
    """A feature table's file as a part of a merge. Implements ``Part``."""

    @property
    def column_count(self) -> int:
        """The number of its features, including those that may turn out to look forward."""
        return len(self.columns)

    @property
    def memory_bytes(self) -> int:
        """The memory for the columns that are worked on at once, or for finding the positions of its rows if larger."""
        return max(self.strip_memory_bytes(self.columns), PLACE_BYTES * self.file.footer.rows)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The features under their output names, without those whose name looks forward; types are the file's.

        Raises:
            SchemaDrift, BadSetting: a column has another type, or a name that BigQuery does not accept.
        """
        prefix, types = table_prefix(self.table, self.file.pair), self.file.types
        kept = [name for name in types if name not in (KEY, PAIR_COLUMN) and not self._looks_forward(name)]
        named = [(output_column(prefix, name, owner=self.file.subject), name) for name in kept]
        self.file.refuse_types(kept)
        return tuple(Column(name=name, source=source, type=types[source]) for name, source in named)

    def _looks_forward(self, name: str) -> bool:
        return name.lower().startswith(FORWARD_PREFIX) and not self.settings.include_forward_looking

    def begin(self, period: int, scratch: Path, earlier: SlabRecord | None) -> Work:  # noqa: ARG002 -- one period
        """Return the work on the table: a step for each strip of its columns, of which it has some ``copies``.

        A step raises:
            TableDefect: keys are null or repeated, or no row is in the spine.
            FooterError: the file is damaged.
        """
        work = _TableWork(self, scratch, earlier)
        return Work([partial(work.step, columns) for columns in self.strips_of(self.columns)], work.finish)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the features on the spine's rows."""
        placed = self.place()
        strips = [self.strip(columns, placed) for columns in self.strips_of(self.columns)]
        whole = pl.concat([frame for frame, _ in strips], how="horizontal")
        provenance = self.provenance(placed.rows, {name: why for _, found in strips for name, why in found.items()})
        rows = stored(whole, provenance.columns)
        return rows, record_of(self.file.source.sums(), provenance, digests(rows, self.spine.periods), {}, "")

    def place(self) -> RowMatch:
        """Return where in the file the spine's rows are. Raises TableDefect, FooterError."""
        key, keys, subject = as_key(self.file.rows([KEY]), self.file.subject), self.spine.keys, self.file.subject
        placed = match_rows(key, keys, subject=subject, policy=self.settings.duplicates, part=True)
        if not placed.rows.matched:
            stated = load_expectations(self.settings.expectations)  # only in this case: reading them may be a request
            if not stated.may_be_empty(self.file.pair, (column.name for column in self.columns)):
                refuse_empty(placed.rows, keys, subject, key)
        return placed

    def lies_as_the_spine(self) -> bool:
        """Return whether its row groups, types and encodings may be those of the training file, by its footer."""
        footer = self.file.footer
        if footer.row_groups != self.spine.facts.row_groups:
            return False
        narrowed = select(footer, {column.source: column.name for column in self.columns})
        if self.settings.encoding == "compatible" and newer_than_2015(narrowed):
            return False
        return narrowed.types == tuple(column.type for column in self.columns)

    def usable_pages(self) -> dict[str, list[Page]] | None:
        """Return the file's pages if they may be copied into the training file as they are, else None."""
        pages = self.file.pages([column.source for column in self.columns])
        return None if unordered_texts(self.file.footer, pages) else pages

    def strip(self, columns: Sequence[Column], placed: RowMatch) -> tuple[pl.DataFrame, dict[str, str]]:
        """Return the columns on the spine's rows, and for those that look forward the reason."""
        frame = placed.apply(self.file.rows([column.source for column in columns]))
        return frame, {} if self.settings.include_forward_looking else self.spine.forward.find_all(frame)

    def provenance(self, rows: RowAccount, looking: Mapping[str, str]) -> SlabProvenance:
        """Return the provenance of the slab, which lacks the columns that look forward."""
        named = {name: "its name looks forward" for name in self.file.types if self._looks_forward(name)}
        reasons = named | dict(looking)
        return provenance_of(
            self.file.source,
            self.file.pair,
            self.spine.facts,
            role="feature",
            family=raw_family(self.table, self.file.pair),
            columns=tuple(column for column in self.columns if column.source not in looking),
            rows=rows,
            policy=self.settings.duplicates,
            # In the file's order: steps end in any order, and the same file must give the same record.
            quarantined=tuple(
                Quarantined(table=self.table, column=name, reason=reasons[name])
                for name in self.file.types
                if name in reasons
            ),
        )


class _TableWork:
    """The work on one table, whose steps share the places of its rows and the way in which it becomes a slab."""

    def __init__(self, table: RawTable, scratch: Path, earlier: SlabRecord | None) -> None:
        self._table, self._scratch, self._earlier = table, scratch, earlier
        self._lock = Lock()
        self._start: tuple[RawTable, RowMatch, dict[str, list[Page]] | None] | None = None
        self._looks_forward: dict[str, str] = {}
        self._content: dict[str, str] = {}
        self._chosen: dict[str, Encoding] = {}

    def step(self, columns: Sequence[Column]) -> Encoded | None:
        """Return ``columns`` aligned and encoded; None if they are copied as they lie, and only checked here."""
        table, placed, pages = self._started()
        frame, found = table.strip(columns, placed)
        kept = [column for column in columns if column.source not in found]
        rows = stored(frame, kept)
        self._looks_forward |= found
        self._content |= digests(rows, table.spine.periods)
        if pages is not None:
            refuse_false_statistics(table.file.footer, frame.select(column.source for column in kept), pages)
            return None
        if not kept:
            return None
        chosen = table.chosen(rows, self._earlier)
        self._chosen |= chosen
        return encode(rows, table.table, table.spine.facts, chosen)

    def finish(self, sums: Sums) -> Prepared:
        """Return the table as a slab: its encoded columns, or the columns of the file itself."""
        return_freed_memory()  # else the resident memory would rise with each table
        table, placed, pages = self._started()
        provenance = table.provenance(placed.rows, self._looks_forward)
        if pages is None or table.path is None:
            setting = table.settings.encoding
            record = record_of(sums, provenance, self._content, self._chosen, setting)
            return Prepared(record, record.pieces[0], note="aligned")
        narrowed = select(table.file.footer, {column.source: column.name for column in provenance.columns})
        # In most files the key comes first. Its 8 bytes a row are left out, because nobody would read them.
        footer, start = trim(narrowed)
        record = record_of(sums_of_files([(table.path, start)]), provenance, self._content, {}, "")
        lies = (((table.path, start), footer),)
        return Prepared(record, record.pieces[0], lies, note="as it lies", temporary=table.file.source.fetched)

    def _started(self) -> tuple[RawTable, RowMatch, dict[str, list[Page]] | None]:
        with self._lock:
            self._start = self._start or self._started_now()
            return self._start

    def _started_now(self) -> tuple[RawTable, RowMatch, dict[str, list[Page]] | None]:
        """Return the table, the places of its rows, and its pages if they are copied as they lie."""
        table, placed = self._table, self._table.place()
        if placed.index is not None or not table.lies_as_the_spine():
            return table, placed, None
        if table.path is None:
            # The object's bytes are copied unchanged, so they are fetched once, into a temporary file.
            table = replace(table, file=replace(table.file, source=table.file.source.fetch(self._scratch)))
        pages = table.usable_pages()
        if pages is None and table.file.source.fetched and table.path is not None:
            table.path.unlink()
            table = self._table
        return table, placed, pages


def raw_family(table: str, pair: Pair) -> str:
    """Return the family of a file's table; "other" if no family's rule selects its name."""
    return family_of(table, pair) or "other"
