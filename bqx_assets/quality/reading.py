"""The one pass over a training file: footer, checksums and values, each byte read once.

Belongs here: what is read when, and what damage does to the pass. Does not: what the facts mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from bqx_assets.base.errors import FooterError
from bqx_assets.base.progress import Progress
from bqx_assets.base.threads import in_threads
from bqx_assets.quality.columns import stated_columns
from bqx_assets.quality.decode import Block
from bqx_assets.quality.ending import End, footer_of, read_end
from bqx_assets.quality.integrity import FileChecksum, segments
from bqx_assets.quality.ranges import GROUP_BYTES, Group, holes
from bqx_assets.quality.scan import Scan
from bqx_assets.quality.source import Source
from bqx_assets.quality.statistics import stated_groups, unchecked_columns, without_chunks
from bqx_assets.quality.values import DeepPass, Part, Work

STAGE = "validate"
_AHEAD = 3
"""Groups read and decoded while another is judged: no processor waits for one step."""
_HOLE_BYTES = 16 << 20
"""Of a stretch without columns, read at once."""


def read_source(opened: Callable[[], Source | None], scan: Scan, *, progress: Progress) -> None:
    """Add to ``scan`` what one pass over a source gives; whatever is wrong with its bytes is a fact there.

    **Cost**: shallow, the footer. Deep, every byte is read once, for its checksum and its values, but for the features
    that hold a window's BQX: they are needed before their turn. Requests: one a group of columns, and a few. Memory:
    ten times ``GROUP_BYTES`` where nothing compresses, 14 columns of a row group's length (the known future), the
    keys of all rows, and the footer.

    Raises:
        StoreError: the store could not deliver: no verdict follows from that.
        PreconditionFailed: the object was replaced meanwhile.
    """
    progress.start(STAGE, 1)
    name = "the file"
    try:
        source = opened()
        if source is not None:
            name, scan.size_bytes, scan.stored_crc32c = source.name, source.size_bytes, source.crc32c
            with closing(source):
                _read(source, scan, progress)
                source.confirm()
    except OSError as error:
        scan.unreadable.append(str(error))
    progress.advance(STAGE, name)


def _read(source: Source, scan: Scan, progress: Progress) -> None:
    """Checksums too where there is a manifest: they speak even of a file whose footer is damaged."""
    parts = segments(scan.manifest, source.size_bytes) if scan.manifest is not None else []
    checksum = FileChecksum(parts) if parts and scan.deep else None
    end = read_end(source, parts)
    scan.end_crc32c, scan.end_sha256 = end.crc32c, end.sha256
    values: DeepPass | None = None
    try:
        footer = footer_of(source, end)
        stated = stated_groups(footer)
        scan.columns = stated_columns(footer, stated)
        scan.unchecked = unchecked_columns(footer)
        scan.footer = footer = without_chunks(footer)
        if scan.deep and footer.rows:
            values = DeepPass(scan, footer, [group for group in stated if group.rows], checksum)
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
    source: Source, values: DeepPass, work: Sequence[Work], checksum: FileChecksum | None, progress: Progress
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
    """Check the bytes that no column needed."""
    for start, stop in holes(groups, end.start, _HOLE_BYTES):
        checksum.add(start, source.read(start, stop - start))
    counted_to = max((each.end for group in groups for each in group.ranges), default=0)
    checksum.add(end.start, end.data, max(0, counted_to - end.start))
