"""A slab's record states the encoding of each column; the table's next slab keeps it, and another setting does not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bqx_assets.base.artifacts import ExtractionRecord, save_record
from bqx_assets.extract.encodings import PARQUET_NAMES, Encoding
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs
from bqx_assets_tests.frames import FEW_TABLES, FrameWarehouse, frame_job, frame_warehouse, piece_path


@pytest.fixture
def warehouse() -> FrameWarehouse:
    return frame_warehouse(200)


def _encodings(record: ExtractionRecord) -> dict[str, str]:
    return {
        column.name: encoding
        for slab in record.slabs
        for column, encoding in zip(slab.provenance.columns, slab.encodings, strict=True)
    }


def _record_encodings(slabs: Slabs, table: str, encodings: tuple[str, ...]) -> None:
    """Writes the table's record with other encodings of its only piece."""
    record = slabs.kept(table)
    assert record is not None
    (kept,) = record.pieces
    other = record.model_copy(update={"pieces": (kept.model_copy(update={"encodings": encodings}),)})
    save_record(slabs.store, f"{table}.slab.json", other)


def test_a_record_states_the_encoding_of_every_column(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    for slab in record.slabs:
        assert slab.encoding == "balanced"
        group = pq.read_metadata(piece_path(tmp_path, slab.table)).row_group(0)
        for place, text in enumerate(slab.encodings):
            encoding = Encoding.parse(text)
            assert encoding is not None
            assert PARQUET_NAMES[encoding.kind] in group.column(place).encodings


def test_a_table_that_is_read_again_keeps_the_encodings_of_its_slab(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    record = extract_pair(frame_job(tmp_path, warehouse))
    slab = record.features()[0]
    name = slab.provenance.columns[0].name
    before = ("split zstd 3", *slab.encodings[1:])
    assert before != slab.encodings
    slabs = Slabs.in_folder(tmp_path)
    _record_encodings(slabs, slab.table, before)
    warehouse.revised[slab.table] = warehouse.modified + timedelta(hours=1)
    assert _encodings(extract_pair(frame_job(tmp_path, warehouse)))[name] == "split zstd 3"


@pytest.mark.parametrize("damage", ["short", "long", "unknown", "of another type"])
def test_a_record_with_other_encodings_is_fresh_and_may_be_written_again(
    tmp_path: Path, warehouse: FrameWarehouse, damage: str
) -> None:
    slab = extract_pair(frame_job(tmp_path, warehouse)).features()[0]
    texts = slab.encodings
    damaged = {
        "short": texts[1:],
        "long": (*texts, "plain none"),
        "unknown": ("arithmetic", *texts[1:]),
        "of another type": ("delta zstd 1",) * len(texts),
    }[damage]
    slabs = Slabs.in_folder(tmp_path)
    _record_encodings(slabs, slab.table, damaged)
    warehouse.reads.clear()
    extract_pair(frame_job(tmp_path, warehouse))
    assert not warehouse.reads
    warehouse.revised[slab.table] = warehouse.modified + timedelta(hours=1)
    assert extract_pair(frame_job(tmp_path, warehouse)).features()[0].encodings == texts


def test_another_setting_reads_all_tables_again_and_only_once(tmp_path: Path, warehouse: FrameWarehouse) -> None:
    extract_pair(frame_job(tmp_path, warehouse))
    warehouse.reads.clear()
    compatible = extract_pair(frame_job(tmp_path, warehouse, encoding="compatible"))
    assert {text.split()[1] for text in _encodings(compatible).values()} == {"snappy"}
    assert warehouse.reads.keys() >= set(FEW_TABLES)
    warehouse.reads.clear()
    extract_pair(frame_job(tmp_path, warehouse, encoding="compatible"))
    assert not warehouse.reads
