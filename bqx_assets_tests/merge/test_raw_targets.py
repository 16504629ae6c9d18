"""The targets of a raw checkpoint give the spine and its slab, whatever rows lie around them, a window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base.names import KEY
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.raw import list_checkpoints
from bqx_assets.merge.raw_file import RawFile
from bqx_assets.merge.raw_targets import RawTargets, read_targets
from bqx_assets_tests.frames import EURUSD, frame_warehouse
from bqx_assets_tests.merge.slabs import SETTINGS, raw_folder, write_raw

SHORTEST = load_expectations().shortest_target()
WHOLE = next(frame for (_, name), frame in frame_warehouse(200).frames.items() if name.startswith("targets_"))


def _read(folder: Path, settings: Settings = SETTINGS) -> RawTargets:
    sources = list_checkpoints(EURUSD, working_folder(folder)).sources
    file = RawFile(next(each for each in sources if each.table == "targets"), EURUSD)
    return read_targets(file, settings, load_expectations())


@given(
    picked=st.lists(st.integers(0, 199), min_size=5, max_size=40),
    unknown=st.integers(1, 4),
    policy=st.sampled_from(["first", "last"]),
    last=st.sampled_from(["", "3 rows"]),
    with_pair=st.booleans(),
)
def test_the_slab_has_the_rows_that_have_a_shortest_target_one_a_key_in_order(
    picked: list[int], unknown: int, policy: Literal["first", "last"], last: str, *, with_pair: bool
) -> None:
    frame = WHOLE[picked].with_columns(pl.int_range(pl.len()).cast(pl.Float64).alias("target_bqx90_h15"))
    known, nothing = pl.int_range(pl.len()) % (unknown + 1) != 0, None if with_pair else float("nan")
    frame = frame.with_columns(pl.when(known).then(SHORTEST).otherwise(pl.lit(nothing)).alias(SHORTEST))
    expected = frame.unique(KEY, keep=policy, maintain_order=True).sort(KEY)
    expected = expected.filter(pl.col(SHORTEST).is_not_null() & pl.col(SHORTEST).is_not_nan())
    with TemporaryDirectory() as folder:
        rows = frame
        if with_pair:
            rows = pl.concat([frame, WHOLE]).with_columns(pair=pl.Series(["EURUSD"] * len(picked) + ["gbpusd"] * 200))
        write_raw(Path(folder), "targets", rows)
        if expected.is_empty():
            return
        part = _read(Path(folder), Settings(duplicates=policy, last=last or None))
        found, record = part.frame()
    assert_frame_equal(found, expected.select(found.columns).tail(3) if last else expected.select(found.columns))
    assert part.spine.keys.to_list() == found.get_column(KEY).to_list()
    assert record.provenance.rows.matched == found.height


def test_no_more_than_the_targets_of_one_window_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_folder(tmp_path)
    read, asked = RawFile.rows, list[Sequence[str]]()

    def rows(file: RawFile, columns: Sequence[str], **options: Any) -> pl.DataFrame:
        asked.append(columns)
        return read(file, columns, **options)

    monkeypatch.setattr(RawFile, "rows", rows)
    _read(tmp_path)
    expectations = load_expectations()
    windows = [expectations.window_targets(window) for window in expectations.windows]
    assert [list(each) for each in asked] == [[KEY, SHORTEST], *windows]
