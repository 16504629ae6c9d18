"""Discovery accounts for every table and column by name: nothing missing, extra, retyped or changed goes unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bqx_assets.base.artifacts import ExtractionRecord, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.errors import CatalogueMismatch, ColumnCollision, SchemaDrift, TableMissing
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.discovery import FeatureTable, PairCatalogue, TableDescription, discover, drift
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets_tests.descriptions import describe, full_descriptions

EURUSD = parse_pair("eurusd")
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def _discover(
    tables: dict[str, TableDescription], expectations: Expectations | None = None, **options: bool
) -> PairCatalogue:
    return discover(EURUSD, tables.values(), expectations or load_expectations(), **options)


def test_a_full_warehouse_gives_17031_columns_and_quarantines_the_seven_leaking_ones() -> None:
    catalogue = _discover(full_descriptions(EURUSD))
    assert len(catalogue.tables) == 667
    assert not catalogue.problems
    assert catalogue.column_count == 17_038 - 7
    quarantined = [each for table in catalogue.tables for each in table.quarantined]
    assert [each.table for each in quarantined] == ["base_bqx_eurusd"] * 7
    assert {each.column for each in quarantined} == {f"target_{w}" for w in (45, 90, 180, 360, 720, 1440, 2880)}


def test_an_explicit_setting_keeps_forward_looking_columns() -> None:
    catalogue = _discover(full_descriptions(EURUSD), include_forward_looking=True)
    assert catalogue.column_count == 17_038
    assert not any(table.quarantined for table in catalogue.tables)


def test_a_leaking_column_that_is_new_is_quarantined_by_name() -> None:
    tables = full_descriptions(EURUSD)
    agg = tables["agg_eurusd"]
    tables["agg_eurusd"] = replace(agg, columns=(*agg.columns, ("Target_next", "FLOAT64")))
    found = next(t for t in _discover(tables).tables if t.description.table == "agg_eurusd")
    assert [each.column for each in found.quarantined] == ["Target_next"]
    assert not found.left_out


def test_a_missing_table_is_a_problem_by_name_and_the_others_stay() -> None:
    tables = full_descriptions(EURUSD)
    del tables["agg_eurusd"], tables["tri_vol_idx_nzd_usd_jpy"]
    catalogue = _discover(tables)
    assert set(catalogue.problems) == {"agg_eurusd", "tri_vol_idx_nzd_usd_jpy"}
    assert all(isinstance(error, TableMissing) for error in catalogue.problems.values())
    assert len(catalogue.tables) == 665


def test_a_known_absent_table_is_no_problem_and_is_listed_with_its_reason() -> None:
    tables = full_descriptions(EURUSD)
    del tables["agg_eurusd"]
    known = load_expectations().model_copy(update={"known_absent": {"agg_eurusd": "retired", "mom_eurusd": "there"}})
    catalogue = _discover(tables, known)
    assert not catalogue.problems
    assert catalogue.known_absent == {"agg_eurusd": "retired"}
    assert len(catalogue.tables) == 666


def test_an_unexpected_table_is_left_out_and_named_until_it_is_accepted() -> None:
    tables = full_descriptions(EURUSD)
    tables["zz_eurusd_new"] = describe(
        FEATURES_DATASET, "zz_eurusd_new", (("interval_time", "TIMESTAMP"), ("x", "FLOAT64"))
    )
    assert _discover(tables).unexpected == ("zz_eurusd_new",)
    accepted = load_expectations().model_copy(update={"accepted_tables": ("zz_eurusd_new",)})
    catalogue = _discover(tables, accepted)
    assert catalogue.unexpected == ()
    assert [c.name for c in catalogue.tables[255].columns + catalogue.tables[256].columns if "zz" in c.name] == [
        "zz_new__x"
    ]


def test_summary_and_stray_target_tables_are_no_features() -> None:
    tables = full_descriptions(EURUSD)
    for name in ("mkt_vol_summary", "targets_all_fixed", "mkt_corr_summary"):
        tables[name] = describe(FEATURES_DATASET, name, (("metric", "STRING"),))
    catalogue = _discover(tables)
    assert catalogue.unexpected == ()
    assert len(catalogue.tables) == 667


@pytest.mark.parametrize("change", ["retype", "remove", "key"])
def test_a_column_that_vanished_or_changed_type_is_a_problem_that_names_it(change: str) -> None:
    tables = full_descriptions(EURUSD)
    agg = tables["agg_eurusd"]
    victim = "interval_time" if change == "key" else "agg_mean_45"
    columns = tuple(
        (name, "STRING" if name == victim else kind)
        for name, kind in agg.columns
        if not (change == "remove" and name == victim)
    )
    tables["agg_eurusd"] = replace(agg, columns=columns)
    error = _discover(tables).problems["agg_eurusd"]
    assert isinstance(error, SchemaDrift)
    assert victim in str(error)


def test_a_column_nobody_expects_is_left_out_and_named() -> None:
    tables = full_descriptions(EURUSD)
    agg = tables["agg_eurusd"]
    tables["agg_eurusd"] = replace(agg, columns=(*agg.columns, ("agg_new", "FLOAT64")))
    catalogue = _discover(tables)
    assert next(t for t in catalogue.tables if t.description.table == "agg_eurusd").left_out == ("agg_new",)
    assert catalogue.column_count == 17_031


def test_without_its_targets_a_pair_is_refused_naming_the_pairs_there_are() -> None:
    tables = full_descriptions(EURUSD)
    tables["targets_all_fixed"] = replace(tables["targets_eurusd"], table="targets_all_fixed")
    with pytest.raises(TableMissing, match=r"has the pairs: eurusd\."):
        discover(parse_pair("gbpusd"), tables.values(), load_expectations())


def test_targets_with_seven_of_49_columns_are_refused() -> None:
    tables = full_descriptions(EURUSD)
    targets = tables["targets_eurusd"]
    tables["targets_eurusd"] = replace(targets, columns=targets.columns[:9])
    with pytest.raises(CatalogueMismatch, match="49 FLOAT64 targets"):
        _discover(tables)


def test_two_tables_that_give_one_column_name_collide() -> None:
    tables = full_descriptions(EURUSD)
    name = "eurusd_agg"  # without the pair: agg, as agg_eurusd
    tables[name] = replace(tables["agg_eurusd"], table=name)
    accepted = load_expectations().model_copy(update={"accepted_tables": (name,)})
    with pytest.raises(ColumnCollision, match=r"from agg_eurusd, eurusd_agg"):
        _discover(tables, accepted)


_UNREAD = ("DATE", "DATETIME", "NUMERIC(38, 9)", "BIGNUMERIC", "BYTES(3)", "JSON", "GEOGRAPHY", "TIME", "INTERVAL",
           "ARRAY<FLOAT64>", "STRUCT<bid FLOAT64, ask FLOAT64>", "RANGE<DATE>")  # fmt: skip


def _accepting(*columns: tuple[str, str]) -> PairCatalogue:
    tables = full_descriptions(EURUSD)
    tables["spread_eurusd"] = describe(FEATURES_DATASET, "spread_eurusd", columns)
    return _discover(tables, load_expectations().model_copy(update={"accepted_tables": ("spread_eurusd",)}))


@pytest.mark.parametrize("kind", _UNREAD)
def test_a_type_that_cannot_be_read_is_refused_by_table_column_and_type(kind: str) -> None:
    with pytest.raises(CatalogueMismatch) as caught:
        _accepting((KEY, "TIMESTAMP"), ("spread", "FLOAT"), ("odd", kind))
    assert f"spread_eurusd.odd {kind}" in caught.value.got
    assert "FLOAT64, INT64, STRING, BOOL, TIMESTAMP" in caught.value.expected


@pytest.mark.parametrize("kind", ["INTEGER", "FLOAT", "BOOLEAN", "STRING(10)", "TIMESTAMP"])
def test_another_name_of_a_type_that_is_read_is_accepted(kind: str) -> None:
    found = next(
        each for each in _accepting((KEY, "TIMESTAMP"), ("new", kind)).tables if each.description.table[:6] == "spread"
    )
    assert found.columns[0].type in COLUMN_TYPES


@pytest.mark.parametrize("columns", [(("new", "FLOAT64"),), ((KEY, "DATE"), ("new", "FLOAT64"))])
def test_an_accepted_table_without_a_timestamp_as_key_is_refused(columns: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(CatalogueMismatch, match=f"spread_eurusd.{KEY}"):
        _accepting(*columns)


def test_a_column_that_is_left_out_may_have_any_type() -> None:
    tables = full_descriptions(EURUSD)
    agg = tables["agg_eurusd"]
    tables["agg_eurusd"] = replace(agg, columns=(*agg.columns, ("appeared", "JSON")))
    assert not _discover(tables).problems


def test_a_few_absent_cov_tables_of_all_pairs_are_known_and_one_more_than_that_makes_each_a_problem() -> None:
    cov = sorted(name for name in full_descriptions(EURUSD) if name.startswith("cov_"))
    for number, problems in ((13, 0), (14, 14)):
        tables = {name: each for name, each in full_descriptions(EURUSD).items() if name not in cov[:number]}
        catalogue = _discover(tables)
        assert len(catalogue.problems) == problems
        assert len(catalogue.known_absent) == number - problems
        assert len(catalogue.tables) == 667 - number


def test_absent_tables_are_counted_over_all_pairs_that_the_warehouse_has() -> None:
    """Seven absent tables of each of two pairs are 14, one more than the 13 that the users lack."""
    usdjpy = parse_pair("usdjpy")
    tables = full_descriptions(EURUSD) | full_descriptions(usdjpy)
    own = [sorted(name for name in tables if name.startswith("cov_") and pair in name) for pair in ("gbpusd", "eurjpy")]
    gone = {*own[0][:7], *own[1][:7]}
    catalogue = _discover({name: each for name, each in tables.items() if name not in gone})
    assert len(gone) == 14
    assert catalogue.problems
    assert not catalogue.known_absent


def _catalogue() -> PairCatalogue:
    return _discover(full_descriptions(EURUSD))


def _record(catalogue: PairCatalogue) -> ExtractionRecord:
    """Return the part of an extraction's record of this catalogue that drift looks at."""
    slabs = [
        SlabRecord(
            provenance=SlabProvenance(
                pair="eurusd",
                role="feature",
                family=each.family,
                fingerprint="f",
                spine_fingerprint="s",
                source=SourceTable(
                    dataset="d", table=each.description.table, last_modified=NOW, etag="", rows=1, size_bytes=1
                ),
                snapshot_time=NOW,
                rows=RowAccount(read=1, matched=1, missing=0, extra=0, duplicates=0),
                duplicate_policy="refuse",
                columns=each.columns,
            ),
            pieces=(),
        )
        for each in catalogue.tables
    ]
    spine = Spine(rows=1, fingerprint="s", first=NOW, last=NOW, row_groups=(1,))
    return ExtractionRecord(pair="eurusd", snapshot_time=NOW, spine=spine, slabs=tuple(slabs))


