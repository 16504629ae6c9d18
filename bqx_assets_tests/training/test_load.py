"""Loading gives the chosen columns and rows of the published file and no other, or says what does not fit."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from bqx_assets.base.artifacts import manifest_path
from bqx_assets.base.errors import BadSetting, BqxError, CheckpointCorrupt, ChecksumMismatch, ObjectMissing, OtherData
from bqx_assets.base.names import KEY, is_target
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.merge.footer import read_footer
from bqx_assets.training.choice import LEFT_OUT, Choice, Excluded
from bqx_assets.training.load import NoDictionary, load_training, refuse_narrow, training_columns, training_manifest
from bqx_assets.training.stacked_pairs import load_panel
from bqx_assets_tests.frames import START
from bqx_assets_tests.training.published import ROWS, Merged, merged_pair

NAME = "training_eurusd.parquet"
LABEL = "target_bqx45_h15"
DICTIONARY = "training_eurusd.columns.parquet"


def _windows(row: dict[str, Any]) -> set[str]:
    """The words of a feature's name that are windows; those of its table where it has none."""
    found = {word.removeprefix("w") for word in row["source"].split("_")}
    found = {word for word in found if word.isdecimal()}
    return found or {word for word in row["table"].split("_") if word.isdecimal()}


def _by_hand(facts: pl.DataFrame, choice: Choice) -> list[str]:
    """The features that a person would take, one after another."""
    include, taken, seen = choice.get("include", ()), list[str](), list[str]()
    for row in facts.to_dicts():
        first = row["duplicate_of"] or row["column"]
        if (
            row["kind"] != "feature"
            or ("families" in choice and row["family"] not in choice["families"])
            or ("tables" in choice and row["table"] not in choice["tables"])
            or ("windows" in choice and not _windows(row) & set(map(str, choice["windows"])))  # type: ignore[arg-type]
            or (
                "longest_window" in choice
                and (row["reach_rows"] is None or row["reach_rows"] > choice["longest_window"])
            )
            or (row["identifier"] and "identifier" not in include)
            or (row["type"] == "STRING" and "not_numeric" not in include)
            or (row["nulls"] == row["rows"] and "all_null" not in include)
            or (row["constant"] and "constant" not in include)
            or (first in seen and "duplicate" not in include)
        ):
            continue
        taken.append(row["column"])
        seen.append(first)
    return taken


CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "families": st.lists(st.sampled_from(["pair_specific", "currency_strength", "market_wide"]), min_size=1),
        "tables": st.lists(st.sampled_from(["agg_eurusd", "base_bqx_eurusd", "csi_agg_usd", "mkt_vol"]), min_size=1),
        "windows": st.lists(st.sampled_from([45, 90, 180, 2880]), min_size=1),
        "longest_window": st.sampled_from([1, 45, 90, 91, 2880]),
        "include": st.lists(st.sampled_from(["identifier", "not_numeric", "all_null", "constant", "duplicate"])),
    },
)
HOURS = st.none() | st.integers(-30, ROWS + 30)


@settings(max_examples=40)
@given(
    choice=CHOICES, targets=st.lists(st.sampled_from([(45, 15), (90, 105), (2880, 30)]), max_size=2, unique=True),
    first=HOURS, behind=HOURS, labelled=st.booleans(), single=st.booleans(),
)  # fmt: skip
def test_any_choice_is_what_a_person_would_select_of_the_whole_file(  # noqa: PLR0913 -- one parameter a dimension
    folder: Path, eurusd: Merged, *, choice: Choice, targets: list[tuple[int, int]], first: int | None,
    behind: int | None, labelled: bool, single: bool,
) -> None:  # fmt: skip
    start, end = (None if each is None else START + timedelta(hours=each) for each in (first, behind))
    dtype = pl.Float32 if single else None
    features = _by_hand(eurusd.dictionary.frame, choice)
    how: dict[str, Any] = {"start": start, "end": end, "labelled": labelled, "dtype": dtype, "source": folder}
    if not features or (start is not None and end is not None and end <= start):
        with pytest.raises(BadSetting):
            load_training("eurusd", targets, **how, **choice)
        return
    labels = [f"target_bqx{window}_h{horizon}" for window, horizon in targets]
    whole = pl.read_parquet(folder / NAME).select(KEY, *labels, *features)
    if start is not None:
        whole = whole.filter(pl.col(KEY) >= start)
    if end is not None:
        whole = whole.filter(pl.col(KEY) < end)
    if labelled:
        whole = whole.drop_nulls(labels) if labels else whole
    if single:
        numbers = [name for name, kind in whole.schema.items() if kind.is_numeric() or kind == pl.Boolean]
        whole = whole.with_columns(pl.col(numbers).cast(pl.Float32))
    found = load_training("eurusd", targets, **how, **choice)
    assert found.collect_schema() == whole.schema
    assert found.collect().equals(whole)


