"""Plans the merge of an extraction's slabs: each piece is checked by its record and footer before a byte is copied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    SLAB_METADATA_KEY,
    ExtractionRecord,
    Piece,
    SlabProvenance,
    SlabRecord,
    Spine,
    load_record,
)
from bqx_assets.base.checksums import size_and_crc
from bqx_assets.base.direct_io import prefetch
from bqx_assets.base.errors import CheckpointMismatch, MergeRefused
from bqx_assets.base.frame_files import TAIL_BYTES, read_parquet
from bqx_assets.base.pairs import Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore
from bqx_assets.base.threads import in_threads
from bqx_assets.extract.slabs import FOOTER_BYTES_KEY, file_holds, object_holds, versions_in
from bqx_assets.merge.footer import Footer, parse_footer, read_end, read_footer
from bqx_assets.merge.plan import (
    MergePlan,
    Prepared,
    Work,
    check_memory,
    footers_memory_bytes,
    place_of,
    refuse_collisions,
)

_NAMED = 10
_READERS = 16
"""Tables whose footers are requested at once."""


@dataclass(frozen=True, slots=True)
class SlabPart:
    """A slab of an extraction, whose pieces are objects of a store. Implements ``Part``."""

    store: ObjectStore
    prefix: str
    record: SlabRecord
    footers: tuple[Footer, ...]
    """Of each piece."""

    @property
    def objects(self) -> list[str]:
        """The names of its pieces in the store."""
        return [f"{self.prefix}{piece.object_name}" for piece in self.record.pieces]

    @property
    def paths(self) -> Sequence[Path]:
        """The local files of its pieces; none if they lie in a bucket."""
        return [path for name in self.objects if (path := self.store.local_path(name)) is not None]

    @property
    def periods(self) -> int:
        """The number of its pieces."""
        return len(self.footers)

    @property
    def table(self) -> str:
        """The name of the warehouse table."""
        return self.record.table

    @property
    def size_bytes(self) -> int:
        """The size of the slab."""
        return self.record.size_bytes

    @property
    def column_count(self) -> int:
        """The number of recorded columns."""
        return len(self.record.provenance.columns)

    @property
    def memory_bytes(self) -> int:
        """Nothing: the slab's bytes are only copied."""
        return 0

    def begin(self, period: int, scratch: Path, earlier: SlabRecord | None) -> Work:  # noqa: ARG002 -- nothing is encoded
        """Return the work on a piece: one read for its SHA-256, while the part before it is copied.

        Its step raises:
            CheckpointMismatch: the piece changed since it was planned, or recorded.
            MergeRefused: it lies in a bucket, where slabs are only composed.
        """
        piece, footer = self.record.pieces[period], self.footers[period]
        prepared = Prepared(self.record, piece, (((self._local(period), 0), footer),), note=piece.period)
        return Work([lambda: self._check(period)], lambda _: prepared)

    def _check(self, period: int) -> None:
        path, footer, piece = self._local(period), self.footers[period], self.record.pieces[period]
        size_bytes = path.stat().st_size if path.is_file() else -1
        if size_bytes != piece.size_bytes or read_footer(path, footer.subject) != footer:
            raise CheckpointMismatch(
                footer.subject,
                got="changed since the merge was planned",
                expected=f"{piece.size_bytes:,} bytes as recorded",
                cure="Merge again.",
            )
        prefetch(path)
        self._refuse_other_bytes(path, piece)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the slab, decoded: the spine's rows x the part's columns."""
        frames: list[pl.DataFrame] = []
        for period, piece in enumerate(self.record.pieces):
            path = self._local(period)
            self._refuse_other_bytes(path, piece)
            frames.append(read_parquet(path))
        return pl.concat(frames), self.record

    def _local(self, period: int) -> Path:
        name = self.objects[period]
        path = self.store.local_path(name)
        if path is None:
            pair = self.record.provenance.pair
            raise MergeRefused(
                self.store.uri(name),
                got="a slab of an extraction",
                expected="raw checkpoints, because slabs in a bucket are merged there",
                cure=f"Merge them where they are, with BQX_OUTPUT and without --checkpoint-dir: bqx merge {pair}",
            )
        return path

    def _refuse_other_bytes(self, path: Path, piece: Piece) -> None:
        if not file_holds(path, piece):
            raise _not_recorded(self.record, "other bytes of the same length", "the recorded SHA-256", piece)


def objects_in(plan: MergePlan, store: ObjectStore) -> list[SlabPart]:
    """Return a plan's parts if all of them are slabs in ``store`` that are no local files, else nothing."""
    found = [part for part in plan.parts if isinstance(part, SlabPart) and not part.paths]
    return found if len(found) == len(plan.parts) and all(part.store is store for part in found) else []


