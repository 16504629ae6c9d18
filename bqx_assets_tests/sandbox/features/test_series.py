"""Features of one series equal their definitions, and only what is asked is computed."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import expected_tables
from bqx_assets.sandbox.features.series import series_features
from bqx_assets.sandbox.features.source import Source, Variant, source_of
from bqx_assets.sandbox.market.bars import Floats
from bqx_assets_tests.sandbox.features.bars import changed_after, small_market
from bqx_assets_tests.sandbox.features.naive import deviation, rolled

BARS = small_market(rows=700).pairs["eurusd"]
_VARIANTS: tuple[Variant, ...] = ("", "bqx", "idx")
_SHORT_COLUMNS = {
    kind: [name for name, _ in table.columns if re.search(r"^cyc_|_(45|90)$", name)]
    for kind in ("agg", "align", "cyc", "der", "ext", "mom", "mrt", "reg", "rev", "vol")
    for table in expected_tables(ALL_PAIRS[0])
    if table.table == f"{kind}_bqx_eurusd"
}
"""By kind, the columns of windows that 700 rows fill several times."""
_AGGREGATES: dict[str, Callable[[Floats], float]] = {
    "mean": lambda part: float(part.mean()),
    "min": lambda part: float(part.min()),
    "max": lambda part: float(part.max()),
    "sum": lambda part: float(part.sum()),
    "std": deviation,
    "range": lambda part: float(part.max() - part.min()),
    "cv": lambda part: deviation(part) / abs(float(part.mean())),
    "position": lambda part: float((part[-1] - part.min()) / (part.max() - part.min())),
}


def _feature(kind: str, column: str, source: Source) -> Floats:
    return series_features(kind, source, [column])[column]


def test_a_source_is_the_close_its_index_or_its_bqx() -> None:
    np.testing.assert_array_equal(source_of(BARS, "").values, BARS.close)
    index = source_of(BARS, "idx")
    assert index.values[0] == pytest.approx(100.0)
    np.testing.assert_allclose(index.high / index.values, BARS.high / BARS.close)
    bqx = source_of(BARS, "bqx")
    np.testing.assert_allclose(bqx.values[45:], (BARS.close[45:] / BARS.close[:-45] - 1.0) * 100.0, atol=1e-12)
    assert np.isnan(bqx.values[:45]).all()


@pytest.mark.parametrize("variant", _VARIANTS)
def test_aggregates_equal_loops_over_windows(variant: Variant) -> None:
    source = source_of(BARS, variant)
    for name, statistic in _AGGREGATES.items():
        expected = rolled(source.values, 90, statistic)
        np.testing.assert_allclose(_feature("agg", f"agg_{name}_90", source), expected, rtol=1e-6, err_msg=name)


def test_a_count_grows_at_the_head_and_then_is_the_window() -> None:
    count = _feature("agg", "agg_count_90", source_of(BARS, "bqx"))
    np.testing.assert_array_equal(count, np.clip(np.arange(BARS.rows) - 44, 0, 90))


@pytest.mark.parametrize(
    ("kind", "column", "head"),
    [
        ("agg", "agg_mean_360", 359),
        ("mom", "mom_diff_360", 360),
        ("mom", "mom_zscore_180", 359),
        ("vol", "vol_realized_90", 90),
        ("vol", "vol_of_vol_90", 179),
        ("reg", "reg_slope_180", 179),
        ("reg", "reg_total_var_180", 179),
        ("der", "der_v2_180", 180),
        ("rev", "rev_decel_180", 180),
        ("mrt", "mrt_tension_180", 179),
        ("ext", "ext_percentile_180", 179),
        ("align", "dir_180", 180),
    ],
)
def test_a_feature_is_unknown_at_the_head_only_as_long_as_its_windows_fill(kind: str, column: str, head: int) -> None:
    for variant in _VARIANTS:
        before = 45 if variant == "bqx" else 0
        unknown = np.isnan(_feature(kind, column, source_of(BARS, variant)))
        np.testing.assert_array_equal(np.flatnonzero(unknown), np.arange(head + before))


def test_momentum_equals_its_definitions() -> None:
    source = source_of(BARS, "")
    names = [f"mom_{name}_45" for name in ("diff", "dir", "roc", "strength", "pos_count", "roc_smooth")]
    found = {name: values[300] for name, values in series_features("mom", source, names).items()}
    close = BARS.close[255:301]
    gain = close[-1] - close[0]
    assert found["mom_diff_45"] == pytest.approx(gain)
    assert found["mom_dir_45"] == np.sign(gain)
    assert found["mom_roc_45"] == pytest.approx(100.0 * gain / close[0])
    assert found["mom_strength_45"] == pytest.approx(abs(gain) / np.abs(np.diff(close)).sum())
    assert found["mom_pos_count_45"] == (np.diff(close) > 0).sum()
    now, then = BARS.close[286:301].mean(), BARS.close[241:256].mean()
    assert found["mom_roc_smooth_45"] == pytest.approx(100.0 * (now - then) / then)


def test_volatility_equals_its_definitions() -> None:
    names = [f"vol_{name}_45" for name in ("realized", "atr", "normalized", "range_pct")]
    found = {name: values[300] for name, values in series_features("vol", source_of(BARS, ""), names).items()}
    close, high, low = BARS.close[255:301], BARS.high[256:301], BARS.low[256:301]
    assert found["vol_realized_45"] == pytest.approx(deviation(100.0 * np.diff(close) / close[:-1]))
    atr = np.mean(np.maximum(high, close[:-1]) - np.minimum(low, close[:-1]))
    assert found["vol_atr_45"] == pytest.approx(atr)
    assert found["vol_normalized_45"] == pytest.approx(atr / close[1:].mean())
    assert found["vol_range_pct_45"] == pytest.approx(100.0 * (high.max() - low.min()) / close[1:].mean())


def test_cycles_count_rows_between_crossings_of_zero() -> None:
    values = np.repeat([1.0, -1.0, 1.0, -1.0], [3, 2, 4, 3])
    source = Source(values, values, values, percent=True)
    np.testing.assert_array_equal(
        _feature("cyc", "cyc_intervals_since_zero", source), [*[np.nan] * 3, 0, 1, 0, 1, 2, 3, 0, 1, 2]
    )
    np.testing.assert_array_equal(_feature("cyc", "cyc_avg_cycle_length", source), [*[np.nan] * 5, 2, 2, 2, 2, 3, 3, 3])
    assert _feature("cyc", "cyc_current_cycle_progress", source)[-1] == pytest.approx(2 / 3)


def test_half_life_is_that_of_a_known_autoregression() -> None:
    random, values = np.random.default_rng(3), np.zeros(3000)
    for row in range(1, 3000):
        values[row] = 0.9 * values[row - 1] + random.normal()
    half_life = _feature("mrt", "mrt_half_life", Source(values, values, values, percent=True))
    assert np.nanmedian(half_life) == pytest.approx(np.log(0.5) / np.log(0.9), abs=1.5)


def test_windows_agree_all_the_way_in_a_steady_trend() -> None:
    values = np.linspace(1.0, 2.0, 1500)
    source = Source(values, values, values)
    names = ["align_unanimous", "align_trend_score", "align_mean_45_90", "dir_1440"]
    assert [found[-1] for found in series_features("align", source, names).values()] == [1.0, 1.0, 1.0, 1.0]


def test_the_windows_and_the_columns_that_are_not_asked_for_are_not_returned() -> None:
    found = series_features("reg", source_of(BARS, ""), ["reg_slope_90", "reg_forecast_5_45"])
    assert list(found) == ["reg_slope_90", "reg_forecast_5_45"]


@given(row=st.integers(0, BARS.rows - 2), variant=st.sampled_from(_VARIANTS))
@settings(deadline=None, max_examples=15)
def test_no_feature_looks_past_its_row(row: int, variant: Variant) -> None:
    changed = changed_after(BARS, row)
    for kind, columns in _SHORT_COLUMNS.items():
        found, after = (series_features(kind, source_of(bars, variant), columns) for bars in (BARS, changed))
        for name in columns:
            np.testing.assert_array_equal(after[name][: row + 1], found[name][: row + 1], err_msg=name)


@pytest.mark.parametrize(("kind", "column"), [("nix", "agg_mean_45"), ("agg", "agg_mean_46"), ("agg", "agg_mode_45")])
def test_an_unknown_kind_or_column_is_an_error(kind: str, column: str) -> None:
    with pytest.raises(KeyError):
        series_features(kind, source_of(BARS, ""), [column])