def test_no_target_but_the_chosen_one_comes_with_a_target_and_nothing_that_knows_the_future(tmp_path: Path) -> None:
    knowing = merged_pair(tmp_path, parse_pair("eurusd"), forward=True)
    knowing.publish(LocalObjectStore(tmp_path / "out"))
    assert any(name.startswith("base_bqx__target_") for name in pl.read_parquet_schema(tmp_path / "out" / NAME))
    columns = (
        load_training("eurusd", (45, 15), include=get_args(Excluded), source=tmp_path / "out").collect_schema().names()
    )
    assert [name for name in columns if "target" in name] == [LABEL]
    with pytest.raises(BadSetting, match="never given to a model"):
        load_training("eurusd", features="base_bqx__target_45", source=tmp_path / "out")
    with pytest.raises(BadSetting, match="Targets are no features"):
        load_training("eurusd", features=LABEL, source=tmp_path / "out")


def test_targets_are_named_by_window_and_horizon_by_name_by_pattern_or_not_at_all(folder: Path) -> None:
    def labels(target: Any) -> list[str]:
        columns = load_training("eurusd", target, source=folder).collect_schema().names()
        return [name for name in columns if is_target(name)]

    assert labels((45, 15)) == labels(LABEL) == labels([(45, 15), LABEL]) == [LABEL]
    assert labels([(90, 30), (45, 15)]) == ["target_bqx90_h30", LABEL]
    assert labels("target_bqx45_h*") == [f"target_bqx45_h{horizon}" for horizon in range(15, 106, 15)]
    assert labels(None) == []
    with pytest.raises(BadSetting, match=r"of windows 45, 90, .* horizons 15, 30"):
        labels((46, 15))
    assert load_training("eurusd", (45, 15), features=[], source=folder).collect_schema().names() == [KEY, LABEL]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"features": "agg__agg_maen_45"}, "Did you mean agg__agg_mean_45"),
        ({"features": "agg__agg_std_45"}, r'left out: constant.*include=\["constant"\]'),
        ({"families": ["pair_specifc"]}, "Did you mean pair_specific"),
        ({"tables": "agg"}, "Did you mean agg_eurusd"),
        ({"tables": "nothing_*"}, "one of agg_eurusd"),
        ({"windows": [44]}, "one of .*45.*Did you mean 45[?]"),
        ({"subjects": "euro"}, "one of pair, compared, base.*Take one of these"),
        ({"include": "forward_looking"}, "one of identifier"),
        ({"tables": "csi_agg_usd", "families": "market_wide"}, "got|none"),
    ],
)
def test_a_choice_that_finds_nothing_is_refused_with_what_there_is(folder: Path, choice: Choice, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        load_training("eurusd", **choice, source=folder)


def test_an_unknown_keyword_is_refused_as_pythons_own(folder: Path) -> None:
    with pytest.raises(TypeError, match="'familys'"):
        load_training("eurusd", source=folder, familys="a")  # pyright: ignore[reportCallIssue]


def test_ranges_are_dates_texts_or_times_in_utc_and_neighbours_share_no_row(folder: Path) -> None:
    def hours(**bounds: Any) -> int:
        return load_training("eurusd", features=[], source=folder, **bounds).collect().height

    assert hours(start="2024-02-01", end="2024-03-01") == hours(start=date(2024, 2, 1), end=date(2024, 3, 1)) == 696
    zoned = datetime.fromisoformat("2024-02-01T01:00+01:00")
    assert hours(start=zoned) == hours(start="2024-02-01T00:00") == ROWS - hours(end=datetime(2024, 2, 1, tzinfo=UTC))
    with pytest.raises(BadSetting, match="a date or a time"):
        hours(start="yesterday")


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"start": "2030-01-01"}, r"eurusd.*2024-01-02.* to 2024-.*bqx run eurusd"),
        ({"end": "2024-01-01"}, r"2024-01-02.* to 2024-.*Choose another range\.$"),
        ({"start": "2023-01-01", "end": "2023-02-01"}, "Choose another range"),
    ],
)
def test_a_range_before_or_after_all_rows_is_refused_with_the_files_own(
    folder: Path, bounds: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadSetting, match=said):
        load_training("eurusd", features=[], source=folder, **bounds)
    with pytest.raises(BadSetting, match=said):
        load_panel(["eurusd"], features=[], source=folder, **bounds)


