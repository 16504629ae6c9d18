"""The records that one stage hands to the next, as JSON: slab records, the extraction record, the training manifest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bqx_assets.base.checksums import combine
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat, ObjectMissing
from bqx_assets.base.files import read_regular, write_atomic
from bqx_assets.base.printable import first_line
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_of

FORMAT_VERSION = 2
SLAB_METADATA_KEY = "bqx.slab"
"""Key of a slab's own :class:`SlabProvenance` in its parquet key-value metadata."""
PAIR_KEY, SPINE_KEY, ENGINE_KEY, CONTENT_KEY = "bqx.pair", "bqx.spine", "bqx.engine", "bqx.content"
"""Keys of the training file's own parquet metadata: pair, spine fingerprint, engine, content digest."""
EXTRACTION_FILE = "extraction.json"
"""Name of the :class:`ExtractionRecord` inside a pair's checkpoint folder."""
SIMULATED = "simulated rates"
"""The ``origin`` of numbers that no market ever quoted."""


def _known_format(version: int) -> int:
    if version > FORMAT_VERSION:
        raise NewerFormat(
            "a record",
            got=f"format version {version}",
            expected=f"{FORMAT_VERSION} at most",
            cure="A later version of bqx-assets wrote it: use that one, or make the record again.",
        )
    return version


FormatVersion = Annotated[int, AfterValidator(_known_format)]
"""The format of a record. A later format is refused when it is loaded, because its fields may mean something else."""


class Record(BaseModel):
    """Base of all artifacts and packaged tables: immutable data without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> bytes:
        """Return the record as it is kept in files and objects."""
        return self.model_dump_json(indent=1).encode()

    def save(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        write_atomic(path, self.as_json())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record from JSON. Raises CheckpointCorrupt if the file is missing or is no such record."""
        try:
            return cls.model_validate_json(read_regular(path))
        except NewerFormat as error:
            raise error.about(str(path)) from error
        except (OSError, ValueError) as error:
            raise CheckpointCorrupt(
                str(path), got=first_line(error), expected=f"a record {cls.__name__} as JSON", cure="Make it again."
            ) from error


_R = TypeVar("_R", bound=Record)


def load_record(store: ObjectStore, name: str, kind: type[_R]) -> _R:
    """Return the record in object ``name``. Raises CheckpointCorrupt if it is missing or is no such record."""
    try:
        return kind.model_validate_json(store.read(name))
    except NewerFormat as error:
        raise error.about(store.uri(name)) from error
    except (ObjectMissing, OSError, ValueError) as error:
        raise CheckpointCorrupt(
            store.uri(name),
            got=first_line(error),
            expected=f"a record {kind.__name__} as JSON",
            cure="Make it again.",
        ) from error


def save_record(store: ObjectStore, name: str, record: Record) -> ObjectInfo:
    """Store the record as ``name``, in place of what is there. The write has a condition and so is safe to repeat.

    Raises:
        PreconditionFailed: somebody else wrote the object at the same time.
    """
    found = version_of(store.head(name))
    return store.put_bytes(name, record.as_json(), only_if=found)


Generation = Annotated[int | str, Field(union_mode="left_to_right")]
"""An object's version as JSON documents have it: an integer if it is a number, also where Dagster keeps it as text."""


class Column(Record):
    """One column of the training file, and the table column that it comes from."""

    name: str
    """Name in the training file, with its prefix."""
    source: str
    """Name in the warehouse table."""
    type: str
    """BigQuery's name: FLOAT64, INT64, STRING, BOOL, TIMESTAMP."""


class Quarantined(Record):
    """A feature column left out because it looks forward."""

    table: str
    column: str
    reason: str


class SourceTable(Record):
    """A warehouse table as it was at the snapshot."""

    dataset: str
    table: str
    last_modified: datetime
    etag: str
    rows: int
    size_bytes: int


class RowAccount(Record):
    """A count of a table's rows: ``read == matched + extra + duplicates``; ``matched + missing == spine rows``."""

    read: int
    matched: int
    missing: int
    """Rows of the spine for which the table has no row: its columns are null there."""
    extra: int
    """Rows whose key is not on the spine. They are left out."""
    duplicates: int
    """Rows dropped by a configured duplicate policy; 0 under the default, which refuses."""

    def adds_up(self, spine_rows: int) -> bool:
        """Return whether every row that was read, and every row of the spine, is accounted for."""
        return self.read == self.matched + self.extra + self.duplicates and self.matched + self.missing == spine_rows


