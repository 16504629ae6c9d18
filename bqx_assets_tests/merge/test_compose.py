"""The merge by compose: the splice's file, made inside the store, by the footers alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bqx_assets.base import files
from bqx_assets.base.artifacts import Manifest, manifest_path
from bqx_assets.base.checksums import crc32c
from bqx_assets.base.errors import (
    CheckpointCorrupt,
    CheckpointMismatch,
    ChecksumMismatch,
    MergeRefused,
    PreconditionFailed,
    StoreError,
)
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import working_file, working_folder
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.base.store.records import load_record
from bqx_assets.base.store.staged import merged_name
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slab_objects import FOOTER_BYTES_KEY, SlabObjects, slabs_prefix
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.plan import plan_slabs
from bqx_assets_tests.forgery import exchange, writer_name
from bqx_assets_tests.frames import EURUSD, frame_job, frame_warehouse
from bqx_assets_tests.merge.slabs import SETTINGS, Told, slab_folder
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

PREFIX = slabs_prefix(EURUSD)
NAME = merged_name(EURUSD)


def _extracted(store: GcsObjectStore, *, row_group_rows: int = 0) -> None:
    slabs = SlabObjects(store, EURUSD)
    extract_pair(frame_job(Path("/nowhere"), frame_warehouse(), kept_in=slabs, row_group_rows=row_group_rows))


def _compose(store: GcsObjectStore) -> Manifest:
    return merge(plan_slabs(EURUSD, store, slabs_prefix(EURUSD)), store, merged_name(EURUSD), progress=Silent())


@pytest.mark.parametrize("row_group_rows", [0, 64])
def test_compose_equals_the_splice(gcs_store: GcsObjectStore, tmp_path: Path, row_group_rows: int) -> None:
    _extracted(gcs_store, row_group_rows=row_group_rows)
    extract_pair(frame_job(tmp_path / "slabs", frame_warehouse(), row_group_rows=row_group_rows))
    spliced = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "slabs"), SETTINGS),
        *working_file(tmp_path / "out.parquet"),
        progress=Silent(),
    )
    composed = _compose(gcs_store)
    assert_frame_equal(pl.read_parquet(io.BytesIO(gcs_store.read(NAME))), pl.read_parquet(tmp_path / "out.parquet"))
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


def _not_synced(path: Path) -> None:
    assert path


def test_669_slabs_take_at_most_25_compose_calls_and_leave_nothing_behind(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sync_file", _not_synced)  # 2,676 of them take 5 s, and nobody pulls the plug here
    rng = np.random.default_rng(5)
    tables = {f"mkt_{number}": pl.DataFrame({"x": rng.standard_normal(20)}) for number in range(668)}
    slab_folder(tmp_path, tables, 20)
    bucket = gcs.buckets[BUCKET]
    for path in tmp_path.iterdir():
        size = int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
        bucket.put(f"{PREFIX}{path.name}", path.read_bytes(), {}, metadata={FOOTER_BYTES_KEY: str(size)})
    before = set(bucket.live)
    gcs.log.clear()
    _compose(gcs_store)
    count = gcs.log.count()
    assert count["object.compose"] <= 25
    assert count["object.list"] == 2  # a thousand names a page: slabs and their records
    assert count["object.media"] == 669 + 1
    assert set(bucket.live) - before == {NAME, str(manifest_path(Path(NAME)))}
    whole = pl.read_parquet(io.BytesIO(bucket.live[NAME].data))
    assert whole.shape == (20, 670)
    assert whole.get_column("mkt_667__x").equals(tables["mkt_667"].get_column("x"), null_equal=True)


def test_a_footer_of_unstated_size_is_found(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    for each in gcs.buckets[BUCKET].live.values():
        each.metadata.pop(FOOTER_BYTES_KEY, None)
    assert _compose(gcs_store).file.rows == 200


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("gone", MergeRefused),
        ("superfluous", MergeRefused),
        ("other bytes", CheckpointMismatch),
        ("forged", CheckpointMismatch),
        ("no extraction", CheckpointCorrupt),
    ],
)
def test_slabs_that_are_not_the_record_are_refused_before_anything_is_written(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, damage: str, error: type[Exception]
) -> None:
    _extracted(gcs_store)
    slab = f"{PREFIX}mkt_vol.parquet"
    match damage:
        case "gone":
            gcs_store.delete(slab)
        case "superfluous":
            gcs_store.put_bytes(f"{PREFIX}other.parquet", b"PAR1")
        case "other bytes":
            gcs_store.put_bytes(slab, gcs_store.read(slab)[::-1])
        case "forged":
            path = tmp_path / "mkt_vol.parquet"
            path.write_bytes(gcs_store.read(slab))
            first, second, *_ = read_footer(path).columns
            exchange(path, first, second, writer_name(path))
            gcs_store.put_bytes(slab, path.read_bytes())
        case _:
            gcs_store.delete(f"{PREFIX}extraction.json")
    gcs.log.clear()
    with pytest.raises(error):
        _compose(gcs_store)
    assert gcs.log.count().keys() <= {"object.list", "object.media"}


def test_a_slab_copied_back_byte_by_byte_is_read_once_and_composed(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    slab = f"{PREFIX}mkt_vol.parquet"
    data = gcs_store.read(slab)
    gcs_store.put_bytes(slab, data)
    gcs.log.clear()
    assert _compose(gcs_store).file.rows == 200
    assert sum(size for name, _, size in gcs.log.ranges if name == slab) >= len(data)


def test_the_cure_for_a_forged_slab_object_works(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _extracted(gcs_store)
    path = tmp_path / "mkt_vol.parquet"
    path.write_bytes(gcs_store.read(f"{PREFIX}mkt_vol.parquet"))
    good = path.read_bytes()
    first, second, *_ = read_footer(path).columns
    exchange(path, first, second, writer_name(path))
    gcs_store.put_bytes(f"{PREFIX}mkt_vol.parquet", path.read_bytes())
    _extracted(gcs_store)
    assert gcs_store.read(f"{PREFIX}mkt_vol.parquet") == good
    assert _compose(gcs_store).file.rows == 200


def test_a_slab_replaced_while_it_is_composed_gives_no_file(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    plan = plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD))
    slab = f"{PREFIX}mkt_vol.parquet"
    gcs.fail("object.compose", "hook", hook=lambda: gcs.buckets[BUCKET].put(slab, b"other bytes", {}))
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


def test_progress_tells_each_table_and_the_file(gcs_store: GcsObjectStore) -> None:
    _extracted(gcs_store)
    told = Told()
    manifest = merge(plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD)), gcs_store, merged_name(EURUSD), progress=told)
    assert [item for item, _ in told.steps] == [*(slab.table for slab in manifest.extraction.slabs), NAME]
    assert told.total == len(told.steps)
