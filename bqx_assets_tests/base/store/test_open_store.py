"""The settings choose between a folder and a bucket, and Polars reads from the same server as the store's client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.frame_files import parquet_end_bytes, scan_parquet
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.open_store import open_store
from bqx_assets.base.store.protocol import ABSENT
from bqx_assets.merge.footer import read_footer
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

COLUMNS, ROWS = 17_038, 500
POLARS_TAIL_BYTES = 256 << 10
"""What Polars asks for first, before it knows how long the footer is."""


def test_the_default_is_a_folder_under_home(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path, keep_versions=2))
    assert isinstance(store, LocalObjectStore)
    assert (store.root, store.keep_versions) == (tmp_path / "bqx-ml-output", 2)
    other = open_store(Settings(output=str(tmp_path / "elsewhere")))
    assert isinstance(other, LocalObjectStore)
    assert other.root == tmp_path / "elsewhere"


@pytest.mark.parametrize("prefix", ["", "team/pairs"])
def test_gs_is_a_bucket_with_or_without_prefix(gcs: GcsServer, prefix: str) -> None:
    store = open_store(Settings(output=f"gs://{BUCKET}/{prefix}"))
    assert isinstance(store, GcsObjectStore)
    store.put_bytes("x", b"1", only_if=ABSENT)
    store.client.close()
    assert list(gcs.buckets[BUCKET].live) == [f"{prefix}/x".lstrip("/")]


@pytest.mark.parametrize(
    "output", ["gs://", "gs:///x", "gs://UPPER", "gs://a b", "gs://x/../y", "gs://bucket?x=1", "gs://ok-bucket/a\nb"]
)
def test_what_is_no_bucket_is_refused(output: str) -> None:
    with pytest.raises(BadSetting):
        open_store(Settings(output=output))


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadSetting, match="which is not a folder"):
        open_store(Settings(output=str(tmp_path / "file")))


def test_without_a_bucket_no_google_library_is_imported() -> None:
    code = (
        "import sys, bqx_assets.cli.main; from bqx_assets.base.settings import Settings;"
        "from bqx_assets.base.store.open_store import open_store; open_store(Settings());"
        "print([name for name in sys.modules if name.startswith('google.cloud.storage')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("named", "decoy"), [("exp[1]", "exp1"), ("exp*", "expand"), ("exp?", "exp1"), ("a%5B", "a[")])
def test_an_address_is_no_pattern(gcs: GcsServer, tmp_path: Path, named: str, decoy: str) -> None:
    assert gcs.buckets
    for prefix, value in ((named, 1.0), (decoy, 2.0)):
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / "f.parquet")
        store = open_store(Settings(output=f"gs://{BUCKET}/{prefix}"))
        store.put_file("f.parquet", tmp_path / "f.parquet", only_if=ABSENT)
        assert scan_parquet(store.uri("f.parquet")).collect().item() == value


def test_ten_of_many_columns_cost_the_footer_and_their_ranges(
    store: GcsObjectStore, gcs: GcsServer, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({f"c{number:05}": rng.standard_normal(ROWS) for number in range(COLUMNS)})
    path = tmp_path / "wide.parquet"
    frame.write_parquet(path, row_group_size=ROWS)
    store.put_file("training_eurusd.parquet", path, only_if=ABSENT)
    chosen = frame.columns[5 : COLUMNS : COLUMNS // 10][:10]
    gcs.log.clear()
    uri = store.uri("training_eurusd.parquet")
    read = scan_parquet(uri).select(chosen).collect()
    assert read.equals(frame.select(chosen))
    footer = read_footer(path)
    chunk_bytes = sorted(chunk.size_bytes for chunk in footer.groups[0].chunks)
    end_bytes = parquet_end_bytes(path.read_bytes())
    footer_at = footer.file_bytes - max(end_bytes, POLARS_TAIL_BYTES + 8)
    of_columns = [size for _, start, size in gcs.log.ranges if start < footer_at]
    assert len(of_columns) == len(chosen)
    assert sum(of_columns) <= len(chosen) * chunk_bytes[-1]
    of_footer = sum(size for _, start, size in gcs.log.ranges if start >= footer_at)
    assert of_footer <= end_bytes + POLARS_TAIL_BYTES
    assert gcs.log.downloaded_bytes < footer.file_bytes / 10
    assert not gcs.log.heard
