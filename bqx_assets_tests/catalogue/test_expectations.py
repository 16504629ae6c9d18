"""Expectations are found and checked as a file, and a pair must be near its approved facts."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bqx_assets.base.errors import BadSetting, BqxError
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.catalogue.expectations import PairFacts, TableFacts, load_expectations, parse_expectations, read_text
from bqx_assets.catalogue.families import expected_tables
from bqx_assets_tests.servers.gcs.fixtures import BUCKET

EURUSD = parse_pair("eurusd")


def test_the_packaged_file_holds_the_users_thresholds() -> None:
    found = load_expectations()
    assert (found.min_rows, found.min_columns) == (100_000, 10_000)
    gates = found.earlier_gates
    assert (gates.feature_null_fraction, gates.target_null_fraction) == (0.05, 0.01)
    assert len(found.targets()) == 49


def test_a_file_overrides_only_what_it_states(tmp_path: Path) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text('min_rows = 400\n[known_absent]\nagg_eurusd = "retired"\n')
    found = load_expectations(path)
    assert found.min_rows == 400
    assert found.known_absent == {"agg_eurusd": "retired"}
    assert found.min_columns == load_expectations().min_columns


def test_a_file_of_an_earlier_version_stays_readable() -> None:
    """Earlier versions wrote this table into each file that is kept with a published one."""
    assert parse_expectations("min_rows = 3\n[family_tables]\nvariance = 63\n", "kept").min_rows == 3


@pytest.mark.parametrize("text", ["min_rows = 0", "unknown_key = 1", "not toml", "max_feature_null_fraction = 5"])
def test_a_file_that_is_wrong_is_refused_naming_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text(text)
    with pytest.raises(BadSetting, match=r"expectations\.toml"):
        load_expectations(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="No such file"):
        load_expectations(tmp_path / "none.toml")


_MINUTES = 2_164_285
_KNOWN = {
    # The users' own counts of rows, or of the worst table of a family.
    "corr_etf_idx_eurusd_spy": 1_201_524,
    "corr_ibkr_eurusd_gld": 1_190_996,
    "corr_etf_bqx_eurusd_ewj": 1_067_160,
    "corr_bqx_ibkr_eurusd_uup": 1_037_017,
    "corr_etf_idx_eurusd_vix": 998_129,
    "corr_etf_idx_eurusd_ewg": 990_966,
    "corr_etf_idx_eurusd_ewa": 928_724,
    "cov_agg_eurusd_gbpusd": 1_955_574,
    "tri_agg_bqx_eur_usd_gbp": 1_921_875,
    "tri_agg_bqx_eur_usd_chf": 1_996_766,
    "base_bqx_eurusd": _MINUTES,
    "agg_eurusd": _MINUTES,
    "csi_agg_aud": _MINUTES,
}


@pytest.mark.parametrize("table", _KNOWN)
def test_the_rows_that_the_users_tables_have_are_enough_and_two_fifths_of_them_are_not(table: str) -> None:
    most = load_expectations().max_missing_rows(table, _MINUTES)
    assert _MINUTES - _KNOWN[table] <= most
    assert _MINUTES - _KNOWN[table] * 2 // 5 > most


@pytest.mark.parametrize("table", ["base_bqx_eurusd", "agg_eurusd", "reg_idx_eurusd", "csi_agg_aud", "any_other_name"])
def test_a_table_that_misses_none_may_not_lose_a_few_per_cent(table: str) -> None:
    assert load_expectations().max_missing_rows(table, 10_000) < 400


def test_a_lost_row_counts_whole_in_a_short_range() -> None:
    assert load_expectations().max_missing_rows("agg_eurusd", 40) == 1


@pytest.mark.parametrize("text", ["windows = []", "horizons = [0]", '[max_missing_fraction]\n"*" = 1.5'])
def test_expectations_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(BadSetting):
        load_expectations(tmp_path / "own.toml")


def _etf(*instruments: str) -> list[str]:
    columns = ("corr_30min", "corr_60min", "corr_90min", "covar_60min", "fx_pair", "ibkr_instrument", "v1", "v2")
    return [f"corr_etf_idx_{each}__{name}" for each in instruments for name in columns]


def test_the_16_columns_of_two_etf_tables_may_be_empty_and_a_third_table_may_not() -> None:
    found = load_expectations()
    for known in (_etf("ewa", "ewg"), _etf("ewj", "vix"), _etf("spy"), []):
        assert found.beyond_all_null(EURUSD, known) == []
    assert found.beyond_all_null(EURUSD, _etf("ewa", "ewg", "ewj")) == _etf("ewa", "ewg", "ewj")
    assert found.beyond_all_null(EURUSD, [*_etf("ewa", "ewg"), "agg__agg_mean_45"]) == ["agg__agg_mean_45"]


@pytest.mark.parametrize(("columns", "may"), [(_etf("ewa"), True), (["corr_ibkr_ewa__x"], False), ([], False)])
def test_a_table_may_have_no_row_where_all_its_columns_may_be_empty(columns: list[str], *, may: bool) -> None:
    assert load_expectations().may_be_empty(EURUSD, columns) == may


def test_13_absent_cov_tables_are_excused_a_14th_excuses_none_and_other_tables_never() -> None:
    names = sorted(each.table for each in expected_tables(EURUSD) if each.table.startswith("cov_"))
    found = load_expectations()
    assert [*found.excused_absent(EURUSD, names[:13])] == names[:13]
    assert found.excused_absent(EURUSD, names[:14]) == {}
    assert found.excused_absent(EURUSD, ["agg_eurusd", "tri_vol_idx_nzd_usd_jpy"]) == {}


def test_a_pair_is_judged_by_its_own_approved_facts_and_no_other_pairs(tmp_path: Path) -> None:
    facts = 'found = "a test"\nspine = "s"\nrows = 9\nfirst = "2024-01-01T00:00:00Z"\nlast = "2024-01-02T00:00:00Z"\n'
    text = "".join(
        f'[pair.{pair}]\n{approved}{facts}absent = {{ agg_{pair} = "none" }}\ntables = {{}}\n'
        for pair, approved in (("eurusd", 'approved = "2026-11-26 by ann"\n'), ("gbpusd", ""))
    )
    (tmp_path / "expectations.toml").write_text("version = 7\n" + text)
    found = load_expectations(tmp_path)
    gbpusd, usdjpy = parse_pair("gbpusd"), parse_pair("usdjpy")
    assert found.absent(EURUSD) == {"agg_eurusd": "none"}
    assert found.absent(gbpusd) == {}
    assert [found.judged_by(each).approval for each in (EURUSD, gbpusd, usdjpy)] == ["approved", "proposed", "none"]
    assert found.judged_by(gbpusd).sha256 == found.judged_by(usdjpy).sha256 != found.judged_by(EURUSD).sha256
    assert found.judged_by(EURUSD).place == str(tmp_path / "expectations.toml")
    assert parse_expectations(found.of(EURUSD).text(), found.place) == found.of(EURUSD)


def test_the_place_is_no_key_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('place = "gs://elsewhere"')
    with pytest.raises(BadSetting, match="place"):
        load_expectations(tmp_path / "own.toml")


def test_a_table_that_was_approved_as_being_there_is_never_excused(tmp_path: Path) -> None:
    facts = 'found = "a test"\nspine = "s"\nrows = 9\nfirst = "2024-01-01T00:00:00Z"\nlast = "2024-01-02T00:00:00Z"\n'
    there = "[pair.eurusd.tables]\ncov_agg_eurusd_gbpusd = { matched = 9, columns = 1, nulls = 0 }\n"
    for approved, excused in (("", 2), ('approved = "by ann"\n', 1)):
        (tmp_path / "expectations.toml").write_text(f"[pair.eurusd]\n{approved}{facts}{there}")
        found = load_expectations(tmp_path)
        assert len(found.excused_absent(EURUSD, ["cov_agg_eurusd_gbpusd", "cov_agg_eurusd_usdjpy"])) == excused


def test_a_file_or_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "expectations.toml"
    file.write_text("version = 3\n")
    assert read_text(file) == read_text(str(tmp_path)) == (str(file), "version = 3\n")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.toml").write_text("\n")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(9 << 30)
    for name in ("none.toml", "pipe.toml", "binary.toml", "empty.toml", "large.toml", "."):
        with pytest.raises(BadSetting) as refused:
            read_text(tmp_path / name)
        assert refused.value.subject.startswith(f"expectations {tmp_path}")


_NAME = "settings/expectations.toml"


@pytest.mark.parametrize("place", [_NAME, "settings", "settings/"])
def test_an_object_or_the_folder_it_is_in(gcs_store: GcsObjectStore, place: str) -> None:
    gcs_store.put_bytes(_NAME, b"version = 9\nmin_rows = 5\n")
    found = load_expectations(f"gs://{BUCKET}/{place}")
    assert (found.version, found.min_rows, found.place) == (9, 5, gcs_store.uri(_NAME))
    assert found.min_columns == load_expectations().min_columns


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, "no such object"),
        (b"\x89PAR1\xff\xfe", "bytes that are not a text"),
        (b"", "an empty file"),
        (b"<html>not found</html>", "Invalid"),
        (b'{"format_version": 1}', "Invalid"),
        (b"min_rows = 'many'", "min_rows"),
        (b"min_rowz = 5", "min_rowz"),
        (b"max_missing_fraction = 3", "max_missing_fraction"),
        (b"#" * ((16 << 20) + 1), "16,777,217 bytes"),
    ],
)
def test_what_is_no_expectations_file_is_refused_in_four_parts(
    gcs_store: GcsObjectStore, content: bytes | None, got: str
) -> None:
    if content is not None:
        gcs_store.put_bytes(_NAME, content)
    with pytest.raises(BadSetting) as refused:
        load_expectations(gcs_store.uri(_NAME))
    assert refused.value.subject == f"expectations {gcs_store.uri(_NAME)}"
    assert got in refused.value.got
    assert "BQX_EXPECTATIONS" in refused.value.cure


def test_a_bucket_that_is_not_there_is_an_error_of_the_package(gcs_store: GcsObjectStore) -> None:
    assert gcs_store.uri("x").startswith("gs://")
    with pytest.raises(BqxError, match="gs://no-such-bucket-here"):
        load_expectations("gs://no-such-bucket-here/expectations.toml")


MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
FACTS = PairFacts(
    approved="2026-11-26 by ann",
    found="a test",
    spine="same",
    rows=1_000,
    first=MOMENT,
    last=MOMENT,
    drift=0.02,
    tables={
        "etf": TableFacts(matched=500, columns=8, nulls=4_400),
        "agg": TableFacts(matched=1_000, columns=4, nulls=0),
    },
)


def test_on_the_same_rows_every_number_is_exact() -> None:
    assert FACTS.matched_range("etf", "same", 1_000) == (500, 500)
    assert FACTS.null_range("etf", "same", 1_000, 8) == (4_400, 4_400)


@pytest.mark.parametrize(("rows", "least", "most_nulls"), [(1_000, 480, 4_560), (100, 48, 456), (2_000, 960, 9_120)])
def test_on_other_rows_a_share_may_be_worse_by_the_drift_and_better_by_anything(
    rows: int, least: int, most_nulls: int
) -> None:
    assert FACTS.matched_range("etf", "other", rows) == (least, rows)
    assert FACTS.null_range("etf", "other", rows, 8) == (0, most_nulls)


def test_another_number_of_columns_is_compared_by_share() -> None:
    assert FACTS.null_range("agg", "same", 1_000, 5) == (0, 100)


def test_of_a_table_that_was_not_there_nothing_is_known() -> None:
    assert FACTS.matched_range("new", "same", 1_000) is None
    assert FACTS.null_range("new", "same", 1_000, 3) is None
