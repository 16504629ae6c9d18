"""What values and statistics say of a column, and that both say the same of files that Polars writes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.columns import ColumnFacts, measure, stated_columns
from bqx_assets.quality.decode import decode
from bqx_assets.quality.ranges import column_groups
from bqx_assets.quality.statistics import stated_groups, without_chunks
from bqx_assets_tests.frames import minutes

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
        measure(frame, measured, map(group.statistics, places))
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
