"""A folder of Parquet tables answers as a warehouse: described by footers, read with columns and rows pushed down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.errors import BadSetting, TableChanged, TableMissing, TableUnreadable
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.discovery import TableDescription, discover
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets.extract import embedded as local_warehouse
from bqx_assets.extract.columns import KeyBounds, bounds_of
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.extract.warehouse import ReadRequest, Warehouse
from bqx_assets.sandbox.create import begin
from bqx_assets_tests.descriptions import full_descriptions
from bqx_assets_tests.frames import EURUSD, START, few_tables_expectations, frame_warehouse, minutes

ROWS = 200
NAMES = {"agg_eurusd", "base_bqx_eurusd", "corr_ibkr_eurusd_ewa", "cov_lag_eurusd_usdjpy", "tmp_eurusd", "mkt_vol"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for (dataset, table), frame in frame_warehouse(ROWS).frames.items():
        _write(tmp_path / "w", dataset, table, frame)
    return tmp_path / "w"


def _write(root: Path, dataset: str, table: str, frame: pl.DataFrame, **options: Any) -> Path:
    path = table_path(root, dataset, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, **options)
    return path


def _described(warehouse: Warehouse) -> dict[str, TableDescription]:
    return {each.table: each for each in warehouse.describe()}


def _read(warehouse: Warehouse, table: TableDescription, columns: Sequence[str], **filters: Any) -> pl.DataFrame:
    request = ReadRequest(table, tuple(columns), warehouse.snapshot(), **filters)
    batches = list(warehouse.read(request))
    return pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches))) if batches else pl.DataFrame()


def test_a_folder_describes_the_same_tables_and_types_as_its_frames(root: Path) -> None:
    expected = {each.table: each for each in frame_warehouse(ROWS).describe()}
    found = _described(LocalWarehouse(root))
    assert found.keys() == expected.keys() == {*NAMES, "targets_eurusd"}
    assert {name: (each.dataset, each.columns, each.rows) for name, each in found.items()} == {
        name: (each.dataset, each.columns, each.rows) for name, each in expected.items()
    }


def test_states_of_a_folder_are_the_etags_of_its_description_without_tables_that_are_not_there(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    etags = {(each.dataset, each.table): each.etag for each in warehouse.describe()}
    assert warehouse.states([*etags, (FEATURES_DATASET, "no_table")]) == etags
    with pytest.raises(TableMissing):
        LocalWarehouse(root / "nowhere").states(etags)


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.float32(), "FLOAT64"),
        (pa.int16(), "INT64"),
        (pa.dictionary(pa.int32(), pa.string()), "STRING"),
        (pa.timestamp("ns"), "TIMESTAMP"),
        (pa.date32(), "DATE"),
        (pa.bool_(), "BOOL"),
    ],
    ids=str,
)
def test_other_writers_types_have_bigquerys_names_and_are_read_as_its_types(
    tmp_path: Path, arrow: pa.DataType, name: str
) -> None:
    path = table_path(tmp_path, FEATURES_DATASET, "t")
    path.parent.mkdir()
    keys = pa.array([START], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({KEY: keys, "x": pa.array([None], arrow)}), path)
    described = _described(LocalWarehouse(tmp_path))["t"]
    assert described.types() == {KEY: "TIMESTAMP", "x": name}
    assert _read(LocalWarehouse(tmp_path), described, (KEY, "x")).height == 1


def test_a_rewritten_file_has_another_etag_and_an_untouched_one_the_same(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    before = _described(warehouse)
    path = table_path(root, FEATURES_DATASET, "mkt_vol")
    stat = path.stat()
    frame = pl.read_parquet(path)
    frame.with_columns(pl.col("mkt_vol_atr_45") + 1).write_parquet(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # even where the clock did not move
    after = _described(LocalWarehouse(root))
    assert {name for name in before if before[name].etag != after[name].etag} == {"mkt_vol"}


def test_a_copied_warehouse_keeps_its_etags(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    assert _described(LocalWarehouse(tmp_path / "copy")) == _described(LocalWarehouse(root))


def test_an_unchanged_table_is_described_from_memory_and_a_new_one_is_found(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    first = _described(warehouse)
    _write(root, FEATURES_DATASET, "tri_new", pl.DataFrame({KEY: minutes(3)}))
    second = _described(warehouse)
    assert all(second[name] is first[name] for name in first)
    assert second["tri_new"].rows == 3


def test_half_written_and_hidden_files_are_no_tables(root: Path) -> None:
    folder = root / FEATURES_DATASET
    (folder / ".mkt_vol.parquet.partial-1-ab").write_bytes(b"")
    (folder / ".hidden.parquet").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    assert _described(LocalWarehouse(root)).keys() == {*NAMES, "targets_eurusd"}


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(64) + b"PAR1", b"no parquet at all"], ids=len)
def test_a_broken_file_fails_by_its_own_name_and_no_other_does(root: Path, data: bytes) -> None:
    table_path(root, FEATURES_DATASET, "mkt_vol").write_bytes(data)
    described = LocalWarehouse(root).describe()
    assert sum(each.defect is not None for each in described) == 1
    catalogue = discover(EURUSD, described, few_tables_expectations(rows=ROWS))
    assert isinstance(catalogue.problems["mkt_vol"], TableUnreadable)
    assert len(catalogue.tables) == len(NAMES) - 1


def test_a_broken_targets_table_is_named(root: Path) -> None:
    table_path(root, TARGETS_DATASET, "targets_eurusd").write_bytes(b"PAR1")
    with pytest.raises(TableUnreadable, match="targets_eurusd"):
        discover(EURUSD, LocalWarehouse(root).describe(), few_tables_expectations(rows=ROWS))


def test_columns_come_in_the_order_asked_for_and_no_others(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    columns = (KEY, "agg_sum_45", "agg_count_45")
    found = _read(warehouse, _described(warehouse)["agg_eurusd"], columns, pair="eurusd")
    expected = frame_warehouse(ROWS).frames[FEATURES_DATASET, "agg_eurusd"].select(columns)
    assert found.equals(expected)


@pytest.mark.parametrize(("start", "end"), [(None, None), (50, None), (None, 120), (50, 120), (0, 0), (500, 600)])
@pytest.mark.parametrize("group_rows", [ROWS, 16])
def test_only_rows_of_the_range_come_whatever_the_row_groups(
    tmp_path: Path, start: int | None, end: int | None, group_rows: int
) -> None:
    frame = pl.DataFrame({KEY: minutes(ROWS), "x": range(ROWS)})
    _write(tmp_path, FEATURES_DATASET, "t", frame, row_group_size=group_rows)
    first = START + timedelta(minutes=start) if start is not None else None
    last = START + timedelta(minutes=end) if end is not None else None
    warehouse = LocalWarehouse(tmp_path)
    found = _read(warehouse, _described(warehouse)["t"], (KEY, "x"), start=first, end=last)
    expected = [row for row in range(ROWS) if (start or 0) <= row <= (ROWS if end is None else end)]
    assert (found.get_column("x").to_list() if found.width else []) == expected


def test_a_row_without_key_is_not_hidden_by_a_range(tmp_path: Path) -> None:
    frame = pl.DataFrame({KEY: minutes(ROWS), "x": range(ROWS)})
    holed = frame.with_columns(pl.when(pl.col("x") != 7).then(KEY).alias(KEY))
    _write(tmp_path, FEATURES_DATASET, "t", holed, row_group_size=16)
    warehouse = LocalWarehouse(tmp_path)
    last = START + timedelta(hours=3)
    found = _read(warehouse, _described(warehouse)["t"], (KEY, "x"), start=last - timedelta(minutes=2), end=last)
    assert found.get_column("x").to_list() == [7, 178, 179, 180]


def test_rows_of_other_pairs_stay_out_even_where_pair_is_not_asked_for(tmp_path: Path) -> None:
    both = pl.DataFrame({KEY: [START, START, START], "pair": ["eurusd", "gbpusd", None], "x": [1.0, 2.0, 3.0]})
    _write(tmp_path, FEATURES_DATASET, "t", both.with_columns(pl.col(KEY).cast(pl.Datetime("us", "UTC"))))
    warehouse = LocalWarehouse(tmp_path)
    found = _read(warehouse, _described(warehouse)["t"], (KEY, "x"), pair="eurusd", start=START)
    assert found.columns == [KEY, "x"]
    assert found.get_column("x").to_list() == [1.0]


@pytest.mark.parametrize("piece_bytes", [1, 3 * 8 * ROWS, 1 << 30], ids=["one", "three", "all"])
@pytest.mark.parametrize("start", [None, 50])
def test_rows_are_the_same_however_many_columns_are_decoded_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, start: int | None
) -> None:
    monkeypatch.setattr(local_warehouse, "_PIECE_BYTES", piece_bytes)
    warehouse = LocalWarehouse(root)
    table = _described(warehouse)["agg_eurusd"]
    columns = [name for name, _ in reversed(table.columns)]
    first = START + timedelta(minutes=start) if start is not None else None
    found = _read(warehouse, table, columns, pair="eurusd", start=first)
    expected = frame_warehouse(ROWS).frames[FEATURES_DATASET, "agg_eurusd"].select(columns)
    assert found.equals(expected if first is None else expected.filter(pl.col(KEY) >= first))


def test_a_few_rows_of_a_wide_row_group_take_a_fraction_of_it_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, width, piece_bytes = 8_192, 200, 1 << 20
    wide = pl.DataFrame({KEY: minutes(rows)} | {f"x{number}": np.arange(rows) / 7 + number for number in range(width)})
    _write(tmp_path, FEATURES_DATASET, "wide", wide)
    monkeypatch.setattr(local_warehouse, "_PIECE_BYTES", piece_bytes)
    warehouse = LocalWarehouse(tmp_path)
    table = _described(warehouse)["wide"]
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        found = _read(warehouse, table, wide.columns, end=START + timedelta(minutes=9))
    finally:
        pa.set_memory_pool(usual)
    assert found.equals(wide.head(10))
    assert 0 < (counted.max_memory() or 0) < 3 * piece_bytes < 8 * rows * width // 4


def test_many_threads_read_one_warehouse(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    table = _described(warehouse)["mkt_vol"]
    columns = [name for name, _ in table.columns]
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(_read, warehouse, table, columns) for _ in range(32)]
        assert all(future.result().equals(futures[0].result()) for future in futures)


def test_without_a_folder_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    for warehouse in (LocalWarehouse(tmp_path / "none"), LocalWarehouse(tmp_path)):
        for ask in (warehouse.describe, warehouse.snapshot):
            with pytest.raises(TableMissing, match="bqx warehouse create"):
                ask()


def test_an_unfinished_warehouse_is_refused_with_a_cure(root: Path) -> None:
    table = _described(LocalWarehouse(root))["mkt_vol"]
    (root / "UNFINISHED").touch()
    with pytest.raises(TableUnreadable, match="bqx warehouse create"):
        LocalWarehouse(root).describe()
    with pytest.raises(TableUnreadable, match="interrupted"):
        list(LocalWarehouse(root).read(ReadRequest(table, (KEY,), datetime.now(UTC))))


def test_a_table_removed_or_rewritten_after_its_description_is_no_silent_read(root: Path) -> None:
    warehouse = LocalWarehouse(root)
    described = _described(warehouse)
    table_path(root, FEATURES_DATASET, "mkt_vol").unlink()
    with pytest.raises(TableMissing, match="mkt_vol"):
        _read(warehouse, described["mkt_vol"], (KEY,))
    path = table_path(root, FEATURES_DATASET, "agg_eurusd")
    pl.read_parquet(path).head(10).write_parquet(path)
    with pytest.raises(TableChanged, match="agg_eurusd"):
        _read(warehouse, described["agg_eurusd"], (KEY,))


def test_damage_behind_a_whole_footer_is_found_when_it_is_read(root: Path) -> None:
    path = table_path(root, FEATURES_DATASET, "mkt_vol")
    data = bytearray(path.read_bytes())
    data[100:3_000] = bytes(2_900)
    path.write_bytes(bytes(data))
    warehouse = LocalWarehouse(root)
    table = _described(warehouse)["mkt_vol"]
    assert table.defect is None
    with pytest.raises(TableUnreadable, match="mkt_vol"):
        _read(warehouse, table, [name for name, _ in table.columns])


@pytest.mark.parametrize("name", ["../secret", "a/b", "t;drop", "", "t.parquet"])
def test_a_hostile_name_never_reaches_a_path(root: Path, name: str) -> None:
    table = TableDescription(FEATURES_DATASET, name, ((KEY, "TIMESTAMP"),), 1, 1, START, "")
    with pytest.raises(BadSetting):
        _read(LocalWarehouse(root), table, (KEY,))


def test_668_tables_are_described_in_about_a_second(tmp_path: Path) -> None:
    """Lesson 13: 80 s a table, for each was asked for alone. Measured here: 0.2 s; the bound allows a busy machine."""
    for each in full_descriptions(EURUSD).values():
        schema = {name: {"TIMESTAMP": pl.Datetime("us", "UTC")}.get(kind, pl.Float64) for name, kind in each.columns}
        _write(tmp_path, each.dataset, each.table, pl.DataFrame(schema=schema))
    began = datetime.now(UTC)
    assert len(LocalWarehouse(tmp_path).describe()) == 668
    assert datetime.now(UTC) - began < timedelta(seconds=5)


def _with_footer(path: Path, old: int, new: int) -> None:
    """Replace a number of eight bytes in the footer, wherever it stands there."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    before, after = (number.to_bytes(8, "little", signed=True) for number in (old, new))
    assert before in data[start:]
    path.write_bytes(data[:start] + data[start:].replace(before, after))


