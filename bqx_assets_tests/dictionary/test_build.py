"""The dictionary states of each column what plain Polars finds in the file, and duplicates across tables exactly."""

from __future__ import annotations

import io
import itertools
import math
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqx_assets.base.names import KEY, target_parts
from bqx_assets.base.progress import Silent
from bqx_assets.dictionary.build import Gaps, build_dictionary, first_of_each, path_of
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import examine
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.quality.training import ROWS, Training, good, rewritten

_FEW = settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A good file of a few tables in three months, with a gap between two of them."""
    return good(tmp_path_factory.mktemp("good"))


def _dictionary(training: Training) -> Dictionary:
    assert training.manifest is not None
    _, measured = examine(
        StoredFile.at(training.file), EURUSD, training.expectations, manifest=training.manifest, progress=Silent()
    )
    assert measured is not None
    return build_dictionary(training.manifest, measured)


def _columns(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.Float64 and target_parts(name) is None]


_CHANGES: dict[str, pl.Expr] = {
    "constant": pl.lit(2.5),
    "constant where known": pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit(-1.0)),
    "zero of both signs": pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(0.0)).otherwise(pl.lit(-0.0)),
    "null": pl.lit(None, dtype=pl.Float64),
    "NaN": pl.lit(math.nan),
    "NaN and one": pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(math.nan)).otherwise(pl.lit(1.0)),
    "late": pl.when(pl.int_range(pl.len()) >= 150).then(pl.int_range(pl.len()).cast(pl.Float64)),
    "at the end": pl.when(pl.int_range(pl.len()) == ROWS - 1).then(pl.lit(4.0)),
}


def _plain(frame: pl.DataFrame, name: str) -> dict[str, Any]:
    """The facts of a column by plain Polars."""
    column = frame[name]
    known = column.drop_nulls()
    floating = column.dtype.is_float()
    finite = known.filter(known.is_not_nan()) if floating else known
    number = column.dtype.is_numeric()
    values = [*dict.fromkeys("nan" if isinstance(each, float) and math.isnan(each) else each for each in known)]
    return {
        "rows": frame.height,
        "nulls": column.null_count(),
        "warm_up_rows": next((row for row, value in enumerate(column) if value is not None), frame.height),
        "constant": len(values) == 1,
        "minimum": float(finite.min()) if number and len(finite) else None,  # pyright: ignore[reportArgumentType]
        "maximum": float(finite.max()) if number and len(finite) else None,  # pyright: ignore[reportArgumentType]
    }


def _same_values(one: pl.Series, other: pl.Series) -> bool:
    if one.dtype != other.dtype:
        return False
    if not one.dtype.is_float():
        return one.equals(other, null_equal=True)
    bits = [str(value) for value in one], [str(value) for value in other]
    return bits[0] == bits[1]


@_FEW
@given(st.data(), st.sampled_from([0, 90]))
def test_the_facts_are_those_of_plain_polars(training: Training, data: st.DataObject, row_group_rows: int) -> None:
    frame = training.frame()
    names = data.draw(st.lists(st.sampled_from(_columns(frame)), min_size=1, max_size=6, unique=True))
    changes = [data.draw(st.sampled_from(sorted(_CHANGES))) for _ in names]
    copied = data.draw(st.lists(st.sampled_from(_columns(frame)), max_size=3, unique=True))
    frame = frame.with_columns(_CHANGES[change].alias(name) for name, change in zip(names, changes, strict=True))
    frame = frame.with_columns(pl.col(names[0]).alias(name) for name in copied)
    with tempfile.TemporaryDirectory() as folder:
        changed = rewritten(training, frame, Path(folder), row_group_rows=row_group_rows)
        found = _dictionary(changed)
    assert found.frame["column"].to_list() == frame.columns
    for row in found.frame.iter_rows(named=True):
        expected = _plain(frame, row["column"])
        assert {field: row[field] for field in expected} == expected, row["column"]
    originals = {
        name: next(first for first in frame.columns if _same_values(frame[first], frame[name]))
        for name in {*names, *copied}
    }
    stated = dict(zip(found.frame["column"], found.frame["duplicate_of"], strict=True))
    assert {name: stated[name] for name in originals} == {
        name: "" if first == name else first for name, first in originals.items()
    }


def test_sources_families_and_subjects_are_those_of_the_manifest(training: Training) -> None:
    assert training.manifest is not None
    found = _dictionary(training)
    sources = {
        column.name: (slab.provenance.source.table, column.source, column.type, slab.provenance.rows.matched)
        for slab in training.manifest.extraction.slabs
        for column in slab.provenance.columns
    }
    stated = found.frame.select("table", "source", "type", "matched_rows").rows()
    assert dict(zip(found.frame["column"], stated, strict=True)) == sources
    assert found.of(KEY).kind == "key"
    target = found.of("target_bqx90_h30")
    assert (target.kind, target.window, target.horizon, target.family) == ("target", 90, 30, "targets")
    own = found.of("base_bqx__bqx_45")
    assert (own.kind, own.subject, own.window, own.horizon) == ("feature", "pair", 46, None)
    assert own.path == f"{own.path.split('.')[0]}.base_bqx_eurusd"
    assert not found.frame["forward_looking"].any()


def test_a_column_that_looks_forward_is_marked_where_a_setting_keeps_it(training: Training) -> None:
    assert training.manifest is not None
    extraction = training.manifest.extraction.model_copy(update={"forward_looking_included": True})
    kept = Training(
        training.file, training.manifest.model_copy(update={"extraction": extraction}), training.expectations
    )
    frame = training.frame()
    ahead = frame.with_columns(pl.col("target_bqx90_h30").alias("base_bqx__bqx_360"))
    with tempfile.TemporaryDirectory() as folder:
        found = _dictionary(rewritten(kept, ahead, Path(folder)))
    assert found.frame.filter("forward_looking")["column"].to_list() == ["base_bqx__bqx_360"]


def _spanned(times: Sequence[int], usual: int, back: int, ahead: int) -> int:
    """Count rows one by one."""
    rows = 0
    for row in range(len(times)):
        span = times[max(0, row - back) : min(len(times), row + ahead + 1)]
        rows += any(later - earlier > usual for earlier, later in itertools.pairwise(span))
    return rows


@given(
    st.lists(st.sampled_from([1, 1, 1, 1, 5, 60]), max_size=60).filter(lambda steps: not steps or steps.count(1) > 30),
    st.integers(0, 70),
    st.integers(0, 30),
)
@settings(deadline=None)
def test_rows_are_counted_whose_window_spans_a_gap(steps: list[int], back: int, ahead: int) -> None:
    times = [0]
    for step in steps:
        times.append(times[-1] + step)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    keys = pl.Series([start + timedelta(minutes=minute) for minute in times], dtype=pl.Datetime("us", "UTC"))
    assert Gaps(keys).spanned(back, ahead) == _spanned(times, 1, back, ahead)


def test_the_gap_between_two_months_is_in_the_windows_behind_it(training: Training) -> None:
    found = _dictionary(training)
    keys = training.frame()[KEY]
    gaps = int((keys.diff() > timedelta(minutes=1)).sum())
    assert gaps == 1
    behind = keys.len() - int((keys.diff() > timedelta(minutes=1)).arg_max() or 0)
    assert found.of("base_bqx__bqx_45").gap_rows == min(45, behind)
    assert found.of(KEY).gap_rows == 0
    assert found.of("target_bqx45_h15").gap_rows == min(45, 30 + 15, behind + 15)


def test_the_first_of_equal_ones_is_the_original_and_what_is_unknown_equals_nothing() -> None:
    assert first_of_each(["a", "b", "a", None, None, "b", "a"]) == [None, None, 0, None, None, 1, 0]


def test_a_path_names_the_project_of_numbers_from_bigquery() -> None:
    assert path_of("BigQuery project bqx-ml", "features", "agg_eurusd") == "bqx-ml.features.agg_eurusd"
    assert path_of("simulated rates", "features", "agg_eurusd") == "features.agg_eurusd"


def test_a_dictionary_of_an_earlier_version_is_read_with_what_is_known(training: Training) -> None:
    now = _dictionary(training)
    table = pq.read_table(io.BytesIO(now.as_parquet())).drop_columns(["reach_rows", "pairs"])
    into = io.BytesIO()
    pq.write_table(table, into)
    earlier = Dictionary.read(into.getvalue())
    assert earlier.frame.schema == now.frame.schema
    assert earlier.frame["reach_rows"].equals(now.frame["window"])
    assert earlier.frame["pairs"].unique().to_list() == [""]
    assert earlier.frame.drop("reach_rows", "pairs").equals(now.frame.drop("reach_rows", "pairs"))


def test_what_a_table_lacks_lengthens_its_reach(training: Training) -> None:
    """Here every second row of all columns of a table is null."""
    frame = training.frame()
    names = [name for name in frame.columns if name.startswith("agg__")]
    thin = frame.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col(name)).alias(name) for name in names)
    with tempfile.TemporaryDirectory() as folder:
        found = _dictionary(rewritten(training, thin, Path(folder))).frame
    known = [place for place in range(0, frame.height, 2) if any(frame[name][place] is not None for name in names)]
    longest = max(last - first + 1 for first, last in zip(known, known[44:], strict=False))
    reach = found.filter(column="agg__agg_mean_45")["reach_rows"][0]
    assert longest <= reach <= longest + 15  # values of single columns are null in a few rows more
    others = ~pl.col("column").is_in(names)
    assert found.filter(others).equals(_dictionary(training).frame.filter(others))
