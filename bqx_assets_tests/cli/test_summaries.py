"""What a command's last lines say of its outcome."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.cli.session import Cost
from bqx_assets.cli.summaries import merge_facts, merge_lines
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.frames import EURUSD
from bqx_assets_tests.merge.slabs import SETTINGS, raw_folder, write_raw


def test_a_merge_says_which_columns_it_left_out(tmp_path: Path) -> None:
    frames = raw_folder(tmp_path / "raw")
    write_raw(tmp_path / "raw", "agg_eurusd", frames["agg_eurusd"].with_columns(target_45=pl.lit(1.0)))
    output = tmp_path / "out.parquet"
    manifest = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "raw"), SETTINGS), *StoredFile.at(output), progress=Silent()
    )
    told = "\n".join(str(line) for line in merge_lines(manifest, str(output), Cost()))
    assert "quarantined columns, they look forward: " in told
    assert "agg_eurusd.target_45" in told
    assert "agg_eurusd.target_45" in str(merge_facts(manifest, str(output), Cost())["quarantined"])
