"""Slabs in a bucket are composed there into the file that a splice would give; nothing partial is ever trusted."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base import files
from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    Manifest,
    load_record,
    manifest_path,
)
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import (
    CheckpointCorrupt,
    CheckpointMismatch,
    ChecksumMismatch,
    MergeRefused,
    PreconditionFailed,
    StoreError,
)
from bqx_assets.base.frame_files import parquet_end_bytes
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import working_folder
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import FOOTER_BYTES_KEY, Slabs, slabs_prefix
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.forgery import exchange, writer_name
from bqx_assets_tests.frames import EURUSD, across_months, frame_job, frame_warehouse
from bqx_assets_tests.merge.slabs import (
    PERIODS,
    SETTINGS,
    Told,
    as_earlier_version,
    extracted,
    merged,
    months_of,
    not_synced,
    slab_folder,
)
from bqx_assets_tests.servers.gcs.bucket import Bucket
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

PREFIX = slabs_prefix(EURUSD)
NAME = merged_name(EURUSD)


def _extracted(store: GcsObjectStore, *, period: str = "month") -> None:
    slabs = Slabs(store, slabs_prefix(EURUSD))
    extract_pair(frame_job(slabs, across_months(frame_warehouse()), period=period))


def _compose(store: GcsObjectStore) -> Manifest:
    return merge(plan_slabs(EURUSD, store, slabs_prefix(EURUSD)), store, merged_name(EURUSD), progress=Silent())


@pytest.mark.parametrize("period", ["none", "month"])
def test_compose_equals_the_splice(gcs_store: GcsObjectStore, tmp_path: Path, period: str) -> None:
    _extracted(gcs_store, period=period)
    extracted(tmp_path / "slabs", period=period)
    spliced = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "slabs"), SETTINGS),
        *StoredFile.at(tmp_path / "out.parquet"),
        progress=Silent(),
    )
    composed = _compose(gcs_store)
    data, written = gcs_store.read(NAME), (tmp_path / "out.parquet").read_bytes()
    assert_frame_equal(pl.read_parquet(io.BytesIO(data)), pl.read_parquet(tmp_path / "out.parquet"))
    piece_bytes = sum(slab.size_bytes for slab in composed.extraction.slabs)
    assert data[:piece_bytes] == written[:piece_bytes]
    assert composed.extraction.slabs == spliced.extraction.slabs
    assert composed.file.columns == spliced.file.columns


def test_the_manifest_is_of_these_very_bytes(gcs_store: GcsObjectStore) -> None:
    _extracted(gcs_store)
    manifest = _compose(gcs_store)
    data = gcs_store.read(NAME)
    assert (manifest.file.size_bytes, manifest.file.crc32c) == (len(data), crc32c(data))
    assert (manifest.engine, manifest.file.name) == ("compose", "training_eurusd.parquet")
    assert load_record(gcs_store, str(manifest_path(Path(NAME))), Manifest) == manifest


def test_no_byte_but_footers_is_read_or_sent(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    footers = {
        name: int(each.metadata[FOOTER_BYTES_KEY])
        for name, each in gcs.buckets[BUCKET].live.items()
        if name.endswith(".parquet")
    }
    gcs.log.clear()
    manifest = _compose(gcs_store)
    read = {name: size for name, _, size in gcs.log.ranges if name.endswith(".parquet")}
    assert read == footers
    sent = gcs_store.head(str(manifest_path(Path(NAME))))
    slab_bytes = sum(slab.size_bytes for slab in manifest.extraction.slabs)
    assert sent is not None
    assert gcs.log.uploaded_bytes == manifest.file.size_bytes - slab_bytes + sent.size_bytes


def test_669_slabs_take_at_most_25_compose_calls_and_leave_nothing_behind(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sync_file", not_synced)  # thousands of them take 5 s, and nobody pulls the plug here
    rng = np.random.default_rng(5)
    tables = {f"mkt_{number}": pl.DataFrame({"x": rng.standard_normal(20)}) for number in range(668)}
    slab_folder(tmp_path, tables, 20)
    bucket = gcs.buckets[BUCKET]
    _copy(tmp_path, bucket)
    before = set(bucket.live)
    gcs.log.clear()
    _compose(gcs_store)
    count = gcs.log.count()
    assert count["object.compose"] <= 25
    assert count["object.list"] == 2  # a thousand names a page: pieces and the tables' records
    assert count["object.media"] == 669 + 1
    assert set(bucket.live) - before == {NAME, str(manifest_path(Path(NAME)))}
    whole = pl.read_parquet(io.BytesIO(bucket.live[NAME].data))
    assert whole.shape == (20, 670)
    assert whole.get_column("mkt_667__x").equals(tables["mkt_667"].get_column("x"), null_equal=True)


def _copy(folder: Path, bucket: Bucket) -> None:
    """Put a folder of slabs into a bucket as an extraction does, with the sizes of the footers."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            stated = {FOOTER_BYTES_KEY: str(parquet_end_bytes(data[-8:]))} if path.suffix == ".parquet" else {}
            bucket.put(f"{PREFIX}{path.relative_to(folder).as_posix()}", data, {}, metadata=stated)


