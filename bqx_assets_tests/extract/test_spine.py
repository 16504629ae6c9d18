"""The spine is exactly the rows whose shortest target, by the expectations, is known."""

from __future__ import annotations

import polars as pl
import pytest

from bqx_assets.base.errors import EmptyTable
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.extract.spine import spine_rows

_NAN = float("nan")


def _targets(**columns: list[float | None]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({KEY: pl.Series(range(rows)).cast(KEY_TYPE), **columns})


@pytest.mark.parametrize(
    ("windows", "horizons", "name"),
    [((90, 45), (30, 15), "target_bqx45_h15"), ((90,), (30,), "target_bqx90_h30"), ((45, 7), (5,), "target_bqx7_h5")],
)
def test_the_shortest_target_follows_from_the_expectations(
    windows: tuple[int, ...], horizons: tuple[int, ...], name: str
) -> None:
    own = load_expectations().model_copy(update={"windows": windows, "horizons": horizons})
    assert own.shortest_target() == name
    assert name in own.targets()


def test_rows_without_the_shortest_target_are_left_out_and_counted() -> None:
    read = _targets(target_bqx9_h3=[1.0, None, 2.0, _NAN, 3.0], target_bqx45_h15=[None, 1.0, None, None, None])
    frame, rows = spine_rows(read, "target_bqx9_h3", "eurusd/targets", "refuse")
    assert frame["target_bqx9_h3"].to_list() == [1.0, 2.0, 3.0]
    assert (rows.read, rows.matched, rows.extra, rows.missing) == (5, 3, 2, 0)


def test_targets_without_any_value_of_it_are_refused_by_its_name() -> None:
    with pytest.raises(EmptyTable, match="none with target_bqx9_h3"):
        spine_rows(_targets(target_bqx9_h3=[None, _NAN]), "target_bqx9_h3", "eurusd/targets", "refuse")
