"""Each spoil mode does what it says, to one table of the pair, the same way each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting, TableMissing, TableUnreadable
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.progress import Silent
from bqx_assets.catalogue.discovery import discover
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.sandbox.create import create_warehouse
from bqx_assets.sandbox.faults import FAULTS, inject_fault
from bqx_assets_tests.sandbox.conftest import linked

EURUSD, GBPUSD = parse_pair("eurusd"), parse_pair("gbpusd")
VICTIM, COLUMN, TARGET = "agg_bqx_eurusd", "agg_cv_1440", "target_bqx90_h30"


@pytest.fixture
def root(two_pairs: Path, tmp_path: Path) -> Path:
    return linked(two_pairs, tmp_path / "w")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


def _changed(one: dict[str, bytes], two: dict[str, bytes]) -> set[str]:
    return {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}


@dataclass(frozen=True)
class Struck:
    """A table before and after, and the targets as they were made."""

    before: pl.DataFrame
    after: pl.DataFrame
    targets: pl.DataFrame

    @property
    def surplus(self) -> int:
        return self.after.height - self.after.get_column(KEY).n_unique()

    def values(self, column: str) -> pl.Series:
        return self.after.get_column(column)

    def leaked(self) -> bool:
        both = self.after.join(self.targets, on=KEY)
        return _equal(both.get_column(COLUMN), both.get_column(TARGET))


FEATURE_CLAIMS: dict[str, Callable[[Struck], bool]] = {
    "duplicates": lambda it: it.surplus == 76,
    "null-keys": lambda it: it.values(KEY).null_count() == 3,
    "empty-table": lambda it: it.after.height == 0 and it.after.schema == it.before.schema,
    "short-table": lambda it: it.after.equals(it.before.head(it.after.height)) and it.after.height < it.before.height,
    "type-drift": lambda it: it.after.schema[COLUMN] == pl.String,
    "missing-column": lambda it: it.after.equals(it.before.drop(COLUMN)),
    "extra-column": lambda it: it.after.drop("appeared_today").equals(it.before),
    "named-leak": lambda it: it.after.drop("target_45").equals(it.before),
    "nan": lambda it: it.values(COLUMN).is_nan().sum() > 50,
    "inf": lambda it: it.values(COLUMN).is_infinite().sum() > 50,
    "constant": lambda it: it.values(COLUMN).n_unique() == 1,
    "all-null": lambda it: it.values(COLUMN).null_count() == it.after.height and it.after.schema == it.before.schema,
    "label-leak": lambda it: it.leaked(),
}
TARGET_CLAIMS: dict[str, Callable[[Struck], bool]] = {
    "target-duplicates": lambda it: it.surplus == 76,
    "target-gap": lambda it: it.values(TARGET).null_count() > it.before.get_column(TARGET).null_count() + 100,
    "wrong-targets": lambda it: _equal(it.values(TARGET)[:-1], it.before.get_column(TARGET)[1:]),
    "missing-target": lambda it: it.after.equals(it.before.drop(TARGET)),
}
FILE_MODES = {"missing-table", "extra-table", "corrupt-file", "corrupt-page"}


def _equal(one: pl.Series, two: pl.Series) -> bool:
    return one.len() > 1_000 and one.equals(two, check_names=False)


def test_every_mode_has_a_claim_here() -> None:
    assert FEATURE_CLAIMS.keys() | TARGET_CLAIMS.keys() | FILE_MODES == FAULTS.keys()


@pytest.mark.parametrize("mode", sorted(FAULTS))
def test_a_mode_changes_one_file_of_the_pair_says_which_and_does_the_same_each_time(
    two_pairs: Path, tmp_path: Path, mode: str
) -> None:
    copies = [linked(two_pairs, tmp_path / name) for name in ("one", "two")]
    told, again = (inject_fault(copy, mode, EURUSD) for copy in copies)
    assert told == again
    changed = _bytes(copies[0])
    assert changed == _bytes(copies[1])
    struck = _changed(_bytes(two_pairs), changed)
    assert struck == {f"{told.partition(':')[0]}.parquet"}
    assert all("eurusd" in name.removesuffix(".parquet").split("_") for name in struck)


@pytest.mark.parametrize("mode", [*FEATURE_CLAIMS, *TARGET_CLAIMS])
def test_a_mode_does_what_it_says(root: Path, two_pairs: Path, mode: str) -> None:
    inject_fault(root, mode, EURUSD)
    dataset, table = (FEATURES_DATASET, VICTIM) if mode in FEATURE_CLAIMS else (TARGETS_DATASET, "targets_eurusd")
    before, after = (pl.read_parquet(table_path(folder, dataset, table)) for folder in (two_pairs, root))
    targets = pl.read_parquet(table_path(two_pairs, TARGETS_DATASET, "targets_eurusd"))
    assert (FEATURE_CLAIMS | TARGET_CLAIMS)[mode](Struck(before, after, targets))


def test_of_a_history_shorter_than_the_longest_windows_a_column_with_values_is_struck(tmp_path: Path) -> None:
    create_warehouse(tmp_path, pairs=(EURUSD,), rows=200, tables=12, seed=1, rates=None, progress=Silent())
    path = table_path(tmp_path, FEATURES_DATASET, VICTIM)
    before = pl.read_parquet(path).null_count()
    assert before.get_column(COLUMN).item() == pl.read_parquet(path).height
    inject_fault(tmp_path, "all-null", EURUSD)
    after = pl.read_parquet(path).null_count()
    (struck,) = [name for name in before.columns if not before.get_column(name).equals(after.get_column(name))]
    assert struck != COLUMN


def test_a_missing_table_is_gone_an_extra_one_unexpected_a_corrupt_one_named(root: Path) -> None:
    expectations = load_expectations(root / "expectations.toml")
    inject_fault(root, "extra-table", EURUSD)
    catalogue = discover(EURUSD, LocalWarehouse(root).describe(), expectations)
    assert catalogue.unexpected == ("agg_appeared_eurusd",)
    inject_fault(root, "corrupt-file", EURUSD)
    catalogue = discover(EURUSD, LocalWarehouse(root).describe(), expectations)
    assert isinstance(catalogue.problems[VICTIM], TableUnreadable)
    inject_fault(root, "missing-table", EURUSD)
    catalogue = discover(EURUSD, LocalWarehouse(root).describe(), expectations)
    assert isinstance(catalogue.problems[VICTIM], TableMissing)


def test_the_other_pairs_catalogue_stays_whole(root: Path) -> None:
    expectations = load_expectations(root / "expectations.toml")
    for mode in ("type-drift", "wrong-targets", "extra-table", "corrupt-file"):
        inject_fault(root, mode, EURUSD)
    catalogue = discover(GBPUSD, LocalWarehouse(root).describe(), expectations)
    assert not catalogue.problems
    assert not catalogue.unexpected


def test_what_cannot_be_spoiled_is_an_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="--list"):
        inject_fault(root, "nonsense", EURUSD)
    with pytest.raises(TableMissing):
        inject_fault(root, "nan", parse_pair("usdjpy"))
    with pytest.raises(TableMissing, match="bqx warehouse create"):
        inject_fault(tmp_path / "none", "nan", EURUSD)
    inject_fault(root, "corrupt-file", EURUSD)
    with pytest.raises(TableUnreadable, match="agg_bqx_eurusd"):
        inject_fault(root, "nan", EURUSD)


def test_simulated_values_are_finite_before_anything_is_spoiled(two_pairs: Path) -> None:
    for path in (two_pairs / FEATURES_DATASET).glob("*.parquet"):
        frame = pl.read_parquet(path)
        for name, dtype in frame.schema.items():
            if dtype == pl.Float64:
                assert all(math.isfinite(value) for value in frame.get_column(name).drop_nulls().unique()), name