@pytest.mark.parametrize("bound", [-1, 0], ids=["last", "first"])
def test_statistics_that_lie_about_the_key_hide_no_row(tmp_path: Path, bound: int) -> None:
    keys = minutes(ROWS)
    frame = pl.DataFrame([keys, pl.Series("x", range(ROWS))])
    path = _write(tmp_path, FEATURES_DATASET, "t", frame, row_group_size=50)
    physical = keys.to_physical()[50:100]
    shift = -(10**12) if bound else 10**12
    _with_footer(path, physical[bound], physical[bound] + shift)
    warehouse = LocalWarehouse(tmp_path)
    table = _described(warehouse)["t"]
    for start, end in ((0, 199), (50, 99), (60, 70), (99, 100), (0, 50), (120, 140)):
        found = _read(warehouse, table, (KEY, "x"), start=keys[start], end=keys[end])
        assert found["x"].to_list() == list(range(start, end + 1))


def test_a_footer_that_counts_rows_its_row_groups_have_not_is_refused_by_both_numbers(tmp_path: Path) -> None:
    _write(tmp_path, FEATURES_DATASET, "t", pl.DataFrame([minutes(ROWS), pl.Series("x", range(ROWS))]))
    warehouse = LocalWarehouse(tmp_path)
    table = _described(warehouse)["t"]
    with pytest.raises(TableUnreadable, match="200 rows in its row groups, 900 by its footer"):
        _read(warehouse, replace(table, rows=900), (KEY, "x"))


