"""States of months that are kept beside the tables are used for the same file alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract import embedded, kept_months
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import MONTHS_FILE, table_path

_NAME = (FEATURES_DATASET, "t")
_START = datetime(2024, 1, 1, tzinfo=UTC)


def _path(root: Path) -> Path:
    return table_path(root, *_NAME)


def _write(path: Path, last: float = 89.0) -> None:
    """Write 90 days, a row group for each month; all files have the same size."""
    key = pl.datetime_range(_START, _START + timedelta(days=89), "1d", time_unit="us", time_zone="UTC", eager=True)
    values = [*map(float, range(89)), last]
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([key.alias(KEY), pl.Series("x", values)]).write_parquet(
        path, row_group_size=30, compression="uncompressed", statistics=False
    )


def _months(root: Path) -> object:
    warehouse = LocalWarehouse(root)
    return warehouse.months(warehouse.describe())


def _found(root: Path, beside: Path) -> object:
    """Return the months of the same table in a folder where none were kept."""
    _path(beside).parent.mkdir(parents=True)
    shutil.copy2(_path(root), _path(beside))
    return _months(beside)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A warehouse with a table of which the months were kept."""
    root = tmp_path / "warehouse"
    _write(_path(root))
    LocalWarehouse(root).keep_months()
    return root


def test_kept_months_are_those_that_would_be_found_and_no_file_is_read_for_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _found(root, tmp_path / "other")
    monkeypatch.delattr(embedded, "months_or_none")
    assert _months(root) == found


def _rewritten(path: Path) -> None:
    with path.open("r+b") as file:
        data = file.read()
        _write(path.with_name("other.parquet"), last=1.0)
        file.seek(0)
        file.write(path.with_name("other.parquet").read_bytes())
    path.with_name("other.parquet").unlink()
    assert path.stat().st_size == len(data)


def _replaced(path: Path) -> None:
    other = path.parents[1] / "other.parquet"
    _write(other, last=1.0)
    other.replace(path)


@pytest.mark.parametrize("change", [_rewritten, _replaced])
def test_a_file_that_changed_is_read_though_its_size_and_time_are_the_same(
    change: Callable[[Path], None], root: Path, tmp_path: Path
) -> None:
    before, kept = _path(root).stat(), _months(root)
    change(_path(root))
    os.utime(_path(root), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert _path(root).stat().st_size == before.st_size
    assert _months(root) == _found(root, tmp_path / "other") != kept


@pytest.mark.parametrize("text", [b"", b"{", b'{"tables": {"t": 1}}', b'{"format_version": 99}'])
def test_months_that_cannot_be_loaded_are_found_again(text: bytes, root: Path, tmp_path: Path) -> None:
    (root / MONTHS_FILE).write_bytes(text)
    assert _months(root) == _found(root, tmp_path / "other")


def test_months_of_another_version_are_found_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _found(root, tmp_path / "other")
    text = (root / MONTHS_FILE).read_text()
    (root / MONTHS_FILE).write_text(text.replace('"rows":31', '"rows":30').replace('"rows": 31', '"rows": 30'))
    assert _months(root) != found, "these months were taken from the file"
    monkeypatch.setattr(kept_months, "_CODE", 2)
    assert _months(root) == found


def test_a_table_that_cannot_be_read_has_no_kept_months(tmp_path: Path) -> None:
    path = _path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 is missing")
    LocalWarehouse(tmp_path).keep_months()
    assert _months(tmp_path) == {}