def plan_slabs(pair: Pair, store: ObjectStore, prefix: str = "") -> MergePlan:
    """Return the merge of the slabs under ``prefix``, by the record of their extraction.

    Sizes, CRC32C and versions of objects are the store's own. **Cost**: one listing, and the footers: one range read a
    slab, about 90 bytes a column. An object that was written since it was recorded is read whole, for its SHA-256; a
    file is read whole only when it is merged.

    Raises:
        CheckpointCorrupt: there is no record, or it is damaged.
        MergeRefused: a table is missing, failed or superfluous, or the slabs are another pair's.
        ColumnCollision: two tables have a column of the same name.
        CheckpointMismatch: a slab is not the recorded one.
        FooterError: a slab is damaged.
        NotEnoughMemory: the footers do not fit.
    """
    extraction = load_record(store, f"{prefix}{EXTRACTION_FILE}", ExtractionRecord)
    place = place_of(store, prefix)
    if extraction.pair != pair.name:
        raise MergeRefused(place, got=f"slabs of {extraction.pair}", expected=f"of {pair}", cure=f"bqx extract {pair}")
    there = {info.name.removeprefix(prefix): info for info in store.list_objects(prefix)}
    _refuse_incomplete(pair, place, extraction, [name for name in there if name.endswith(".parquet")])
    refuse_collisions(pair, extraction.slabs)
    columns = sum(len(slab.provenance.columns) for slab in extraction.slabs)
    check_memory(footers_memory_bytes(columns, len(extraction.spine.row_groups)), f"{pair}")

    def part(record: SlabRecord) -> SlabPart:
        footers: list[Footer] = []
        versions = versions_in(there.get(f"{record.table}.slab.json"))
        for piece in record.pieces:
            info = there[piece.object_name]
            _refuse_other_object(store, info, record, piece, versions.get(piece.period))
            footers.append(slab_footer(store, info, _subject(record, piece)))
        _check_slab(extraction.spine, record, footers)
        return SlabPart(store, prefix, record, tuple(footers))

    local = store.local_path(f"{prefix}{EXTRACTION_FILE}") is not None
    parts = map(part, extraction.slabs) if local else in_threads(part, extraction.slabs, _READERS, "footers")
    return MergePlan(pair, extraction, tuple(parts))


def slab_footer(store: ObjectStore, info: ObjectInfo, subject: str) -> Footer:
    """Return the footer of a slab. **Cost**: one read where the object's metadata state its size, else two.

    Raises:
        FooterError: the object is not a whole parquet file.
    """
    path = store.local_path(info.name)
    if path is not None:
        return read_footer(path, subject)
    stated = info.metadata.get(FOOTER_BYTES_KEY, "")
    end = read_end(
        lambda start, length: store.read(info.name, start, length),
        info.size_bytes,
        subject,
        guess_bytes=int(stated) if stated.isdigit() else TAIL_BYTES,
    )
    return parse_footer(end, info.size_bytes, subject)


def _refuse_other_object(
    store: ObjectStore, info: ObjectInfo, record: SlabRecord, piece: Piece, written: str | None
) -> None:
    """Refuse an object that is not the recorded piece; of a local file only the size is compared until the merge."""
    if store.local_path(info.name) is not None:
        if info.size_bytes != piece.size_bytes:
            raise _not_recorded(record, f"{info.size_bytes:,} bytes", f"{piece.size_bytes:,}", piece)
    elif not object_holds(store, info, piece, written):
        got = f"{size_and_crc(info.size_bytes, info.crc32c)}, written since it was recorded"
        expected = f"{size_and_crc(piece.size_bytes, piece.crc32c)}, sha256 {piece.sha256 or 'unknown'}"
        raise _not_recorded(record, got, expected, piece)


