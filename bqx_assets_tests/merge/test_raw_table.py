"""A raw checkpoint is copied as it lies where the setting allows its encodings; its steps may end in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base.artifacts import Manifest, SlabRecord, manifest_path
from bqx_assets.base.checksums import Sums
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.merge import raw_encode, raw_part, raw_table, splice
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.plan import Encoded
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.slabs import SETTINGS, Told, raw_folder, write_raw


def _merged(raw: Path, output: Path, settings: Settings) -> tuple[pl.DataFrame, Told]:
    told = Told()
    merge(plan_merge(EURUSD, working_folder(raw), settings), *StoredFile.at(output), progress=told)
    return pl.read_parquet(output), told


def test_compatible_copies_no_encoding_that_readers_of_2015_do_not_know(tmp_path: Path) -> None:
    raw_folder(tmp_path / "raw")
    compatible = SETTINGS.model_copy(update={"encoding": "compatible"})
    merged, told = _merged(tmp_path / "raw", tmp_path / "compatible.parquet", compatible)
    metadata = pq.read_metadata(tmp_path / "compatible.parquet")
    chunks = [metadata.row_group(0).column(place) for place in range(metadata.num_columns)]
    assert {chunk.compression for chunk in chunks} == {"SNAPPY"}
    assert {each for chunk in chunks for each in chunk.encodings} <= {"PLAIN", "RLE_DICTIONARY", "RLE"}
    assert ("agg_eurusd", "as it lies") not in told.steps
    balanced, told = _merged(tmp_path / "raw", tmp_path / "balanced.parquet", SETTINGS)
    assert ("agg_eurusd", "as it lies") in told.steps
    assert_frame_equal(merged, balanced)


def test_a_file_that_is_merged_again_keeps_the_encodings_of_its_columns(tmp_path: Path) -> None:
    raw_folder(tmp_path / "raw")
    output = tmp_path / "training.parquet"
    _merged(tmp_path / "raw", output, SETTINGS)
    manifest = Manifest.load(manifest_path(output))
    spine = manifest.extraction.slabs[0]
    before = (spine.encodings[0], *["split zstd 3"] * (len(spine.encodings) - 1))
    assert before != spine.encodings
    slabs = (spine.model_copy(update={"encodings": before}), *manifest.extraction.slabs[1:])
    changed = manifest.model_copy(update={"extraction": manifest.extraction.model_copy(update={"slabs": slabs})})
    changed.save(manifest_path(output))
    _merged(tmp_path / "raw", output, SETTINGS)
    assert Manifest.load(manifest_path(output)).extraction.slabs[0].encodings == before


def test_encoded_columns_that_wait_to_be_copied_count_as_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = raw_folder(tmp_path)
    write_raw(tmp_path, "agg_eurusd", frames["agg_eurusd"].reverse())
    monkeypatch.setattr(raw_part, "_STRIP_BYTES", 4_000)
    plan = plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)
    part = next(part for part in plan.parts if part.table == "agg_eurusd")
    monkeypatch.setattr(splice, "_MEMORY_BYTES", 3 * part.memory_bytes)
    encoded: list[str] = []

    def encode(frame: pl.DataFrame, table: str, *others: Any) -> Encoded:
        encoded.append(table)
        done = raw_encode.encode(frame, table, *others)
        return replace(done, blocks=(*done.blocks, bytes(part.memory_bytes)))

    monkeypatch.setattr(raw_table, "encode", encode)
    with ThreadPoolExecutor(3) as pool:
        for number, _ in enumerate(splice._in_order(replace(plan, parts=(part,)), tmp_path, pool), 1):
            sleep(0.05)
            assert len(encoded) <= number + 2
    assert len(encoded) > 3


def test_steps_may_end_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_part, "_STRIP_BYTES", 1)
    frames = raw_folder(tmp_path / "raw")
    ahead = {f"ahead_{number}": frames["targets"][f"target_bqx90_h{number}"] for number in (15, 30, 45, 60)}
    write_raw(tmp_path / "raw", "agg_eurusd", frames["agg_eurusd"].with_columns(**ahead))
    plan = plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS)
    part = next(part for part in plan.parts if part.table == "agg_eurusd")
    records: list[SlabRecord] = []
    for order in (1, -1):
        work = part.begin(0, tmp_path, None)
        for step in work.steps[::order]:
            step()
        records.append(work.finish(Sums(0, 0, "")).record)
    assert [each.column for each in records[0].provenance.quarantined] == list(ahead)
    assert records[0] == records[1]


def test_strips_take_about_the_same_memory_whatever_columns_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = raw_folder(tmp_path)
    texts = {f"text_{number}": pl.lit("a" * 40) for number in range(6)}
    write_raw(tmp_path, "agg_eurusd", frames["agg_eurusd"].with_columns(**texts))
    monkeypatch.setattr(raw_part, "_STRIP_BYTES", 6_000)
    plan = plan_merge(EURUSD, working_folder(tmp_path), SETTINGS)
    part = next(part for part in plan.parts if part.table == "agg_eurusd")
    assert isinstance(part, raw_table.RawTable)
    strips = part.strips_of(part.columns)
    assert [column for strip in strips for column in strip] == list(part.columns)
    sizes = [sum(part.file.decoded_bytes[column.source] for column in strip) for strip in strips]
    largest = max(part.file.decoded_bytes[column.source] for column in part.columns)
    assert len(sizes) == -(-sum(sizes) // 6_000)
    assert max(sizes) <= 6_000 + largest
    assert {len(strip) for strip in strips} != {len(strips[0])}, "texts take more than numbers"


@pytest.mark.parametrize("engine", ["splice", "join"])
def test_a_table_of_keys_alone_adds_no_column(tmp_path: Path, engine: str) -> None:
    frames = raw_folder(tmp_path / "raw")
    write_raw(tmp_path / "raw", "agg_eurusd", frames["agg_eurusd"].select("interval_time"))
    output = tmp_path / "training.parquet"
    merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS),
        *StoredFile.at(output),
        engine=engine,
        progress=Told(),
    )
    merged = pl.read_parquet(output)
    assert merged.height == frames["targets"].height
    assert not [name for name in merged.columns if name.startswith("agg__")]