class SlabProvenance(Record):
    """The origin of a slab or, in a piece's own parquet metadata, of that piece; fixed before the piece is written."""

    format_version: FormatVersion = FORMAT_VERSION
    pair: str
    role: Literal["spine", "feature"]
    family: str
    fingerprint: str
    spine_fingerprint: str
    source: SourceTable
    snapshot_time: datetime
    rows: RowAccount
    duplicate_policy: str
    """The setting ``duplicates``, kept for people; it is also part of the fingerprint."""
    columns: tuple[Column, ...]
    quarantined: tuple[Quarantined, ...] = ()
    left_out: tuple[str, ...] = ()
    """Columns of the table that the grammar does not have: they are reported and not extracted."""


class Piece(Record):
    """A slab's rows of one period: one object, its checksums and the fingerprint of everything that determined it."""

    period: str
    """Name of the period; empty in records made before slabs were cut."""
    fingerprint: str
    spine_fingerprint: str
    """Fingerprint of the spine's keys in the period."""
    snapshot_time: datetime
    rows: RowAccount
    object_name: str
    """Name relative to the checkpoint folder or the pair's prefix in the store."""
    size_bytes: int
    crc32c: int
    sha256: str | None = None
    """SHA-256 of the same bytes, in hexadecimal digits; None in records made before it was kept."""


_WHOLE = ("object_name", "size_bytes", "crc32c", "sha256")
"""Fields of a slab's record before slabs were cut into pieces."""


class SlabRecord(Record):
    """One slab: its provenance and its pieces, one for each period of the spine, in order."""

    provenance: SlabProvenance
    pieces: tuple[Piece, ...]
    content: tuple[str, ...] = ()
    """Content digest of each of the provenance's columns; empty in records made before digests were kept."""
    encoding: str = ""
    """The setting that the encodings were chosen by; empty in records made before they were chosen."""
    encodings: tuple[str, ...] = ()
    """The encoding of each of the provenance's columns in the last piece, such as ``split zstd 1``; empty where the
    bytes are another writer's, or the record is older."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_piece(cls, value: object) -> object:
        """Return a record made before slabs were cut as one with a single piece."""
        if not isinstance(value, dict) or "object_name" not in value:
            return cast("object", value)
        facts = dict(cast("dict[str, Any]", value))
        provenance = SlabProvenance.model_validate(facts["provenance"])
        piece = {name: facts.pop(name) for name in _WHOLE if name in facts}
        shared = provenance.model_dump(include={"fingerprint", "spine_fingerprint", "snapshot_time", "rows"})
        return facts | {"pieces": ({"period": "", **shared, **piece},)}

    @property
    def table(self) -> str:
        """The warehouse table's name."""
        return self.provenance.source.table

    @property
    def size_bytes(self) -> int:
        """The size of all pieces."""
        return sum(piece.size_bytes for piece in self.pieces)

    @property
    def crc32c(self) -> int:
        """The CRC32C of all pieces, one behind another."""
        return reduce(lambda sofar, piece: combine(sofar, piece.crc32c, piece.size_bytes), self.pieces, 0)


def pieces_in_order(slabs: Sequence[SlabRecord]) -> Iterator[tuple[SlabRecord, Piece]]:
    """Yield the pieces of a training file's slabs as their bytes lie in it: period by period, in each slab by slab."""
    for pieces in zip(*(slab.pieces for slab in slabs), strict=True):
        yield from zip(slabs, pieces, strict=True)


class Spine(Record):
    """The rows of a pair: ``interval_time``, unique, ascending."""

    rows: int
    fingerprint: str
    first: datetime
    last: datetime
    row_groups: tuple[int, ...]
    """Rows of each row group of the training file. Of a spine that is cut into periods each is a period."""
    periods: tuple[str, ...] = ()
    """Names of the periods; empty for raw checkpoints, and in records made before slabs were cut."""


class FailedTable(Record):
    """A table that could not be extracted, with its error's class and full text."""

    table: str
    error: str
    message: str