@pytest.mark.parametrize(("tables", "periods"), [(1, 3), (5, 5), (5, 6), (6, 5), (8, 31), (4, 62)])
def test_tables_times_periods_pieces_take_the_fewest_compose_calls(
    gcs_store: GcsObjectStore,
    gcs: GcsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tables: int,
    periods: int,
) -> None:
    monkeypatch.setattr(files, "sync_file", not_synced)
    rows = 2 * periods
    frames = {f"mkt_{number}": pl.DataFrame({"x": np.arange(rows) * 1.5 + number}) for number in range(tables - 1)}
    slab_folder(tmp_path, frames, rows, 2)
    bucket = gcs.buckets[BUCKET]
    _copy(tmp_path, bucket)
    gcs.log.clear()
    manifest = _compose(gcs_store)
    objects = tables * periods + 1  # the footer too
    assert gcs.log.count()["object.compose"] <= -(-(objects - 1) // 31)
    assert manifest.extraction.spine.row_groups == (2,) * periods
    whole = pl.read_parquet(io.BytesIO(bucket.live[NAME].data))
    assert whole.get_column(KEY).equals(months_of(rows, 2))
    for name, frame in frames.items():
        assert whole.get_column(f"{name}__x").equals(frame.get_column("x"))


def test_a_footer_of_unstated_size_is_found(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    for each in gcs.buckets[BUCKET].live.values():
        each.metadata.pop(FOOTER_BYTES_KEY, None)
    assert _compose(gcs_store).file.rows == 200


PIECE = f"{PREFIX}mkt_vol/2024-02.parquet"


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        ("gone", MergeRefused, "eurusd: 1 missing: mkt_vol/2024-02, "),
        ("superfluous", MergeRefused, "eurusd: 1 superfluous: other.parquet, "),
        ("another period", MergeRefused, "eurusd: 1 superfluous: mkt_vol/2023-12.parquet, "),
        ("other bytes", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("of another table", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("of another period", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("forged", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("no extraction", CheckpointCorrupt, "extraction.json"),
    ],
)
def test_pieces_that_are_not_the_record_are_refused_by_name_before_anything_is_written(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, damage: str, error: type[Exception], text: str
) -> None:
    _extracted(gcs_store)
    match damage:
        case "gone":
            gcs_store.delete(PIECE)
        case "superfluous":
            gcs_store.put_bytes(f"{PREFIX}other.parquet", b"PAR1")
        case "another period":
            gcs_store.put_bytes(f"{PREFIX}mkt_vol/2023-12.parquet", gcs_store.read(PIECE))
        case "other bytes":
            gcs_store.put_bytes(PIECE, gcs_store.read(PIECE)[::-1])
        case "of another table":
            gcs_store.put_bytes(PIECE, gcs_store.read(f"{PREFIX}agg_eurusd/2024-02.parquet"))
        case "of another period":
            gcs_store.put_bytes(PIECE, gcs_store.read(f"{PREFIX}mkt_vol/2024-01.parquet"))
        case "forged":
            gcs_store.put_bytes(PIECE, _forged(gcs_store.read(PIECE), tmp_path))
        case _:
            gcs_store.delete(f"{PREFIX}extraction.json")
    gcs.log.clear()
    with pytest.raises(error, match=text):
        _compose(gcs_store)
    assert gcs.log.count().keys() <= {"object.list", "object.media"}


def _forged(data: bytes, folder: Path) -> bytes:
    """The bytes of a slab's file or piece with two columns exchanged under the CRC32C that it had."""
    path = folder / "forged.parquet"
    path.write_bytes(data)
    first, second, *_ = read_footer(path).columns
    exchange(path, first, second, writer_name(path))
    return path.read_bytes()


def test_a_piece_copied_back_byte_by_byte_is_read_once_and_composed(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    data = gcs_store.read(PIECE)
    gcs_store.put_bytes(PIECE, data)
    gcs.log.clear()
    assert _compose(gcs_store).file.rows == 200
    assert sum(size for name, _, size in gcs.log.ranges if name == PIECE) >= len(data)
    read = Counter[str]()
    for name, _, size in gcs.log.ranges:
        read[name] += size
    stored = gcs.buckets[BUCKET].live
    assert [name for name in read if name.startswith(PREFIX) and read[name] >= len(stored[name].data)] == [
        f"{PREFIX}extraction.json",
        PIECE,
    ]


def test_the_cure_for_a_forged_piece_works(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _extracted(gcs_store)
    good = gcs_store.read(PIECE)
    gcs_store.put_bytes(PIECE, _forged(good, tmp_path))
    _extracted(gcs_store)
    assert gcs_store.read(PIECE) == good
    assert _compose(gcs_store).file.rows == 200


@pytest.mark.parametrize("forged", [False, True])
def test_slabs_of_an_earlier_version_are_composed_unless_one_is_forged(
    gcs_store: GcsObjectStore, tmp_path: Path, *, forged: bool
) -> None:
    expected = pl.read_parquet(merged(extracted(tmp_path / "slabs"), tmp_path / "out.parquet"))
    folder = as_earlier_version(tmp_path / "slabs")
    for path in folder.glob("*.parquet"):
        info = gcs_store.put_bytes(f"{PREFIX}{path.name}", path.read_bytes())
        record = folder / f"{path.stem}.slab.json"
        gcs_store.put_bytes(
            f"{PREFIX}{record.name}", record.read_bytes(), metadata={"slab-generation": str(info.version)}
        )
    gcs_store.put_bytes(f"{PREFIX}{EXTRACTION_FILE}", (folder / EXTRACTION_FILE).read_bytes())
    if forged:
        slab = f"{PREFIX}mkt_vol.parquet"
        gcs_store.put_bytes(slab, _forged(gcs_store.read(slab), tmp_path))
        with pytest.raises(CheckpointMismatch, match="eurusd/mkt_vol: "):
            _compose(gcs_store)
    else:
        manifest = _compose(gcs_store)
        data = gcs_store.read(NAME)
        assert manifest.file.crc32c == crc32c(data)
        assert_frame_equal(pl.read_parquet(io.BytesIO(data)), expected, check_exact=True)


def test_a_piece_replaced_while_it_is_composed_gives_no_file(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    plan = plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD))
    gcs.fail("object.compose", "hook", hook=lambda: gcs.buckets[BUCKET].put(PIECE, b"other bytes", {}))
    with pytest.raises(ChecksumMismatch, match="removed again"):
        merge(plan, gcs_store, merged_name(EURUSD), progress=Silent())
    assert gcs_store.head(NAME) is None


def test_a_wrong_checksum_of_the_store_gives_no_file(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", "wrong_crc", name=NAME)
    with pytest.raises(ChecksumMismatch):
        _compose(gcs_store)
    assert gcs_store.head(NAME) is None


def test_of_two_racing_merges_one_wins_and_the_other_says_so(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    plan = plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD))
    made: list[Manifest] = []
    gcs.fail("object.compose", "hook", hook=lambda: made.append(_compose(gcs_store)))
    with pytest.raises(PreconditionFailed):
        merge(plan, gcs_store, merged_name(EURUSD), progress=Silent())
    info = gcs_store.head(NAME)
    assert info is not None
    assert info.crc32c == made[0].file.crc32c


@pytest.mark.parametrize("kind", ["status", "reset"])
@pytest.mark.parametrize("after", [False, True])
def test_a_transient_fault_of_compose_is_not_seen(
    gcs_store: GcsObjectStore, gcs: GcsServer, kind: str, *, after: bool
) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", kind, after=after)
    assert _compose(gcs_store).file.rows == 200


def test_a_footer_object_that_cannot_be_removed_does_not_undo_the_merge(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    _extracted(gcs_store)
    gcs.fail("object.delete", status=403, name="footers/")
    manifest = _compose(gcs_store)
    assert load_record(gcs_store, str(manifest_path(Path(NAME))), Manifest) == manifest


def test_what_a_failed_merge_leaves_is_under_staging(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", status=403)
    with pytest.raises(StoreError, match="HTTP 403"):
        _compose(gcs_store)
    assert all(name.startswith(STAGING) for name in gcs.buckets[BUCKET].live)


def test_progress_tells_each_table_of_each_period_and_the_file(gcs_store: GcsObjectStore) -> None:
    _extracted(gcs_store)
    told = Told()
    manifest = merge(plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD)), gcs_store, merged_name(EURUSD), progress=told)
    tables = [slab.table for slab in manifest.extraction.slabs]
    assert [item for item, _ in told.steps] == [*tables * len(PERIODS), NAME]
    assert told.total == len(told.steps)