@pytest.mark.parametrize(("before", "times"), [("nothing", 4), ("months", 0)])
def test_keys_are_decoded_once_however_many_stretches_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, times: int
) -> None:
    keys = minutes(ROWS)
    _write(tmp_path, FEATURES_DATASET, "t", pl.DataFrame([keys, pl.Series("x", range(ROWS))]), row_group_size=50)
    warehouse = LocalWarehouse(tmp_path)
    table = _described(warehouse)["t"]
    if before == "months":  # which decodes them
        warehouse.months([table])
    decoded: list[pl.Series] = []

    def counted(of_group: pl.Series) -> KeyBounds | None:
        decoded.append(of_group)
        return bounds_of(of_group)

    monkeypatch.setattr(local_warehouse, "bounds_of", counted)
    for start in range(0, ROWS, 20):
        assert _read(warehouse, table, (KEY, "x"), start=keys[start], end=keys[start + 19]).height == 20
    assert len(decoded) == times


def test_what_looks_like_a_table_and_is_none_is_named_and_nothing_is_waited_for(root: Path) -> None:
    folder = root / FEATURES_DATASET
    (folder / "mkt_vol.parquet").unlink()
    os.mkfifo(folder / "mkt_vol.parquet")
    (folder / "corr_ibkr_eurusd_ewa.parquet").unlink()
    (folder / "corr_ibkr_eurusd_ewa.parquet").symlink_to("corr_ibkr_eurusd_ewa.parquet")
    for name in (b"agg_idx_eurusd.PARQUET", b"a b.parquet", b"not utf-8 \xff.parquet", b"a\x1b[31m.parquet"):
        shutil.copy(folder / "agg_eurusd.parquet", folder / os.fsdecode(name))
    (folder / "older").mkdir()
    (folder / "notes.txt").write_text("no table, and not meant as one")
    described = LocalWarehouse(root).describe()
    catalogue = discover(EURUSD, described, few_tables_expectations())
    assert catalogue.unexpected == (
        "a b.parquet",
        "a\\x1b[31m.parquet",
        "agg_idx_eurusd.PARQUET",
        "not utf-8 \\udcff.parquet",
        "older/",
    )
    told = {name: str(error) for name, error in catalogue.problems.items()}
    assert "a named pipe, not a file" in told["mkt_vol"]
    assert "symbolic links" in told["corr_ibkr_eurusd_ewa"]
    assert len(told) == 2


def test_a_making_removes_its_own_tables_and_nothing_else(tmp_path: Path) -> None:
    others = ["mine.parquet", "agg_eurusd.parquet.bak", "agg_eurusd.PARQUET", "notes.txt", ".x.partial-y"]
    own = [
        "agg_eurusd.parquet",
        "agg_appeared_eurusd.parquet",
        "mkt_vol_summary.parquet",
        ".a.partial-4194305-0123abcd",
    ]
    folder = tmp_path / FEATURES_DATASET
    folder.mkdir()
    for name in (*others, *own):
        (folder / name).write_text(name)
    (folder / "sub.parquet").mkdir()
    begin(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*others, "sub.parquet"])