class ExtractionRecord(Record):
    """The outcome of one extraction: the slabs that a merge may splice, in column order, the spine first."""

    format_version: FormatVersion = FORMAT_VERSION
    pair: str
    snapshot_time: datetime
    spine: Spine
    slabs: tuple[SlabRecord, ...]
    failed: tuple[FailedTable, ...] = ()
    known_absent: dict[str, str] = Field(default_factory=dict)
    """Tables the expectations say this warehouse lacks, with the reason."""
    unexpected: tuple[str, ...] = ()
    """Tables that match a family's rule and are neither in the grammar nor accepted: they are reported and left out."""
    forward_looking_included: bool = False
    """A setting asked for columns that look forward, so that none was looked for or left out."""
    origin: str = ""
    """The source of the numbers: ``SIMULATED``, a rates file, a BigQuery project; empty in older records."""
    span: str = ""
    """The requested rows in words for people, for example "the last 395d"; empty for the whole history."""
    changes: tuple[str, ...] = ()
    """One sentence for each table or column that appeared, vanished or changed its type since the last extraction."""
    made_pieces: int = 0
    """Pieces of feature tables that this extraction made; all others were fresh."""
    resumed: tuple[str, ...] = ()
    """Tables that this extraction did not read, because each had a fresh slab already; empty in older records."""

    def features(self) -> Sequence[SlabRecord]:
        """Return the feature slabs, spine excluded."""
        return [slab for slab in self.slabs if slab.provenance.role == "feature"]


class TrainingFile(Record):
    """The merged file's own facts."""

    name: str
    size_bytes: int
    crc32c: int
    rows: int
    columns: int
    """Key and targets included."""
    end_sha256: str | None = None
    """SHA-256 of the footer, the bytes behind the last slab; for a joined file, which holds no slab, of all its bytes.
    None in manifests made before it was kept."""
    content_digest: str | None = None
    """Digest of the file's values, whichever run made it (``base.content``); None where a slab's record has none."""


class JudgedBy(Record):
    """The expectations that a training file was checked against."""

    version: int
    sha256: str
    """Digest of their whole text, packaged values included, as it is kept beside the published file."""
    place: str
    """The place where they were found: ``packaged``, a path, a URI."""
    approval: Literal["none", "proposed", "approved"]
    """The state of the pair's own facts in them: there are none, they wait for approval, or a person approved them."""
    approved: str = ""
    """The time and the person of the approval, as the file states them."""

    def sentence(self, pair: str) -> str:
        """Return a sentence about these expectations, with a command where nobody has approved facts of the pair."""
        text = f"expectations: {self.place}, version {self.version} ({self.sha256[:12]})"
        if self.approval == "approved":
            return f"{text}, of {pair} approved {self.approved}"
        if self.approval == "proposed":
            return f"{text}; those proposed for {pair} are not approved, and not in force: bqx expectations approve"
        return f"{text}; nobody has approved any of {pair}'s own: bqx expectations propose {pair}"


class DictionaryRecord(Record):
    """The dictionary that was published with a training file."""

    objects: dict[str, str]
    """Names of its objects by kind, each with the SHA-256 of the object's bytes."""
    size_bytes: int
    """Size of all objects."""
    counts: dict[str, int]
    """Numbers of columns: all, and those that are constant, duplicates and so on."""


class Manifest(Record):
    """Everything needed to trust, trace or repeat one training file. It lies beside it as ``{stem}.manifest.json``."""

    format_version: FormatVersion = FORMAT_VERSION
    pair: str
    created_at: datetime
    engine: str
    file: TrainingFile
    extraction: ExtractionRecord
    versions: dict[str, str]
    """Versions of Python and of the libraries that influence the bytes, for people who repeat the run."""
    replace_source: bool = False
    """An explicit option allowed its publication to replace a file that was made from another source."""
    expectations: JudgedBy | None = None
    """The expectations of the check before publication; None in manifests of unpublished files and in older ones."""
    dictionary: DictionaryRecord | None = None
    """The dictionary that was published with the file; None as for ``expectations``."""


MANIFEST_SUFFIX, REPORT_SUFFIX = ".manifest.json", ".report.json"
"""Ends of the names of a training file's manifest and report, in place of ``.parquet``."""


def manifest_path(training_file: Path) -> Path:
    """Return the path of a training file's manifest."""
    return training_file.with_name(training_file.name.removesuffix(".parquet") + MANIFEST_SUFFIX)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that influence the bytes, for the manifest."""
    names = ("bqx-assets", "dagster", "polars", "pyarrow")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def fingerprint(facts: Mapping[str, object]) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of ``facts``; the order of its keys has no influence.

    Raises:
        TypeError: for a value that is not plain data (text, number, bool, None, datetime, list, mapping).
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    msg = f"not plain data: {type(value).__name__}"
    raise TypeError(msg)
