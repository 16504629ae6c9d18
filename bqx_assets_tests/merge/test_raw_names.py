"""Columns of raw checkpoints that carry their table's name are read back as the table's own, or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import ColumnCollision, MergeRefused
from bqx_assets.base.names import output_column, split_column, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.merge.raw_names import RawNames, own_names
from bqx_assets_tests.frames import EURUSD

SPELLINGS = {
    "as the table has them": "",
    "the users'": "{short}_",
    "the training file's": "{short}__",
    "with the pair": "{table}_",
    "with the pair and two underscores": "{table}__",
    "the users' earlier": "{word}_",
}
AGG, MRT = "agg_eurusd", "mrt_eurusd"
KNOWN = {table.table: frozenset(name for name, _ in table.columns) for table in expected_tables(EURUSD)}


def _begin(spelling: str, table: str, pair: Pair = EURUSD) -> str:
    short = table_prefix(table, pair)
    return SPELLINGS[spelling].format(table=table, short=short, word=short.replace("_", ""))


def _one(table: str, *columns: str, pair: Pair = EURUSD, known: frozenset[str] | None = None) -> dict[str, str]:
    return own_names(pair, [RawNames(table, columns, KNOWN.get(table, frozenset()) if known is None else known)])[table]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("pair", [ALL_PAIRS[0], ALL_PAIRS[-1]], ids=str)
def test_every_column_of_all_667_tables_is_known_again_in_every_spelling(pair: Pair, spelling: str) -> None:
    tables = expected_tables(pair)
    begins = {each.table: _begin(spelling, each.table, pair) for each in tables}
    known = {each.table: frozenset(name for name, _ in each.columns) for each in tables}
    files = [RawNames(name, tuple(begins[name] + column for column in known[name]), known[name]) for name in known]
    found = own_names(pair, files)
    assert found == {name: {begins[name] + column: column for column in known[name]} for name in known}


def test_the_users_own_file_gives_the_names_of_an_extraction() -> None:
    assert _one("base_bqx_eurusd", "base_bqx_bqx_45", "base_bqx_target_45") == {
        "base_bqx_bqx_45": "bqx_45",
        "base_bqx_target_45": "target_45",
    }


def test_a_columns_own_name_that_begins_as_its_table_stays_where_the_catalogue_has_it() -> None:
    assert _one(MRT, "mrt_half_life", "mrt_tension_45")["mrt_half_life"] == "mrt_half_life"
    assert _one(MRT, "mrt_mrt_half_life")["mrt_mrt_half_life"] == "mrt_half_life"


def test_what_the_catalogue_does_not_know_is_spelled_as_the_rest_of_its_file() -> None:
    assert _one(AGG, "agg_source_value", "agg_new")["agg_new"] == "new"
    assert _one(AGG, "source_value", "agg_new")["agg_new"] == "agg_new"
    assert _one(AGG, "agg_source_value", "new")["new"] == "new"


def test_a_table_that_the_catalogue_does_not_know_is_spelled_as_the_folder() -> None:
    for others, own in (("agg_source_value", "x"), ("source_value", "foo_x")):
        files = [RawNames(AGG, (others,), KNOWN[AGG]), RawNames("foo_eurusd", ("foo_x", "y"))]
        assert own_names(EURUSD, files)["foo_eurusd"] == {"foo_x": own, "y": "y"}


def test_what_nothing_decides_is_refused_with_both_names_and_the_cure_works() -> None:
    with pytest.raises(
        MergeRefused, match=r"eurusd/foo_eurusd: column foo_x may be foo_x or x .* foo__foo_x or foo__x"
    ):
        _one("foo_eurusd", "foo_x", "y")
    assert _one("foo_eurusd", "foo__foo_x", "y") == {"foo__foo_x": "foo_x", "y": "y"}
    assert _one("foo_eurusd", "foo__x", "y") == {"foo__x": "x", "y": "y"}


def test_the_cure_works_beside_files_of_another_spelling() -> None:
    files = [RawNames(AGG, ("agg_source_value",), KNOWN[AGG])]
    with pytest.raises(MergeRefused, match="column foo_eurusd_9_x may be"):
        own_names(EURUSD, [*files, RawNames("foo_eurusd_9", ("foo_eurusd_9_x",))])
    assert own_names(EURUSD, [*files, RawNames("foo_eurusd_9", ("foo_9__x",))])["foo_eurusd_9"] == {"foo_9__x": "x"}


def test_two_columns_that_are_one_are_refused_with_both_names() -> None:
    with pytest.raises(ColumnCollision, match="agg_source_value and source_value are both source_value"):
        _one(AGG, "agg_source_value", "source_value")


def test_a_name_that_the_catalogue_has_both_ways_follows_the_others_of_its_file() -> None:
    both = frozenset(("x", "agg_x", "y"))
    assert _one(AGG, "agg_x", "agg_y", known=both)["agg_x"] == "x"
    assert _one(AGG, "agg_x", "y", known=both)["agg_x"] == "agg_x"
    with pytest.raises(MergeRefused, match="agg_x may be agg_x or x"):
        _one(AGG, "agg_x", known=both)


def test_a_prefixed_pair_column_is_the_pair() -> None:
    assert _one(AGG, "agg_pair", known=frozenset(("pair", "x"))) == {"agg_pair": "pair"}


@given(
    table=st.sampled_from(sorted(KNOWN)),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    news=st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,4}){0,2}", fullmatch=True), max_size=4, unique=True),
)
@settings(max_examples=25, deadline=None)
def test_whatever_columns_a_file_has_besides_names_are_reversible(table: str, spelling: str, news: list[str]) -> None:
    short = table_prefix(table, EURUSD)
    begin = _begin(spelling, table)
    columns = dict.fromkeys((*sorted(KNOWN[table])[:3], *news))
    files = [RawNames(AGG, (_begin(spelling, AGG) + "source_value",), KNOWN[AGG])] if table != AGG else []
    found = own_names(EURUSD, [*files, RawNames(table, tuple(begin + name for name in columns), KNOWN[table])])[table]
    outputs = [output_column(short, name) for name in found.values()]
    assert [split_column(name) for name in outputs] == [(short, name) for name in columns]
