"""Which pairs a home has: by the targets tables of its embedded warehouses."""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.families import TARGETS_DATASET
from bqx_assets.extract.embedded_layout import pairs_of_fleet


def names(settings: Settings) -> list[str]:
    return [pair.name for pair in pairs_of_fleet(settings)]


def test_the_fleet_of_embedded_warehouses_is_the_pairs_with_targets_each_in_its_own_or_a_common_one(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    assert names(settings) == [pair.name for pair in ALL_PAIRS]  # before any warehouse is made
    (tmp_path / "sources").mkdir()
    for pair, root in (("usdjpy", tmp_path / "own"), ("gbpusd", tmp_path / "warehouse")):
        (root / TARGETS_DATASET).mkdir(parents=True)
        (root / TARGETS_DATASET / f"targets_{pair}.parquet").touch()
    (tmp_path / "sources" / "usdjpy").symlink_to("../own")
    assert names(settings) == ["gbpusd", "usdjpy"]
    assert names(Settings(home=tmp_path, fleet="eurusd,gbpusd")) == ["eurusd", "gbpusd"]
    assert names(Settings(home=tmp_path, bigquery_project="some-project")) == [pair.name for pair in ALL_PAIRS]
