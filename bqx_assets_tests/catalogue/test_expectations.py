"""One expectations file; a warehouse's own states only what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.catalogue.expectations import load_expectations


def test_the_packaged_file_holds_the_users_thresholds() -> None:
    found = load_expectations()
    assert (found.min_rows, found.min_columns) == (100_000, 10_000)
    assert (found.max_feature_null_fraction, found.max_target_null_fraction) == (0.05, 0.01)
    assert len(found.targets()) == 49
    assert sum(found.family_tables.values()) == 667


def test_a_file_overrides_only_what_it_states(tmp_path: Path) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text('min_rows = 400\n[known_absent]\nagg_eurusd = "retired"\n')
    found = load_expectations(path)
    assert found.min_rows == 400
    assert found.known_absent == {"agg_eurusd": "retired"}
    assert found.min_columns == load_expectations().min_columns


@pytest.mark.parametrize("text", ["min_rows = 0", "unknown_key = 1", "not toml", "max_feature_null_fraction = 5"])
def test_a_file_that_is_wrong_is_refused_naming_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text(text)
    with pytest.raises(BadSetting, match=r"expectations\.toml"):
        load_expectations(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="No such file"):
        load_expectations(tmp_path / "none.toml")
