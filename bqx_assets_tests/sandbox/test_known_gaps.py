"""A small pair with the gaps of the users own is published under the packaged expectations; a worse one is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET, ExpectedTable, expected_tables
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.quality.report import Report
from bqx_assets.runtime.in_process import PairRun, run_pair
from bqx_assets.sandbox.quirks import as_stored, with_known_gaps, without_absent
from bqx_assets.sandbox.selection import Selection
from bqx_assets.sandbox.table_files import write_table
from bqx_assets_tests.frames import EURUSD, minutes
from bqx_assets_tests.quality.training import coherent_warehouse, verdict_of

ROWS = 2_000
_OWN = {"agg_eurusd", "base_bqx_eurusd", "reg_eurusd", "csi_agg_aud", "csi_vol_usd", "var_agg_idx_aud", "mkt_vol"}
TABLES = {each.table: each for each in expected_tables(EURUSD)}
COV = [name for name in TABLES if name.startswith("cov_agg_")][:26]
TRI = [name for name in TABLES if name.startswith("tri_")][:6]
CORR = [name for name in TABLES if name.startswith(("corr_etf_idx_", "corr_ibkr_"))]
CHOSEN = [*sorted(_OWN), *COV, *TRI, *CORR]


def _full(table: ExpectedTable, rng: np.random.Generator, keys: pl.Series | None = None) -> pl.DataFrame:
    """A table with a value in every cell, as one behind its warm-up."""
    made = {
        "FLOAT64": lambda: pl.Series(rng.standard_normal(ROWS)),
        "INT64": lambda: pl.Series(rng.integers(-5, 90, ROWS)),
        "STRING": lambda: pl.Series(rng.choice(["low", "high"], ROWS)),
        "BOOL": lambda: pl.Series(rng.random(ROWS) < 0.5),
    }
    return pl.DataFrame(
        [minutes(ROWS) if keys is None else keys, *(made[kind]().alias(name) for name, kind in table.columns)]
    )


def _known() -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(1)
    made = without_absent(Selection({name: (None, TABLES[name]) for name in CHOSEN})).made
    coherent = coherent_warehouse(ROWS).frames
    frames: dict[str, pl.DataFrame] = {"targets_eurusd": coherent[TARGETS_DATASET, "targets_eurusd"]}
    keys = frames["targets_eurusd"].get_column(KEY)
    for name, (_, table) in made.items():
        full = coherent[FEATURES_DATASET, name].drop("pair") if name == "base_bqx_eurusd" else _full(table, rng, keys)
        frames[name] = as_stored(with_known_gaps(full, table, seed=1), table, EURUSD, seed=1)
    return frames


def _run(folder: Path, frames: dict[str, pl.DataFrame]) -> tuple[PairRun, Settings]:
    for dataset in (FEATURES_DATASET, TARGETS_DATASET):
        (folder / "warehouse" / dataset).mkdir(parents=True)
    for name, frame in frames.items():
        dataset = TARGETS_DATASET if name.startswith("targets_") else FEATURES_DATASET
        write_table(table_path(folder / "warehouse", dataset, name), frame)
    left = "".join(f'{name} = "not in this test"\n' for name in TABLES if name not in CHOSEN)
    # Of the packaged expectations only what says how large a pair is.
    (folder / "small.toml").write_text(f"min_rows = {ROWS}\nmin_columns = 500\n[known_absent]\n{left}")
    settings = Settings(
        home=folder / "home", warehouse=folder / "warehouse", expectations=str(folder / "small.toml"), workers=2
    )
    return run_pair(EURUSD, settings, Silent()), settings


def test_a_pair_as_the_users_know_it_is_published_and_its_report_names_what_is_missing(tmp_path: Path) -> None:
    run, settings = _run(tmp_path, _known())
    assert run.passed, [each for each in run.verdicts if not each.passed]
    published = settings.output_dir / "training_eurusd.parquet"
    report = Report.model_validate_json((settings.output_dir / "training_eurusd.report.json").read_bytes())
    empty, rows, tables, nulls = (
        verdict_of(report, rule)
        for rule in ("no_unexpected_all_null", "tables_cover_spine", "tables_equal_catalogue", "completeness")
    )
    assert empty.evidence["allowed"] == 16
    kept = {str(name).partition("__")[0] for name in empty.evidence["kept"] or ()}  # type: ignore[union-attr]
    assert kept == {"corr_etf_idx_ewa", "corr_etf_idx_ewg"}
    assert "known to be absent" in tables.got
    by_family = str(rows.evidence["missing_by_family"])
    assert all(family in by_family for family in ("corr", "tri", "cov"))
    assert str(nulls.evidence["by_family"]).startswith("['corr 5")
    assert "would have failed the earlier gate of 5%" in str(nulls.evidence["earlier_gates"])
    manifest = Manifest.load(manifest_path(published))
    assert len([name for name in manifest.extraction.known_absent if name in COV]) == 13
    assert report.expectations == manifest.expectations
    assert manifest.expectations is not None
    assert manifest.expectations.approval == "none"


def test_one_that_is_worse_is_not_published_and_its_table_is_named(tmp_path: Path) -> None:
    frames = _known()
    spy, tri = "corr_etf_idx_eurusd_spy", TRI[0]
    frames[spy] = frames[spy].gather_every(2)
    frames[tri] = frames[tri].gather_every(2)
    run, settings = _run(tmp_path, frames)
    assert not run.passed
    assert not (settings.output_dir / "training_eurusd.parquet").exists()
    failed = {each.rule: each for each in run.verdicts if not each.passed and each.severity == "error"}
    assert spy in failed["tables_cover_spine"].got
    assert tri in failed["tables_cover_spine"].got


@pytest.mark.parametrize(
    ("table", "rows", "nulls"),
    [
        ("corr_ibkr_eurusd_spy", 0.555, 0.445),
        ("corr_ibkr_eurusd_ewa", 0.429, 0.571),
        ("agg_eurusd", 1, 0),
        ("mkt_vol", 1, 0.082),
        ("csi_agg_aud", 1, 0.019),
    ],
)
def test_a_table_lacks_the_share_that_is_known(table: str, rows: float, nulls: float) -> None:
    full = _full(TABLES[table], np.random.default_rng(2))
    thin = with_known_gaps(full, TABLES[table], seed=1)
    cells = ROWS * (full.width - 1)
    lost = cells - thin.drop(KEY).count().sum_horizontal().item()
    assert thin.height / ROWS == pytest.approx(rows, abs=0.03)
    assert lost / cells == pytest.approx(nulls, abs=0.03)
    assert thin.equals(with_known_gaps(full, TABLES[table], seed=1))
