"""Objects are the package's own by the form of their names and the store's facts together."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.staging_names import SHARED, is_own


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("d/mkt_vol.parquet", True),
        ("d/mkt_vol.parquet.lease", True),
        ("d/mkt_vol/2026-01.parquet", True),
        ("d/mkt_vol/2026-01.parquet.lease", True),
        ("d/mkt_vol/2026-Q4.parquet", True),
        ("d/mkt_vol/2026-H2.parquet", True),
        ("d/mkt_vol/2026.parquet", True),
        ("d/mkt_vol/all.parquet", True),
        ("d/mkt_vol/copy.parquet", False),
        ("d/mkt_vol/2026-Q5.parquet", False),
        ("d/mkt_vol/2026-01/all.parquet", False),
    ],
)
def test_a_shared_table_is_staged_whole_or_by_periods_of_the_calendar(tmp_path: Path, name: str, *, own: bool) -> None:
    assert is_own(LocalObjectStore(tmp_path).put_bytes(f"{SHARED}{name}", b"rows")) is own
