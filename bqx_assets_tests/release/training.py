"""Makes small training files with manifest and report, without a warehouse, and a store that fails on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bqx_assets.base.artifacts import (
    Column,
    ExtractionRecord,
    Manifest,
    Piece,
    RowAccount,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
    TrainingFile,
)
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import StoreError
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore
from bqx_assets.quality.report import Report, Verdict
from bqx_assets.quality.stored_file import StoredFile

_T = TypeVar("_T")
MOMENT = datetime(2026, 1, 5, tzinfo=UTC)
ROWS = 7


def slab(table: str, *data: bytes, role: str = "feature") -> SlabRecord:
    """Return the record of a slab whose pieces hold ``data``, a period each."""
    source = SourceTable(
        dataset="features", table=table, last_modified=MOMENT, etag="1", rows=ROWS, size_bytes=sum(map(len, data))
    )
    provenance = SlabProvenance(
        pair="eurusd",
        role="spine" if role == "spine" else "feature",
        family="pair_specific",
        fingerprint=f"{crc32c(b''.join(data)):08x}",
        spine_fingerprint="spine",
        source=source,
        snapshot_time=MOMENT,
        rows=RowAccount(read=ROWS, matched=ROWS, missing=0, extra=0, duplicates=0),
        duplicate_policy="refuse",
        columns=(Column(name=f"{table}__a", source="a", type="FLOAT64"),),
    )
    pieces = (_piece(table, f"2026-{number:02}", each) for number, each in enumerate(data, 1))
    return SlabRecord(provenance=provenance, pieces=tuple(pieces))


def _piece(table: str, period: str, data: bytes) -> Piece:
    return Piece(
        period=period,
        fingerprint=f"{crc32c(data):08x}",
        spine_fingerprint=f"spine of {period}",
        snapshot_time=MOMENT,
        rows=RowAccount(read=ROWS, matched=ROWS, missing=0, extra=0, duplicates=0),
        object_name=f"{table}/{period}.parquet",
        size_bytes=len(data),
        crc32c=crc32c(data),
    )


def extraction(slabs: Sequence[SlabRecord] = ()) -> ExtractionRecord:
    """Return the record of an extraction of these slabs."""
    spine = Spine(rows=ROWS, fingerprint="spine", first=MOMENT, last=MOMENT, row_groups=(ROWS,))
    return ExtractionRecord(pair="eurusd", snapshot_time=MOMENT, spine=spine, slabs=tuple(slabs))


def training(
    folder: Path, data: bytes, name: str = "training_eurusd.parquet", slabs: Sequence[SlabRecord] = ()
) -> tuple[Path, Manifest, Report]:
    """Return a file of these bytes, its manifest, and a deep report without failures."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(data)
    facts = TrainingFile(name=name, size_bytes=len(data), crc32c=crc32c(data), rows=ROWS, columns=3)
    manifest = Manifest(
        pair="eurusd", created_at=MOMENT, engine="splice", file=facts, extraction=extraction(slabs), versions={}
    )
    return file, manifest, report(file)


def stored(folder: Path, data: bytes) -> tuple[StoredFile, Manifest, Report]:
    """Return the same as ``training``, with the file in the form that a publication takes."""
    file, manifest, verdicts = training(folder, data)
    return StoredFile.at(file), manifest, verdicts


def report(file: Path, *, passed: bool = True, deep: bool = True, rows: int = ROWS) -> Report:
    """Return a report on ``file``."""
    verdict = Verdict(rule="rows_equal_spine", passed=passed, got="7", expected="7")
    return Report(
        pair="eurusd",
        file=str(file),
        rows=rows,
        columns=3,
        deep=deep,
        created_at=MOMENT,
        seconds=0.1,
        peak_bytes=1,
        verdicts=(verdict,),
    )


class FaultyStore:
    """A real store whose ``fail_at``-th call raises, before it does anything or, with ``after``, after it is done."""

    def __init__(self, inner: ObjectStore, fail_at: int = 0, *, after: bool = False) -> None:
        self.inner, self.fail_at, self.after = inner, fail_at, after
        self.calls: list[str] = []
        self.listener: Callable[[str], None] = lambda _: None
        """Hears each call just before it takes effect."""

    def _call(self, name: str, action: Callable[[], _T]) -> _T:
        self.calls.append(name)
        self.listener(name)
        fails = len(self.calls) == self.fail_at
        if fails and not self.after:
            raise _fault(name)
        result = action()
        if fails:
            raise _fault(name)
        return result

    def uri(self, name: str) -> str:
        return self.inner.uri(name)

    def local_path(self, name: str) -> Path | None:
        return self.inner.local_path(name)

    def scratch(self, beside: str = "") -> AbstractContextManager[Path]:
        return self.inner.scratch(beside)

    def lock(self, name: str) -> AbstractContextManager[None] | None:
        return self.inner.lock(name)

    def head(self, name: str) -> ObjectInfo | None:
        return self._call(f"head {name}", lambda: self.inner.head(name))

    def verify(self, name: str, *, since: datetime | None = None) -> ObjectInfo | None:
        return self._call(f"verify {name}", lambda: self.inner.verify(name, since=since))

    def earlier(self, name: str) -> Sequence[ObjectInfo]:
        return self._call(f"earlier {name}", lambda: self.inner.earlier(name))

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._call(f"list {prefix}", lambda: self.inner.list_objects(prefix))

    def read(self, name: str, start: int = 0, length: int | None = None, only_if: Condition | None = None) -> bytes:
        return self._call(f"read {name}", lambda: self.inner.read(name, start, length, only_if))

    def put_bytes(
        self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None, only_if: Condition | None = None
    ) -> ObjectInfo:
        return self._call(
            f"put {name}",
            lambda: self.inner.put_bytes(name, data, metadata=metadata, only_if=only_if),
        )

    def put_blocks(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        crc: int | None = None,
    ) -> ObjectInfo:
        return self._call(
            f"upload {name}",
            lambda: self.inner.put_blocks(name, blocks, metadata=metadata, only_if=only_if, crc=crc),
        )

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
        move: bool = False,
        crc: int | None = None,
    ) -> ObjectInfo:
        return self._call(
            f"upload {name}",
            lambda: self.inner.put_file(name, path, metadata=metadata, only_if=only_if, move=move, crc=crc),
        )

    def compose(
        self,
        name: str,
        parts: Sequence[str],
        *,
        metadata: Mapping[str, str] | None = None,
        only_if: Condition | None = None,
    ) -> ObjectInfo:
        return self._call(
            f"compose {name}",
            lambda: self.inner.compose(name, parts, metadata=metadata, only_if=only_if),
        )

    def delete(self, name: str, *, only_if: Condition | None = None) -> None:
        self._call(f"delete {name}", lambda: self.inner.delete(name, only_if=only_if))


def _fault(name: str) -> StoreError:
    return StoreError(name, got="503", expected="an answer", cure="Try again.")