def test_a_range_reads_only_its_row_groups(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "out")
    file = tmp_path / "out" / NAME
    january, february, march = read_footer(file).groups
    whole = pl.read_parquet(file)
    with file.open("r+b") as damaged:
        for group in (january, march):
            for chunk, name in zip(group.chunks, whole.columns, strict=True):
                if name != KEY:
                    damaged.seek(chunk.start)
                    damaged.write(bytes(chunk.end - chunk.start))
    rows = load_training("eurusd", (45, 15), start="2024-02-01", end="2024-03-01", source=tmp_path / "out").collect()
    assert rows.equals(whole[744 - 24 :][: february.rows].select(rows.columns).drop_nulls(LABEL))
    with pytest.raises(pl.exceptions.PolarsError):
        load_training("eurusd", (45, 15), source=tmp_path / "out").collect()


def test_a_frame_stays_that_of_the_file_that_was_loaded(eurusd: Merged, tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "out")
    eurusd.publish(store)
    before = load_training("eurusd", (45, 15), source=tmp_path / "out")
    values = before.collect()
    other = merged_pair(tmp_path, parse_pair("eurusd"), shift=1)
    other.publish(store)
    assert before.collect().equals(values)
    assert not load_training("eurusd", (45, 15), source=tmp_path / "out").collect().equals(values)


def test_a_pin_is_a_digest_or_a_generation_and_anything_else_there_is_refused(folder: Path, eurusd: Merged) -> None:
    digest = eurusd.manifest.file.content_digest or ""
    info = LocalObjectStore(folder).head(NAME)
    assert info is not None
    for pin in (digest, info.generation, info.version):
        assert training_manifest("eurusd", source=folder, pin=pin).file == eurusd.manifest.file.model_copy(
            update={"name": NAME}
        )
    for pin in ("0" * 63 + "a", 17):
        with pytest.raises(OtherData, match="bqx fetch eurusd"):
            load_training("eurusd", source=folder, pin=pin)
    with pytest.raises(BadSetting, match="64 hexadecimal digits"):
        load_training("eurusd", source=folder, pin="latest")


def _no_file(out: Path) -> None:
    (out / NAME).unlink()


def _no_manifest(out: Path) -> None:
    manifest_path(out / NAME).unlink()


def _no_dictionary(out: Path) -> None:
    (out / DICTIONARY).write_bytes(b"PAR1")


def _cut(out: Path) -> None:
    (out / NAME).write_bytes((out / NAME).read_bytes()[:-1])


def _other_footer(out: Path) -> None:
    data = bytearray((out / NAME).read_bytes())
    data[-200] ^= 1
    (out / NAME).write_bytes(data)


def _other_manifest(out: Path) -> None:
    shutil.copy(manifest_path(out / "training_gbpusd.parquet"), manifest_path(out / NAME))


def _other_dictionary(out: Path) -> None:
    shutil.copy(out / "training_gbpusd.columns.parquet", out / DICTIONARY)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_no_file, ObjectMissing),
        (_no_manifest, CheckpointCorrupt),
        (_other_manifest, CheckpointCorrupt),
        (_other_dictionary, CheckpointCorrupt),
        (_no_dictionary, CheckpointCorrupt),
        (_cut, ChecksumMismatch),
        (_other_footer, ChecksumMismatch),
    ],
)
def test_files_that_do_not_belong_together_give_an_error_and_no_frame(
    folder: Path, tmp_path: Path, spoil: Any, error: type[BqxError]
) -> None:
    out = tmp_path / "copies"
    out.mkdir()
    for path in folder.glob("training_*"):
        shutil.copy(path, out)
    assert load_training("eurusd", (45, 15), source=out / NAME).collect().height
    spoil(out)
    with pytest.raises(error):
        load_training("eurusd", (45, 15), source=out)


