"""Values and statistics say the same of a column; a footer whose statistics are false is caught."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.chunk_reader import column_groups, decode
from bqx_assets.quality.scan import ColumnFacts, measure, stated_columns, stated_groups, without_chunks
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD, minutes
from bqx_assets_tests.merge.footers import FLAG, I64, LIST, STRUCT, TEXT, Typed, change_footer, statistics
from bqx_assets_tests.quality.training import Training, rewritten, verdict_of, vouching

FINITE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = {"f": FINITE, "i": st.none() | st.integers(-(2**63), 2**63 - 1), "b": st.none() | st.booleans()}


def _facts(path: Path) -> tuple[list[ColumnFacts], list[ColumnFacts]]:
    """By statistics, and by values."""
    footer = read_footer(path)
    stated = stated_groups(footer)
    measured = stated_columns(footer, stated)
    places = range(len(measured))
    for column in measured:
        column.nulls = column.low = column.high = None
    for group in stated:
        frame = decode(without_chunks(footer), group, places, [(0, path.read_bytes())])
        for place, series in enumerate(frame.iter_columns()):
            measure(series, measured[place], group.statistics(place))
    return stated_columns(footer, stated), measured


def _shown(column: ColumnFacts) -> tuple[object, ...]:
    return column.nulls, column.low, column.high, column.all_null, column.constant, column.zero


@settings(deadline=None, max_examples=50)
@given(data=st.data(), rows=st.integers(1, 12), group_rows=st.integers(1, 12))
def test_statistics_and_values_agree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: int, group_rows: int
) -> None:
    drawn = {
        name: data.draw(st.lists(values, min_size=rows, max_size=rows))
        for name, values in (COLUMNS | {"s": st.none() | st.text(max_size=5)}).items()
    }
    types = {"f": pl.Float64, "i": pl.Int64, "b": pl.Boolean, "s": pl.String}
    frame = pl.DataFrame(drawn, schema=types).with_columns(minutes(rows))
    path = tmp_path_factory.mktemp("facts") / "file.parquet"
    frame.write_parquet(path, row_group_size=group_rows)
    stated, measured = _facts(path)
    assert [column.disagrees for column in measured] == [""] * 5
    assert [column.nulls for column in measured] == [frame[name].null_count() for name in frame.columns]
    for by_statistics, by_values in zip(stated, measured, strict=True):
        assert _shown(by_statistics) == _shown(by_values)
        distinct = frame[by_values.name].drop_nulls().n_unique()
        assert by_values.constant == (distinct == 1)


def test_nan_and_infinities_are_counted_over_row_groups(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    frame = pl.DataFrame(
        {"x": [1.0, nan, inf, None, -inf, nan], "y": [nan] * 6, "z": [1e308, 1e308, 1e308, 1.0, 1.0, 1.0]}
    )
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=4)
    _, (x, y, z) = _facts(tmp_path / "f.parquet")
    assert (x.nan, x.infinite, x.nulls) == (2, 2, 1)
    assert (y.nan, y.infinite, y.constant) == (6, 0, None)
    assert (z.nan, z.infinite) == (0, 0)  # a sum that overflows is no infinity


def test_a_shortened_text_in_the_statistics_is_not_taken_for_a_value(tmp_path: Path) -> None:
    table = pa.table({"s": ["a" * 5_000, "a" * 5_000 + "b"]})
    pq.write_table(table, tmp_path / "f.parquet")
    stated, measured = _facts(tmp_path / "f.parquet")
    assert measured[0].disagrees == ""
    assert not measured[0].constant
    assert not stated[0].constant


def test_a_file_without_statistics_is_measured_alike(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, None, 3.0]}), tmp_path / "f.parquet", write_statistics=False)
    (stated,), (measured,) = _facts(tmp_path / "f.parquet")
    assert (stated.nulls, stated.all_null, stated.constant) == (None, None, None)
    assert (measured.nulls, measured.low, measured.high, measured.disagrees) == (1, 1.0, 3.0, "")


def test_groups_keep_their_bound_and_every_column_once(tmp_path: Path) -> None:
    frame = pl.DataFrame({f"c{i}": [float(i)] * 1_000 for i in range(30)} | {"s": ["text"] * 1_000})
    frame.write_parquet(tmp_path / "f.parquet")
    footer = read_footer(tmp_path / "f.parquet")
    (stated,) = stated_groups(footer)
    groups = column_groups(footer.types, stated, range(31), 8_000 * 7)
    assert [place for group in groups for place in group] == list(range(31))
    assert [len(group) for group in groups] == [7, 7, 7, 7, 3]
    alone = column_groups(footer.types, stated, range(31), 1)
    assert [len(group) for group in alone] == [1] * 31


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
    report = validate(StoredFile.at(file), EURUSD, load_expectations(), manifest=None, progress=Silent())
    assert "another type than the column's for x" in verdict_of(report, "file_readable").got
