"""A panel stacks the rows of pairs under common names, and takes what they have in common."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting, OtherData
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import ALL_PAIRS, CURRENCIES, Pair
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.training import stacked_pairs
from bqx_assets.training.choice import LEFT_OUT
from bqx_assets.training.load import load_training, training_columns
from bqx_assets.training.stacked_pairs import load_panel
from bqx_assets_tests.training.published import Merged, merged_pair

PAIRS = ["gbpusd", "eurusd"]
LABEL = "target_bqx45_h15"


def test_a_panel_is_the_pairs_one_below_the_other_under_common_names(folder: Path) -> None:
    panel = load_panel(PAIRS, (45, 15), source=folder, dtype=pl.Float32)
    rows = panel.collect()
    assert rows.columns[:3] == ["pair", KEY, LABEL]
    assert rows.schema == panel.collect_schema()
    assert rows.schema["pair"] == pl.Enum(PAIRS)
    for name in PAIRS:
        own = load_training(name, (45, 15), source=folder, dtype=pl.Float32).collect()
        common = dict(training_columns(name, source=folder).select("column", "common_name").rows())
        mine = rows.filter(pl.col("pair") == name).drop("pair")
        assert own.rename(common, strict=False).select(mine.columns).equals(mine)
    assert any(name.startswith("csi_agg_quote__") for name in rows.columns)
    assert rows["pair"].to_list() == [name for name in PAIRS for _ in range(rows.height // 2)]


def test_a_few_columns_of_a_panel_are_read_alone(folder: Path) -> None:
    panel = load_panel(PAIRS, (45, 15), source=folder)
    assert panel.select("pair", LABEL).explain().count("PROJECT 1/") == len(PAIRS)
    means = panel.group_by("pair").agg(pl.col("agg__agg_mean_45").mean()).sort("pair").collect()
    assert means["pair"].to_list() == PAIRS


def test_a_range_before_or_after_the_rows_of_every_pair_is_refused(folder: Path) -> None:
    with pytest.raises(BadSetting, match=r"rows of the panel's files, 2024-01-02 .* 2024-.*bqx fleet run"):
        load_panel(["eurusd", "gbpusd"], features=[], start="2030-01-01", source=folder)


def test_features_of_one_pair_alone_are_left_out_or_null_in_the_other(folder: Path) -> None:
    tables = ["agg_*", "corr_ibkr_eurusd_ewa", "corr_ibkr_gbpusd_ewa"]
    with pytest.raises(BadSetting, match="corr_ibkr_eurusd_ewa"):
        load_panel(PAIRS, source=folder, tables=tables)
    common = load_panel(PAIRS, source=folder, tables="agg_*").collect_schema().names()
    every = load_panel(PAIRS, source=folder, absent="null", tables="*_agg_*").collect_schema().names()
    assert set(common).isdisjoint({*every} - {"pair", KEY})


def test_a_constant_is_left_out_of_a_panel_only_if_it_is_one_in_every_pair(folder: Path) -> None:
    names = load_panel(PAIRS, source=folder).collect_schema().names()
    assert "agg__agg_std_45" not in names
    assert "agg__agg_std_180" not in names
    both = load_panel(PAIRS, source=folder, include=["constant", "duplicate"]).collect_schema().names()
    assert {*both} - {*names} == {"agg__agg_std_45", "agg__agg_std_180"}


def test_pins_are_of_single_pairs(folder: Path, eurusd: Merged) -> None:
    digest = eurusd.manifest.file.content_digest or ""
    assert load_panel(PAIRS, features=[], source=folder, pins={"eurusd": digest}).collect().height
    with pytest.raises(OtherData):
        load_panel(PAIRS, features=[], source=folder, pins={"gbpusd": digest})
    with pytest.raises(BadSetting, match="usdjpy"):
        load_panel(PAIRS, source=folder, pins={"usdjpy": digest})
    with pytest.raises(BadSetting, match="none"):
        load_panel([], source=folder)


def test_what_looks_forward_in_one_pair_is_null_there_though_another_pair_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stacked_pairs.prepare

    @contextmanager
    def prepared(pair: Pair, *args: Any, **settings: Any) -> Generator[Any]:
        with real(pair, *args, **settings) as found:
            if pair.name == "eurusd":
                marked = pl.when(pl.col("column") == "agg__agg_mean_90").then(pl.lit("forward_looking"))
                yield replace(found, judged=found.judged.with_columns(marked.otherwise(LEFT_OUT).alias(LEFT_OUT)))
            else:
                yield found

    monkeypatch.setattr(stacked_pairs, "prepare", prepared)
    rows = load_panel(PAIRS, LABEL, absent="null", source=folder).collect()
    there = rows.group_by("pair").agg(pl.col("agg__agg_mean_90").count() > 0)
    assert dict(there.rows()) == {"gbpusd": True, "eurusd": False}
    assert "agg__agg_mean_90" not in load_panel(PAIRS, LABEL, source=folder).collect_schema().names()


def test_a_panel_of_all_pairs_has_each_one_s_own_currencies_under_common_names(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "out")

    def make(pair: Pair) -> None:
        number = ALL_PAIRS.index(pair)
        tables = (f"agg_{pair}", f"csi_cyc_bqx_{pair.base}", f"csi_cyc_bqx_{pair.quote}")
        merged_pair(tmp_path / pair.name, pair, shift=number, rows=60 + number, tables=tables).publish(store)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, ALL_PAIRS))
    rows = load_panel(target=(45, 15), source=store.root).collect()
    assert rows["pair"].unique(maintain_order=True).to_list() == [pair.name for pair in ALL_PAIRS]
    sides = ("base", "quote")
    length, mean = "csi_cyc_bqx_{}__csi_cyc_avg_cycle_length", "agg__agg_mean_45"
    assert {mean, *(length.format(side) for side in sides)} < {*rows.columns}
    assert not [name for name in rows.columns if name.split("__")[0].rsplit("_", 1)[-1] in CURRENCIES]
    for pair in ALL_PAIRS:
        mine = rows.filter(pair=pair.name)
        own = load_training(pair, (45, 15), source=store.root, features=[mean, "csi_cyc_bqx_*"]).collect()
        assert mine.height == own.height == 60 + ALL_PAIRS.index(pair)
        assert mine[mean].equals(own[mean])
        for side, currency in zip(sides, (pair.base, pair.quote), strict=True):
            assert mine[length.format(side)].equals(own[length.format(currency)])