def test_without_a_dictionary_columns_are_judged_alike_and_a_warning_says_what_is_unknown(
    folder: Path, eurusd: Merged, tmp_path: Path
) -> None:
    eurusd.publish(LocalObjectStore(tmp_path), dictionary=False)
    with pytest.warns(NoDictionary, match="bqx publish eurusd"):
        found = training_columns("eurusd", source=tmp_path)
    known = training_columns("eurusd", source=folder)
    columns = ["column", LEFT_OUT, "common_name", "nulls", "duplicate_of"]
    assert found.select(columns).equals(known.select(columns))


def test_the_settings_name_the_place_where_none_is_given(eurusd: Merged, tmp_path: Path) -> None:
    eurusd.publish(LocalObjectStore(tmp_path / "home" / "bqx-ml-output"))
    assert load_training("eurusd", settings=Settings(home=tmp_path / "home")).collect().height == ROWS
    with pytest.raises(ObjectMissing, match="bqx run gbpusd"):
        load_training("gbpusd", settings=Settings(home=tmp_path / "home"))


def test_a_moment_of_any_zone_is_the_same_moment(folder: Path) -> None:
    def rows(start: Any) -> pl.DataFrame:
        return load_training("eurusd", LABEL, features=[], start=start, source=folder).collect()

    utc = datetime(2024, 2, 1, 12, tzinfo=UTC)
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"):
        assert rows(utc.astimezone(ZoneInfo(zone))).equals(rows(utc))
    for wrong in (20240201, "yesterday"):
        with pytest.raises(BadSetting, match="a date or a time"):
            rows(wrong)


@pytest.mark.parametrize("target", [[45, 15], (45, 15, 30)])
def test_what_is_no_target_is_refused(folder: Path, target: Any) -> None:
    with pytest.raises(BadSetting, match="a window and a horizon"):
        load_training("eurusd", target, source=folder)


@pytest.mark.parametrize("dtype", [pl.Int32, pl.String, pl.Boolean, pl.Datetime("us"), pl.Decimal(10, 2)])
def test_a_type_that_cuts_values_off_is_refused(folder: Path, dtype: Any) -> None:
    with pytest.raises(BadSetting, match=r"pl\.Float32"):
        load_training("eurusd", LABEL, dtype=dtype, source=folder)


def test_a_type_in_which_a_value_would_be_infinite_is_refused() -> None:
    rows = [("a", "FLOAT64", -1e39, 2.0), ("b", "FLOAT64", None, None), ("c", "INT64", 0.0, 7e4)]
    chosen = pl.DataFrame(rows, schema=["column", "type", "minimum", "maximum"], orient="row")
    for dtype, within in ((pl.Float32, 2), (pl.Float64, 3)):
        refuse_narrow(dtype, chosen.tail(within))
    with pytest.raises(BadSetting, match=r"Float32.*values of a, -1e\+39 to 2"):
        refuse_narrow(pl.Float32, chosen)


def test_a_feature_by_its_common_name_is_refused_as_by_its_own(folder: Path) -> None:
    for name in ("agg__agg_std_45", "csi_agg_usd__currency", "csi_agg_quote__currency"):
        with pytest.raises(BadSetting, match="which is left out"):
            load_training("eurusd", features=[name, "agg__agg_mean_45"], source=folder)


def test_verify_finds_a_damaged_byte_of_a_chosen_table_and_looks_at_no_other(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / "out")
    path = place / "training_eurusd.parquet"
    footer = read_footer(path)
    chunk = footer.groups[1].chunks[footer.columns.index("agg__agg_mean_45")]
    data = bytearray(path.read_bytes())
    data[chunk.end - 5] ^= 1
    path.write_bytes(data)
    load_training("eurusd", (45, 15), source=path, features="csi_agg_*", verify=True)
    load_training("eurusd", (45, 15), source=path, features="agg__agg_mean_90")  # nothing is compared
    for features in ("agg__agg_mean_90", "agg__agg_mean_45"):
        with pytest.raises(ChecksumMismatch, match=r"other bytes in agg_eurusd 2024-02.*bqx fetch eurusd") as damaged:
            load_training("eurusd", (45, 15), source=path, features=features, verify=True)
        assert damaged.value.cure.endswith(f"bqx verify {path}"), "not the published file of the pair"
    with pytest.raises(ChecksumMismatch):
        load_panel(["gbpusd", "eurusd"], (45, 15), source=place, features="agg__agg_mean_90", verify=True)
    verified = load_training("gbpusd", (45, 15), source=place, verify=True).collect()
    assert verified.equals(load_training("gbpusd", (45, 15), source=folder).collect())
