"""Tables are stored as real ones are: with gaps and surplus rows, and never with a doubled or invented key."""

from __future__ import annotations

import numpy as np
import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.families import ExpectedTable, expected_tables
from bqx_assets.sandbox.quirks import as_stored, with_other_pair
from bqx_assets_tests.frames import minutes

EURUSD = parse_pair("eurusd")
ROWS = 500


TABLES = expected_tables(EURUSD)
CLOCK = minutes(ROWS + 300).to_frame().filter(~pl.int_range(pl.len()).is_between(200, 499)).get_column(KEY)


def _clean(table: ExpectedTable) -> pl.DataFrame:
    types = {"FLOAT64": pl.Float64, "INT64": pl.Int64, "STRING": pl.String, "BOOL": pl.Boolean}
    columns = [pl.Series(name, np.arange(ROWS)).cast(pl.Int64).cast(types[kind]) for name, kind in table.columns[:3]]
    return pl.DataFrame([CLOCK, *columns])


def test_every_quirk_occurs_and_most_tables_have_none() -> None:
    kinds = {"clean": 0, "missing": 0, "extra": 0, "unsorted": 0}
    for table in TABLES:
        clean = _clean(table)
        stored = as_stored(clean, table, None if table.shared else EURUSD, seed=1)
        assert stored.get_column(KEY).is_unique().all()
        keys, own = (set(each.get_column(KEY).to_physical().to_list()) for each in (stored, clean))
        if keys < own:
            kinds["missing"] += 1
            assert len(own - keys) == 1
        elif keys > own:
            kinds["extra"] += 1
            assert len(keys - own) <= 36
            assert any(key < min(own) for key in keys)
            assert max(keys) == max(own)
            assert any(min(own) < key < max(own) for key in keys - own)
        elif not stored.get_column(KEY).is_sorted():
            kinds["unsorted"] += 1
            assert keys == own
        else:
            kinds["clean"] += 1
    assert min(kinds.values()) > 20
    assert kinds["clean"] > 400


def test_values_stay_with_their_keys() -> None:
    for table in TABLES[:80]:
        clean = _clean(table)
        stored = as_stored(clean, table, EURUSD, seed=1)
        same = clean.join(stored, on=KEY, how="inner").sort(KEY)
        for name, _ in table.columns[:3]:
            other = same.get_column(f"{name}_right")
            if other.null_count() < other.len():  # one of the two tables without values
                assert other.equals(same.get_column(name), check_names=False)


def test_the_two_empty_tables_keep_their_rows_columns_and_types() -> None:
    empty = {"corr_etf_idx_eurusd_ewa", "corr_etf_idx_eurusd_ewg"}
    for table in [each for each in TABLES if each.kind.startswith("corr_")]:
        clean = _clean(table)
        stored = as_stored(clean, table, EURUSD, seed=1)
        assert stored.schema == clean.schema
        nulls = stored.drop(KEY).null_count().sum_horizontal().item()
        assert nulls == (stored.height * (clean.width - 1) if table.table in empty else 0)


def test_rows_of_two_pairs_lie_side_by_side() -> None:
    own = pl.DataFrame({KEY: [1, 2, 3], "pair": ["eurusd"] * 3})
    other = pl.DataFrame({KEY: [2, 3, 4], "pair": ["gbpusd"] * 3})
    both = with_other_pair(own, other)
    assert both.get_column(KEY).is_sorted()
    assert both.filter(pl.col("pair") == "eurusd").equals(own)
