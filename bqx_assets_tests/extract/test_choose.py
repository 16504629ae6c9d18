"""Each kind of column gets an encoding in which it is no larger than in Polars' file, and keeps it while data grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.encodings import POLICIES, Encoding
from bqx_assets_tests.frames import minutes

_ROWS = 131_072
_SETTINGS: tuple[EncodingPolicy, ...] = ("balanced", "small", "fast", "compatible")


def _columns(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(_ROWS)
    walk = np.cumsum(rng.standard_normal(_ROWS))
    return {
        "price": np.round(1.1 + walk * 5e-5, 5),
        "change": np.round(noise * 0.01, 5),
        "three digits": np.round(noise, 3),
        "five digits": np.round(noise, 5),
        "walk of five digits": np.round(walk * 0.05, 5),
        "all digits": noise,
        "sum of rounded changes": np.cumsum(np.round(noise * 5e-5, 5)),
        "variance of prices": pl.Series(np.round(1.1 + walk * 5e-5, 5)).rolling_var(20, min_samples=2),
        "after warm-up": pl.Series(noise).shift(2_880),
        "mean": pl.Series(walk).rolling_mean(90, min_samples=1),
        "sign": np.sign(np.round(noise)),
        "held": noise[: _ROWS // 4].repeat(4),
        "sparse": np.where(rng.random(_ROWS) < 0.1, noise, 0.0),
        "unknown": pl.Series([None] * _ROWS, dtype=pl.Float64),
        "count": rng.integers(0, 20_000, _ROWS),
        "hour": rng.integers(0, 24, _ROWS),
        "level": np.cumsum(rng.integers(-3, 4, _ROWS)),
        "identifier": rng.integers(0, 2**62, _ROWS),
        "flag": rng.integers(0, 2, _ROWS) == 1,
        "rare flag": rng.random(_ROWS) < 0.01,
        "regime": np.array(["expanding", "contracting", "neutral"])[rng.integers(0, 3, _ROWS // 50 + 1)].repeat(50)[
            :_ROWS
        ],
        "pair": ["eurusd"] * _ROWS,
        "text": [f"{each:016x}" for each in rng.integers(0, 2**62, _ROWS)],
        "time": minutes(_ROWS),
    }


@pytest.fixture(scope="module")
def columns() -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, values) for name, values in _columns(11).items()])


@pytest.mark.parametrize(
    ("name", "kind"),
    {
        "price": "dictionary",
        "change": "dictionary",
        "three digits": "dictionary",
        "five digits": "plain",
        "all digits": "split",
        "sum of rounded changes": "plain",
        "after warm-up": "split",
        "mean": "split",
        "sign": "dictionary",
        "held": "plain",
        "sparse": "plain",
        "hour": "dictionary",
        "level": "split",
        "regime": "dictionary",
        "pair": "dictionary",
        "text": "plain",
        "time": "split",
    }.items(),
)
def test_each_kind_of_column_gets_its_encoding(columns: pl.DataFrame, name: str, kind: str) -> None:
    assert choose(columns.select(name), "balanced", {})[name].kind == kind


@pytest.mark.parametrize("seed", [11, 12])
def test_no_kind_of_column_is_larger_than_in_polars_own_file(tmp_path: Path, seed: int) -> None:
    """At most 1% larger: Arrow's packed indexes have a mark more for each 504 values."""
    for name, values in _columns(seed).items():
        frame = pl.DataFrame({name: values})
        frame.write_parquet(tmp_path / "polars.parquet")
        ours = _written(frame, choose(frame, "balanced", {}), tmp_path / "ours.parquet")
        assert ours.stat().st_size <= 1.01 * (tmp_path / "polars.parquet").stat().st_size, name


def test_the_smallest_files_are_small_and_the_fast_ones_are_not_compressed_for_little(
    tmp_path: Path, columns: pl.DataFrame
) -> None:
    encodings = {setting: choose(columns, setting, {}) for setting in _SETTINGS}
    sizes = {
        setting: _written(columns, each, tmp_path / f"{setting}.parquet").stat().st_size
        for setting, each in encodings.items()
    }
    assert sizes["small"] <= 1.005 * sizes["balanced"] < sizes["fast"]
    assert sizes["balanced"] < sizes["compatible"]
    assert encodings["fast"]["all digits"] == Encoding("plain", "none")


def test_steps_are_stored_by_the_smallest_setting_alone(columns: pl.DataFrame) -> None:
    """fastparquet reads wrong values from wide steps, in silence."""
    found = {setting: {each.kind for each in choose(columns, setting, {}).values()} for setting in _SETTINGS}
    assert [setting for setting, kinds in found.items() if "delta" in kinds] == ["small"]