def _refuse_incomplete(pair: Pair, place: str, extraction: ExtractionRecord, there: Collection[str]) -> None:
    """Raise MergeRefused unless the slabs ``there`` are exactly the recorded ones.

    An earlier program tolerated gaps below a threshold, and 93% of the tables went missing.
    """
    recorded = {piece.object_name: slab.table for slab in extraction.slabs for piece in slab.pieces}
    failed = [each.table for each in extraction.failed]
    # A table that failed may still have older pieces: it is named once, as failed.
    superfluous = sorted(
        name for name in set(there) - recorded.keys() if name.partition("/")[0].removesuffix(".parquet") not in failed
    )
    missing = sorted(recorded.keys() - set(there))
    problems = [
        f"{len(names):,} {word}: {some_of(names, _NAMED)}"
        for word, names in (
            ("failed or not extracted", failed),
            ("missing", [name.removesuffix(".parquet") for name in missing]),
            ("superfluous", superfluous),
        )
        if names
    ]
    if not problems:
        return
    tables = [*failed, *sorted({recorded[name] for name in missing})]
    spine = next(slab.table for slab in extraction.slabs if slab.provenance.role == "spine")
    again = "" if spine in tables else "".join(f" --table {name}" for name in tables[:_NAMED])
    cures = [f"Extract again: bqx extract {pair}{again}."] if tables else []
    cures += [f"Remove from {place} what is superfluous."] if superfluous else []
    raise MergeRefused(
        f"{pair}",
        got="; ".join(problems),
        expected=f"exactly {len(extraction.slabs) + len(failed):,} slabs",
        cure=" ".join(cures),
    )


def _check_slab(spine: Spine, record: SlabRecord, footers: Sequence[Footer]) -> None:
    """Compare provenance, columns and row groups in the footers of a slab's pieces with its record and the spine."""
    if record.provenance.spine_fingerprint != spine.fingerprint:
        raise _not_recorded(record, f"spine {record.provenance.spine_fingerprint}", spine.fingerprint)
    periods = tuple(piece.period for piece in record.pieces)
    if spine.periods and periods != spine.periods:
        raise _not_recorded(record, f"pieces {some_of(periods, _NAMED)}", some_of(spine.periods, _NAMED))
    for piece, footer in zip(record.pieces, footers, strict=True):
        told = _provenance_in(footer)
        known = told and (told.pair, told.columns, told.fingerprint, told.spine_fingerprint, told.rows)
        provenance = record.provenance
        expected = (provenance.pair, provenance.columns, piece.fingerprint, piece.spine_fingerprint, piece.rows)
        if known != expected:
            raise _not_recorded(record, "another provenance in its metadata", "the recorded one", piece)
        columns = list(zip(footer.columns, footer.types, strict=True))
        if columns != [(column.name, column.type) for column in provenance.columns]:
            raise _not_recorded(record, f"{len(columns)} other columns", "the recorded ones", piece)
    groups = tuple(rows for footer in footers for rows in footer.row_groups)
    if groups != spine.row_groups:
        raise _not_recorded(record, f"row groups {groups}", f"{spine.row_groups}")


def _provenance_in(footer: Footer) -> SlabProvenance | None:
    """Return the provenance in a slab's metadata, parsed: as text an older version's would differ."""
    try:
        return SlabProvenance.model_validate_json(footer.metadata().get(SLAB_METADATA_KEY, ""))
    except ValueError:
        return None


def _not_recorded(record: SlabRecord, got: str, expected: str, piece: Piece | None = None) -> CheckpointMismatch:
    """Return the error for a slab that is not the recorded one, with the command that extracts it again.

    ``piece``: the one that differs, if it is not the slab as a whole.
    """
    table = "" if record.provenance.role == "spine" else f" --table {record.table}"
    return CheckpointMismatch(
        _subject(record, piece),
        got=got,
        expected=expected,
        cure=f"Extract again: bqx extract {record.provenance.pair}{table}",
    )


def _subject(record: SlabRecord, piece: Piece | None) -> str:
    """Return the name of a slab or of its piece in messages."""
    names = (record.provenance.pair, record.table, piece.period if piece else "")
    return "/".join(name for name in names if name)