def _without_first_column(table: FeatureTable) -> FeatureTable:
    return replace(table, columns=table.columns[1:])


def _retyped(table: FeatureTable) -> FeatureTable:
    return replace(table, columns=(table.columns[0].model_copy(update={"type": "STRING"}), *table.columns[1:]))


def test_an_unchanged_catalogue_has_no_drift() -> None:
    assert drift(_record(_catalogue()), _catalogue()) == []


def test_tables_that_appear_and_vanish_are_named() -> None:
    whole = _catalogue()
    fewer = replace(whole, tables=whole.tables[2:])
    assert drift(_record(whole), fewer) == ["table agg_bqx_eurusd vanished", "table agg_eurusd vanished"]
    assert drift(_record(fewer), whole) == ["table agg_bqx_eurusd appeared", "table agg_eurusd appeared"]


def test_a_table_that_cannot_be_extracted_has_an_error_and_did_not_vanish() -> None:
    descriptions = full_descriptions(EURUSD)
    del descriptions["agg_eurusd"]
    assert drift(_record(_catalogue()), _discover(descriptions)) == []


def test_an_unexpected_table_is_reported_once() -> None:
    now = replace(_catalogue(), unexpected=("new_eurusd",))
    assert drift(_record(_catalogue()), now) == ["table new_eurusd appeared, left out"]
    assert drift(_record(_catalogue()).model_copy(update={"unexpected": ("new_eurusd",)}), now) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without_first_column, "column agg_bqx_eurusd.agg_count_1440 vanished"),
        (_retyped, "column agg_bqx_eurusd.agg_count_1440 changed from INT64 to STRING"),
    ],
)
def test_columns_that_vanish_or_change_type_are_named(
    change: Callable[[FeatureTable], FeatureTable], sentence: str
) -> None:
    whole = _catalogue()
    changed = replace(whole, tables=(change(whole.tables[0]), *whole.tables[1:]))
    assert drift(_record(whole), changed) == [sentence]


def test_a_column_that_appears_is_named() -> None:
    whole = _catalogue()
    fewer = replace(whole, tables=(_without_first_column(whole.tables[0]), *whole.tables[1:]))
    assert drift(_record(fewer), whole) == ["column agg_bqx_eurusd.agg_count_1440 appeared"]
