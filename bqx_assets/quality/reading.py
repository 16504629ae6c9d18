"""The one pass over a training file: footer, checksums and values in the file's own order.

Belongs here: what is read when, and what damage does to the pass. Does not: what the facts mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.errors import FooterError
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.align import KEY_TYPE
from bqx_assets.merge.footer import Footer, read_footer
from bqx_assets.quality.columns import measure, stated_columns
from bqx_assets.quality.decode import GROUP_BYTES, ColumnReader, Unreadable, column_groups
from bqx_assets.quality.future import Future, bqx_column
from bqx_assets.quality.integrity import FileChecksum, end_crc32c, segments
from bqx_assets.quality.scan import Scan
from bqx_assets.quality.statistics import Stated, stated_chunks

STAGE = "validate"

Part = tuple[list[int], list[pl.DataFrame]]
"""Columns by position, and their values: one frame a row group."""


def read_file(
    file: Path, pair: Pair, expectations: Expectations, manifest: Manifest | None, *, deep: bool, progress: Progress
) -> Scan:
    """Return what one pass over the file gives; whatever is wrong with the file is a fact there, not an error.

    **Cost**: shallow, the footer. Deep, each byte is read for its checksum and then decoded, two groups of columns in
    memory; and about 40 columns of the file's length for the look into the future.
    """
    scan = Scan(file, pair, expectations, manifest, deep)
    progress.start(STAGE, 1)
    try:
        scan.size_bytes = file.stat().st_size if file.is_file() else None
        if scan.size_bytes is not None:
            _read(scan, progress)
    except FooterError as error:
        scan.unreadable.append(error.got)
    except OSError as error:
        scan.unreadable.append(str(error))
    progress.advance(STAGE, file.name)
    return scan


def _read(scan: Scan, progress: Progress) -> None:
    """Checksums first where there is a manifest: they speak even of a file whose footer is damaged."""
    checksum = None
    if scan.manifest is not None and scan.size_bytes is not None:
        parts = segments(scan.manifest, scan.size_bytes)
        scan.end_crc32c = end_crc32c(scan.file, parts) if len(parts) > 1 else None
        checksum = FileChecksum(scan.file, parts) if scan.deep else None
    try:
        footer = read_footer(scan.file)
        stated = stated_chunks(footer)
        scan.footer, scan.columns = footer, stated_columns(footer, stated)
        if scan.deep and footer.rows:
            _DeepPass(scan, stated, checksum, progress).run(footer)
    except Unreadable as error:
        scan.unreadable.append(str(error))
    finally:
        if checksum is not None and scan.size_bytes is not None:
            checksum.check_through(scan.size_bytes)
            scan.crc32c, scan.damaged = checksum.crc32c, [each.name for each in checksum.damaged]


class _DeepPass:
    """Every value decoded once, the targets first."""

    def __init__(
        self, scan: Scan, stated: list[list[Stated]], checksum: FileChecksum | None, progress: Progress
    ) -> None:
        self._scan, self._stated, self._checksum, self._progress = scan, stated, checksum, progress
        self._places = {column.name: place for place, column in enumerate(scan.columns)}

    def run(self, footer: Footer) -> None:
        """Key, targets, the rest. From here on values speak: what is not decoded is not known."""
        for column in self._scan.columns:
            column.nulls = column.low = column.high = None
        first = {KEY, *self._scan.expectations.targets()}
        others = [place for place, column in enumerate(self._scan.columns) if column.name not in first]
        groups = column_groups(footer, self._stated, others, GROUP_BYTES)
        self._progress.start(STAGE, len(self._scan.expectations.windows) + len(groups) + 1)
        with ColumnReader(self._scan.file) as self._reader:
            self._read_keys()
            self._read_targets()
            for number, parts in enumerate(self._decoded_ahead(groups), start=1):
                for places, frames in parts:
                    self._measure(places, frames)
                    self._look(places, frames)
                self._progress.advance(STAGE, f"columns, group {number} of {len(groups)}")

    def _read_keys(self) -> None:
        for places, frames in self._decode([self._places[c.name] for c in self._scan.of_role("key")]):
            self._measure(places, frames)
            keys = pl.concat(frames).to_series()
            if isinstance(keys.dtype, pl.Datetime):
                local = keys if keys.dtype.time_zone else keys.dt.replace_time_zone("UTC")
                self._scan.keys = local.cast(KEY_TYPE)

    def _read_targets(self) -> None:
        """One window after another: together they are the future that features are looked up in."""
        expectations = self._scan.expectations
        keys = self._scan.keys
        future = None if keys is None or keys.null_count() else Future(keys, expectations.horizons)
        for window in expectations.windows:
            wanted = [f"target_bqx{window}_h{horizon}" for horizon in expectations.horizons]
            there = [name for name in wanted if name in self._places]
            for places, frames in self._decode(sorted(self._places[name] for name in there)):
                self._measure(places, frames)
                targets = pl.concat(frames)
                targets.columns = [self._scan.columns[place].name for place in places]
                floats = all(dtype.is_float() for dtype in targets.dtypes)
                if future is not None and floats and set(targets.columns) == set(wanted):
                    future.add(window, targets, self._bqx(window))
            self._progress.advance(STAGE, f"targets of window {window}")
        self._scan.future = future

    def _bqx(self, window: int) -> pl.Series | None:
        """The feature that holds the window's BQX; its values are measured when its turn comes."""
        place = self._places.get(bqx_column(window))
        if place is None or self._scan.columns[place].type != "FLOAT64":
            return None
        return next((pl.concat(frames).to_series() for _, frames in self._decode([place])), None)

    def _measure(self, places: Sequence[int], frames: Sequence[pl.DataFrame]) -> None:
        facts = [self._scan.columns[place] for place in places]
        for stated, frame in zip(self._stated, frames, strict=True):
            measure(frame, facts, [stated[place] for place in places])

    def _look(self, places: Sequence[int], frames: Sequence[pl.DataFrame]) -> None:
        future = self._scan.future
        if future is None or not future.comparisons:
            return
        found = future.look(pl.concat(frames))
        for place in places:
            self._scan.columns[place].forward = found.get(str(place), "")

    def _decoded_ahead(self, groups: Sequence[list[int]]) -> Iterator[list[Part]]:
        """Give each group's parts, the next group being decoded meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="validate") as pool:
            coming = [pool.submit(self._decode, group) for group in groups[:1]]
            for following in [*groups[1:], None]:
                if not coming:
                    return
                parts = coming.pop().result()
                if following is not None:
                    coming.append(pool.submit(self._decode, following))
                yield parts

    def _decode(self, places: Sequence[int]) -> list[Part]:
        """Return the columns' values; damaged ones are left out and named, the others come one by one then."""
        intact = [place for place in places if not self._damaged(place)]
        if not intact:
            return []
        try:
            return [(intact, list(self._reader.row_groups(intact, check_texts=self._checksum is None)))]
        except Unreadable as error:
            if len(intact) == 1:
                text = f"{self._scan.columns[intact[0]].name}: {error}"
                if text not in self._scan.unreadable:
                    self._scan.unreadable.append(text)
                return []
            return [part for place in intact for part in self._decode([place])]

    def _damaged(self, place: int) -> bool:
        """Whether a recorded checksum says that the column's bytes were changed: decoding those could do anything."""
        checksum = self._checksum
        if checksum is None:
            return False
        return any(checksum.is_damaged(group[place].start, group[place].end) for group in self._stated)
