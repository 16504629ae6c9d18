"""Column names are reversible, and a hostile name is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.names import check_identifier, output_column, split_column, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, parse_pair

EURUSD = parse_pair("eurusd")
WORDS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("table", "prefix"),
    [
        ("agg_bqx_eurusd", "agg_bqx"),
        ("corr_ibkr_eurusd_ewa", "corr_ibkr_ewa"),
        ("cov_agg_eurusd_usdjpy", "cov_agg_usdjpy"),
        ("csi_agg_eur", "csi_agg_eur"),
        ("agg_eurusdx", "agg_eurusdx"),
    ],
)
def test_the_pair_leaves_a_tables_name_where_it_is_a_whole_word(table: str, prefix: str) -> None:
    assert table_prefix(table, EURUSD) == prefix


@given(st.lists(WORDS, min_size=1, max_size=4), st.sampled_from(ALL_PAIRS), st.integers(0, 4), WORDS)
def test_an_output_column_leads_back_to_its_prefix_and_column(
    words: list[str], pair: object, at: int, column: str
) -> None:
    name = str(pair)
    assume(name not in words)
    table = "_".join([*words[:at], name, *words[at:]])
    prefix = table_prefix(table, parse_pair(name))
    assert split_column(output_column(prefix, column)) == ("_".join(words), column)


@pytest.mark.parametrize("table", ["eurusd", "agg__eurusd", "agg_eurusd_", "agg__x"])
def test_a_table_whose_prefix_could_not_be_told_from_its_columns_is_refused(table: str) -> None:
    with pytest.raises(BadSetting, match="prefix"):
        table_prefix(table, EURUSD)


@given(st.text(max_size=40))
def test_only_letters_digits_and_underscores_pass_the_guard(name: str) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        assert check_identifier(name, "table") == name
    else:
        with pytest.raises(BadSetting):
            check_identifier(name, "table")


@pytest.mark.parametrize("name", ["a`; DROP TABLE x", "../../etc/passwd", "a b", "", "a\n", "ä", "1a", "a" * 301])
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(BadSetting):
        check_identifier(name, "column")


@pytest.mark.parametrize("name", ["interval_time", "__a", "a__", "target_bqx45_h15"])
def test_key_and_targets_have_no_prefix(name: str) -> None:
    with pytest.raises(BadSetting):
        split_column(name)
