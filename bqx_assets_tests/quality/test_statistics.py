"""A footer whose statistics are not those of the values is caught, though every checksum vouches for its bytes."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.footers import FLAG, I64, LIST, STRUCT, TEXT, Typed, change_footer, statistics
from bqx_assets_tests.quality.training import Training, rewritten, verdict_of, vouching

FEATURE = "agg__agg_mean_45"
_NULLS, _MAX, _MIN = 3, 5, 6


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [(_NULLS, (I64, 399), "nulls 399 stated"), (_MAX, (TEXT, struct.pack("<d", 0.5)), "max 0.5 stated"),
     (_MIN, (TEXT, struct.pack("<d", 0.5)), "min 0.5 stated")],
)  # fmt: skip
def test_wrong_statistics_are_named(tmp_path: Path, training: Training, field: int, value: Typed, word: str) -> None:
    place = read_footer(training.file).columns.index(FEATURE)
    file = change_footer(
        training.file, lambda f: statistics(f, place).update({field: value}), tmp_path / training.file.name
    )
    changed = replace(training, file=file, manifest=vouching(training.manifest, file, engine="splice"))
    assert changed.failed() == {"statistics_equal_values"}
    assert f"{FEATURE}: {word}" in verdict_of(changed.report(), "statistics_equal_values").got


LONG = "z" * 200


def _texts(training: Training, folder: Path) -> Training:
    frame = training.frame()
    texts = [f"{LONG}{row}" for row in range(frame.height)]
    frame = frame.with_columns(pl.Series("agg__text", texts))
    (folder / "made").mkdir()
    return replace(rewritten(training, frame, folder / "made"), manifest=None)


@pytest.mark.parametrize(
    ("bounds", "passed"),
    [({}, True), ({5: (TEXT, b"a")}, False), ({6: (TEXT, b"zzzzzzzzzzz{")}, False),
     ({7: (FLAG, True), 8: (FLAG, True)}, False), ({7: (FLAG, False), 8: (FLAG, False)}, True),
     ({5: (TEXT, LONG.encode() + b"99"), 7: (FLAG, True)}, True)],
)  # fmt: skip
def test_shortened_texts_pass_and_false_ones_fail(
    tmp_path: Path, training: Training, bounds: dict[int, Typed], *, passed: bool
) -> None:
    """As Polars writes them: bounds of 64 bytes, and no word on whether these were shortened."""
    made = _texts(training, tmp_path)
    place = read_footer(made.file).columns.index("agg__text")
    file = change_footer(made.file, lambda f: statistics(f, place).update(bounds), tmp_path / "f.parquet")
    report = replace(made, file=file).report()
    found = verdict_of(report, "statistics_equal_values")
    assert found.passed is passed
    assert passed or "agg__text: m" in found.got
    assert len(found.got) < 400


def test_a_damaged_page_that_has_a_checksum_is_named_by_its_column(tmp_path: Path, training: Training) -> None:
    file = tmp_path / "f.parquet"
    pq.write_table(
        training.frame().to_arrow(), file, compression="none", use_dictionary=False, write_page_checksum=True
    )
    data = bytearray(file.read_bytes())
    data[bytes(data).find(training.frame()[FEATURE].drop_nulls().to_numpy()[3:6].tobytes())] ^= 1
    file.write_bytes(data)
    found = verdict_of(replace(training, file=file, manifest=None).report(), "file_readable")
    assert not found.passed
    assert f"{FEATURE}: the page at byte" in found.got


def test_page_indexes_are_said_to_be_unchecked(tmp_path: Path, training: Training) -> None:
    file = tmp_path / "f.parquet"
    pq.write_table(training.frame().to_arrow(), file, write_page_index=True)
    found = verdict_of(replace(training, file=file, manifest=None).report(), "statistics_equal_values")
    assert found.passed
    assert f"page indexes or Bloom filters of {training.frame().width} not checked" in found.got


@pytest.mark.parametrize(
    ("schema", "word"),
    [(b"!", "ARROW:schema"), (b"////", "ARROW:schema"), (b64encode(pa.schema([]).serialize()), "ARROW:schema")],
)
def test_a_schema_of_arrows_that_no_reader_could_follow_is_refused(
    tmp_path: Path, training: Training, schema: bytes, word: str
) -> None:
    file = change_footer(
        training.file,
        lambda f: f.update({5: (LIST, (STRUCT, [{1: (TEXT, b"ARROW:schema"), 2: (TEXT, schema)}]))}),
        tmp_path / "f.parquet",
    )
    found = verdict_of(replace(training, file=file, manifest=None).report(), "file_readable")
    assert not found.passed
    assert word in found.got


def test_arrows_schema_that_contradicts_a_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    pq.write_table(pa.table({"x": [b"a", b"b"], "y": [1, 2]}), file, store_schema=False)
    other = b64encode(pa.schema([("x", pa.string()), ("y", pa.int64())]).serialize())
    change_footer(file, lambda f: f.update({5: (LIST, (STRUCT, [{1: (TEXT, b"ARROW:schema"), 2: (TEXT, other)}]))}))
    report = validate(file, EURUSD, load_expectations(), manifest=None, progress=Silent())
    assert "for x another type than the column's" in verdict_of(report, "file_readable").got
