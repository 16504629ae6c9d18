"""One call leads from a feature to its table and column, by the grammar alone."""

from __future__ import annotations

import pytest

import bqx_assets
from bqx_assets.base.errors import BadSetting, UnknownPair
from bqx_assets.base.names import output_column, table_prefix
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.dictionary.describe import describe_column


def test_a_feature_leads_back_to_its_table_and_column() -> None:
    found = bqx_assets.describe_column("agg_bqx__agg_mean_45", "eurusd")
    assert (found.table, found.source, found.family, found.type) == (
        "agg_bqx_eurusd", "agg_mean_45", "pair_specific", "FLOAT64",
    )  # fmt: skip
    assert found.meaning == "Mean of BQX of 45 rows over 45 rows."
    assert (found.kind, found.subject, found.window) == ("feature", "pair", 90)


def test_key_and_targets_lead_back_to_the_targets_table() -> None:
    found = describe_column("target_bqx90_h30", "gbpjpy")
    assert (found.table, found.kind, found.window, found.horizon) == ("targets_gbpjpy", "target", 90, 30)
    assert describe_column("interval_time", "gbpjpy").type == "TIMESTAMP"


def test_each_column_of_a_pair_leads_back_to_the_one_it_is_made_of() -> None:
    pair = parse_pair("usdchf")
    for table in expected_tables(pair)[::5]:
        for column, kind in table.columns:
            found = describe_column(output_column(table_prefix(table.table, pair), column), pair)
            assert (found.table, found.source, found.type) == (table.table, column, kind)


def test_an_unknown_column_names_the_nearest_and_an_unknown_pair_is_refused() -> None:
    with pytest.raises(BadSetting, match="Did you mean agg_bqx__agg_mean_45"):
        describe_column("agg_bqx__agg_meen_45", "eurusd")
    with pytest.raises(BadSetting, match="own dictionary"):
        describe_column("nothing", "eurusd")
    with pytest.raises(UnknownPair):
        describe_column("agg_bqx__agg_mean_45", "EURUSD")