def test_an_identifier_is_not_compressed(columns: pl.DataFrame) -> None:
    assert choose(columns.select("identifier"), "balanced", {})["identifier"].codec == "none"


def test_a_column_keeps_its_encoding_until_another_is_a_tenth_cheaper(columns: pl.DataFrame) -> None:
    for name, before in {
        "all digits": Encoding("split", "zstd", 3),
        "price": Encoding("dictionary", "zstd", 1),
    }.items():
        assert choose(columns.select(name), "balanced", {name: before})[name] == before
    costly = {"mean": Encoding("plain", "zstd", 1)}
    assert choose(columns.select("mean"), "balanced", costly)["mean"].kind == "split"


def test_an_encoding_that_the_setting_does_not_allow_is_not_kept(columns: pl.DataFrame) -> None:
    before = {"all digits": Encoding("split", "zstd", 1)}
    assert choose(columns.select("all digits"), "compatible", before)["all digits"] == Encoding("plain", "snappy")


def test_a_growing_column_keeps_its_encoding(columns: pl.DataFrame) -> None:
    some = columns.head(100_000)
    before = choose(some, "balanced", {})
    assert choose(columns, "balanced", before) == before


def test_a_column_without_values_in_the_first_row_group_is_not_far_larger_than_in_polars_own_file(
    tmp_path: Path, columns: pl.DataFrame
) -> None:
    """At most a fifth, also of values of which it would choose another encoding if it knew them."""
    for name in ("price", "all digits", "mean", "sign", "count", "identifier", "flag", "rare flag", "regime", "time"):
        known = columns.get_column(name)
        frame = known.clear().extend_constant(None, _ROWS).append(known).to_frame()
        frame.write_parquet(tmp_path / "polars.parquet", row_group_size=_ROWS)
        encodings = choose(frame.head(_ROWS), "balanced", {})
        with parquet_writer(tmp_path / "ours.parquet", frame, encodings) as writer:
            writer.write_table(as_arrow(frame), row_group_size=_ROWS)
        ours, theirs = ((tmp_path / f"{file}.parquet").stat().st_size for file in ("ours", "polars"))
        assert ours <= 1.2 * theirs, (name, encodings)


@pytest.mark.parametrize("texts", ["long texts of a few kinds", "many texts"])
def test_texts_that_come_back_are_stored_once(texts: str) -> None:
    rng = np.random.default_rng(4)
    few, many = [letter * 10_000 for letter in "abcde"], [f"user_{number}" for number in range(20_000)]
    among = few if texts.startswith("long") else many
    column = pl.Series("text", among)[rng.integers(0, len(among), 60_000 if among is many else 10_000)]
    assert choose(column.to_frame(), "balanced", {})["text"].kind == "dictionary"


@pytest.mark.parametrize("rows", [0, 1, 2, 63])
@pytest.mark.parametrize("setting", _SETTINGS)
def test_a_few_rows_get_an_encoding_that_the_setting_allows(
    columns: pl.DataFrame, rows: int, setting: EncodingPolicy
) -> None:
    allowed = POLICIES[setting].encodings
    assert all(each in allowed for each in choose(columns.head(rows), setting, {}).values())


_FLOATS = st.none() | st.floats() | st.sampled_from([1.5, -0.0, 0.0])
_INTEGERS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)
_TEXTS = st.none() | st.text(max_size=3) | st.sampled_from(["up", "down"])


@given(st.data(), st.sampled_from(_SETTINGS), st.sampled_from([1, 7, 200, 2_000]))
def test_any_values_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, setting: EncodingPolicy, rows: int
) -> None:
    kinds: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
        "f": (_FLOATS, pl.Float64),
        "i": (_INTEGERS, pl.Int64),
        "t": (_TEXTS, pl.String),
        "b": (st.none() | st.booleans(), pl.Boolean),
        "m": (st.none() | st.integers(-(2**55), 2**57), pl.Datetime("us", "UTC")),
    }
    found = [
        pl.Series(name, (data.draw(st.lists(values, min_size=1, max_size=60)) * rows)[:rows], dtype=kind)
        for name, (values, kind) in kinds.items()
    ]
    frame = pl.DataFrame([each.extend_constant(None, rows - each.len()) for each in found])
    path = tmp_path_factory.mktemp("any") / "slab.parquet"
    assert_frame_equal(pl.read_parquet(_written(frame, choose(frame, setting, {}), path)), frame)


def _written(frame: pl.DataFrame, encodings: dict[str, Encoding], path: Path) -> Path:
    with parquet_writer(path, frame, encodings) as writer:
        writer.write_table(as_arrow(frame))
    return path
