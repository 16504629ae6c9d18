"""Validates a training file: reads it in one pass, applies all rules, and returns a report.

Each byte is read once. Damage is a fact for the rules, never an exception.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from bqx_assets.base.artifacts import Manifest
from bqx_assets.base.errors import FooterError
from bqx_assets.base.pairs import Pair
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.quality.chunk_reader import GROUP_BYTES, Block, Group, holes
from bqx_assets.quality.deep_scan import DeepScan, Part, Work
from bqx_assets.quality.integrity import FileChecksum, segments
from bqx_assets.quality.report import Report
from bqx_assets.quality.rules import RULES
from bqx_assets.quality.scan import Measured, Scan, stated_columns, stated_groups, unchecked_columns, without_chunks
from bqx_assets.quality.stored_file import End, Source, StoredFile, footer_of, read_end

STAGE = "validate"
_AHEAD = 3
"""Groups that are read and decoded while another is judged, so that no processor waits for a single step."""
_HOLE_BYTES = 16 << 20
"""Bytes of a gap between columns that are read at once."""


def read_source(file: StoredFile, scan: Scan, *, progress: Progress) -> None:
    """Add the facts of one pass over a file to ``scan``; damage of its bytes is such a fact.

    **Cost**: shallow, the footer. Deep, every byte is read once, for its checksum and its values; only the features
    that are a window's BQX are read twice, because they are needed earlier. Requests: one for each group of columns,
    and a few more. Memory: ten times ``GROUP_BYTES`` if nothing compresses, 14 columns of a row group's length (the
    known future), the keys of all rows, and the footer.

    Raises:
        StoreError: the store could not deliver, from which no verdict follows.
        PreconditionFailed: the object was replaced meanwhile.
    """
    progress.start(STAGE, 1)
    name = "the file"
    try:
        source = file.open()
        if source is not None:
            name, scan.size_bytes, scan.stored_crc32c = source.name, source.size_bytes, source.crc32c
            with closing(source):
                _read(source, scan, progress)
                source.confirm()
    except OSError as error:
        scan.unreadable.append(str(error))
    progress.advance(STAGE, name)


def _read(source: Source, scan: Scan, progress: Progress) -> None:
    """Read the footer, the columns and, with a manifest, the checksums, which tell damage even without a footer."""
    parts = segments(scan.manifest, source.size_bytes) if scan.manifest is not None else []
    checksum = FileChecksum(parts) if parts and scan.deep else None
    end = read_end(source, parts)
    scan.end_crc32c, scan.end_sha256 = end.crc32c, end.sha256
    values: DeepScan | None = None
    try:
        footer = footer_of(source, end)
        stated = stated_groups(footer)
        scan.columns = stated_columns(footer, stated)
        scan.unchecked = unchecked_columns(footer)
        scan.footer = footer = without_chunks(footer)
        if scan.deep and footer.rows:
            values = DeepScan(scan, footer, [group for group in stated if group.rows], checksum)
    except FooterError as error:
        scan.unreadable.append(error.got)
    work = values.plan(GROUP_BYTES, end.start) if values is not None else []
    if values is not None:
        progress.start(STAGE, len(work) + 1)
        _take_all(source, values, work, checksum, progress)
    if checksum is not None:
        _check_rest(source, end, [each.group for each in work], checksum)
        checksum.read_again(source.read)
        checksum.finish()
        scan.crc32c, scan.damaged = checksum.crc32c, [each.name for each in checksum.damaged]
    if values is not None:
        values.finish()


def _take_all(
    source: Source, values: DeepScan, work: Sequence[Work], checksum: FileChecksum | None, progress: Progress
) -> None:
    def decoded(each: Work) -> list[Part]:
        blocks: list[Block] = []
        for wanted in each.group.ranges:
            data = source.read(wanted.start, wanted.end - wanted.start)
            blocks.append((wanted.start, data))
            if checksum is not None:
                checksum.add(wanted.start, data, wanted.counted_from - wanted.start)
        return values.decode(each.group, blocks)

    names = iter(work)

    def told(parts: list[Part]) -> list[Part]:
        progress.advance(STAGE, next(names).name)
        return parts

    values.take(map(told, in_threads(decoded, work, _AHEAD, STAGE, ahead=_AHEAD)))


def _check_rest(source: Source, end: End, groups: Sequence[Group], checksum: FileChecksum) -> None:
    """Add the bytes that no column needed to the checksum."""
    for start, stop in holes(groups, end.start, _HOLE_BYTES):
        checksum.add(start, source.read(start, stop - start))
    counted_to = max((each.end for group in groups for each in group.ranges), default=0)
    checksum.add(end.start, end.data, max(0, counted_to - end.start))


def validate(
    file: StoredFile,
    pair: Pair,
    expectations: Expectations,
    *,
    manifest: Manifest | None,
    deep: bool = True,
    progress: Progress,
) -> Report:
    """Return a report with the verdicts of all rules that can decide after the pass, as :func:`examine`."""
    return examine(file, pair, expectations, manifest=manifest, deep=deep, progress=progress)[0]


def examine(
    file: StoredFile,
    pair: Pair,
    expectations: Expectations,
    *,
    manifest: Manifest | None,
    deep: bool = True,
    progress: Progress,
) -> tuple[Report, Measured | None]:
    """Return the report of a pass and the facts that a deep one measured; a bad file raises nothing.

    ``deep``: decode every value and check every byte; otherwise read the footer and its statistics only. Nothing is
    copied: an object is read by ranges, and the size and CRC32C that its store states are judged in either pass.
    **Cost**: see :func:`read_source`; the report states seconds and peak memory.

    Raises:
        StoreError: the store could not deliver, from which nothing follows about the object.
        PreconditionFailed: the object was replaced meanwhile.
    """
    scan = Scan(pair, expectations, manifest, deep)
    started = time.monotonic()
    with PeakMemory() as memory, waiting(progress, STAGE, at_work("reading and judging the file")):
        read_source(file, scan, progress=progress)
        verdicts = [verdict for rule in RULES if (verdict := rule.verdict(scan)) is not None]
    judged = {verdict.rule for verdict in verdicts}
    report = Report(
        pair=scan.pair.name,
        file=file.place,
        rows=scan.rows,
        columns=len(scan.columns),
        deep=scan.deep,
        created_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        peak_bytes=memory.peak_bytes,
        verdicts=tuple(verdicts),
        expectations=scan.expectations.judged_by(scan.pair),
        not_checked=tuple(rule.name for rule in RULES if rule.name not in judged),
    )
    return report, scan.measured()
