"""A composed object is validated over the wire: no copy of it, few requests, and no verdict on a failed read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bqx_assets.base.artifacts import Manifest, pieces_in_order
from bqx_assets.base.errors import ObjectMissing, PreconditionFailed, StoreError
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.merge.engine import merge
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.quality import validate as validation
from bqx_assets.quality.report import Report
from bqx_assets.quality.rules import RULES
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD, frame_job
from bqx_assets_tests.quality.training import ROWS, coherent_warehouse, expectations, verdict_of
from bqx_assets_tests.servers.gcs.server import GcsServer

NAME = merged_name(EURUSD)
READ = "object.media"


def _composed(store: ObjectStore, *, period: str = "none") -> Manifest:
    slabs = Slabs(store, slabs_prefix(EURUSD))
    extract_pair(frame_job(slabs, coherent_warehouse(), period=period))
    return merge(plan_slabs(EURUSD, store, slabs_prefix(EURUSD)), store, merged_name(EURUSD), progress=Silent())


def _report(store: ObjectStore, manifest: Manifest | None, *, deep: bool = True) -> Report:
    return validate(StoredFile(store, NAME), EURUSD, expectations(), manifest=manifest, deep=deep, progress=Silent())


def _failed(report: Report) -> set[str]:
    return {verdict.rule for verdict in report.failures()}


@pytest.mark.parametrize("period", ["none", "month"])
def test_a_composed_object_passes_every_rule(gcs_store: GcsObjectStore, period: str) -> None:
    report = _report(gcs_store, _composed(gcs_store, period=period))
    assert [verdict.rule for verdict in report.verdicts if verdict.passed] == [rule.name for rule in RULES]
    assert (report.file, report.rows, report.not_checked) == (gcs_store.uri(NAME), ROWS, ())


def test_an_object_gets_the_verdicts_of_the_same_bytes_as_a_file(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    manifest = _composed(gcs_store)
    file = tmp_path / "training_eurusd.parquet"
    file.write_bytes(gcs_store.read(NAME))
    of_file = validate(StoredFile.at(file), EURUSD, expectations(), manifest=manifest, progress=Silent())
    other = "checksum"  # says where each checksum is from
    assert [v for v in of_file.verdicts if v.rule != other] == [
        v for v in _report(gcs_store, manifest).verdicts if v.rule != other
    ]


def test_a_folder_as_store_is_read_alike(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    assert _failed(_report(store, _composed(store))) == set()


def test_every_byte_is_read_once_in_a_request_a_group_and_kept_nowhere(
    gcs_store: GcsObjectStore, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _composed(gcs_store)
    monkeypatch.setattr(validation, "GROUP_BYTES", 8 * ROWS * 20)
    monkeypatch.setattr(tempfile, "mkstemp", None)
    gcs.log.clear()
    report = _report(gcs_store, manifest)
    assert report.passed
    groups = -(-report.columns // 20)
    count = gcs.log.count()
    assert set(count) == {"object.get", READ}
    assert count["object.get"] == 2  # before and after
    # Its footer, its first bytes, BQX ahead of its turn, the key, seven windows; texts make a few groups more.
    assert groups < count[READ] <= groups + 11 + 4
    size_bytes = manifest.file.size_bytes
    ahead_bytes = next(slab.size_bytes for slab in manifest.extraction.slabs if slab.table == "base_bqx_eurusd")
    assert size_bytes <= gcs.log.downloaded_bytes <= size_bytes + ahead_bytes + (64 << 10)


def test_periods_cost_at_most_a_request_each(
    gcs_store: GcsObjectStore, gcs: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _composed(gcs_store, period="month")
    monkeypatch.setattr(validation, "GROUP_BYTES", 8 * ROWS * 20)
    gcs.log.clear()
    report = _report(gcs_store, manifest)
    assert report.passed
    assert gcs.log.count()[READ] <= 3 * (report.columns // 20 + 11)


def test_a_shallow_pass_reads_the_footer_and_judges_the_stores_own_checksum(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    manifest = _composed(gcs_store)
    gcs.log.clear()
    report = _report(gcs_store, manifest, deep=False)
    assert report.passed
    assert "by the store" in verdict_of(report, "checksum").got
    assert gcs.log.count() == {"object.get": 2, READ: 2}
    assert gcs.log.downloaded_bytes <= 4 + (64 << 10)


@pytest.mark.parametrize("deep", [True, False])
def test_a_missing_object_is_a_failed_verdict(gcs_store: GcsObjectStore, *, deep: bool) -> None:
    manifest = _composed(gcs_store)
    gcs_store.delete(NAME)
    report = _report(gcs_store, manifest, deep=deep)
    assert _failed(report) == {"file_exists", "file_readable"}


def test_a_flipped_byte_names_its_table(gcs_store: GcsObjectStore) -> None:
    manifest = _composed(gcs_store)
    *before, damaged = manifest.extraction.slabs[:4]
    data = bytearray(gcs_store.read(NAME))
    data[sum(slab.size_bytes for slab in before) + 100] ^= 1
    gcs_store.put_bytes(NAME, bytes(data))
    report = _report(gcs_store, manifest)
    assert _failed(report) == {"file_readable", "checksum", "slabs_intact"}
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == [damaged.table]
    assert not verdict_of(_report(gcs_store, manifest, deep=False), "checksum").passed


def test_a_flipped_byte_names_its_table_and_period(gcs_store: GcsObjectStore) -> None:
    manifest = _composed(gcs_store, period="month")
    *before, damaged = list(pieces_in_order(manifest.extraction.slabs))[:10]
    data = bytearray(gcs_store.read(NAME))
    data[sum(piece.size_bytes for _, piece in before) + 100] ^= 1
    gcs_store.put_bytes(NAME, bytes(data))
    report = _report(gcs_store, manifest)
    assert _failed(report) == {"file_readable", "checksum", "slabs_intact"}
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == [f"{damaged[0].table} 2024-02"]
    lost = verdict_of(report, "file_readable").evidence["columns"]
    assert lost == [column.name for column in damaged[0].provenance.columns][:20]
    assert not verdict_of(_report(gcs_store, manifest, deep=False), "checksum").passed


def test_a_byte_flipped_on_the_way_is_found_though_the_store_knows_of_none(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    manifest = _composed(gcs_store)
    gcs.fail(READ, "corrupt", skip=6, name=NAME)  # a window of targets
    report = _report(gcs_store, manifest)
    assert {"checksum", "slabs_intact"} <= _failed(report)
    assert verdict_of(report, "slabs_intact").evidence["damaged"] == ["targets_eurusd"]
    assert "no_feature_looks_forward" in report.not_checked  # looked up in damaged targets


def _other(store: GcsObjectStore) -> None:
    store.put_bytes(NAME, store.read(NAME)[:-1] + b"x")


def _same_again(store: GcsObjectStore) -> None:
    store.put_bytes(NAME, store.read(NAME))


@pytest.mark.parametrize("replace", [_other, _same_again])
@pytest.mark.parametrize("deep", [True, False])
def test_an_object_replaced_meanwhile_gets_no_verdict(
    gcs_store: GcsObjectStore, gcs: GcsServer, replace: Callable[[GcsObjectStore], None], *, deep: bool
) -> None:
    manifest = _composed(gcs_store)
    gcs.fail(READ, "hook", skip=1, name=NAME, hook=lambda: replace(gcs_store))
    with pytest.raises(PreconditionFailed, match="validate again"):
        _report(gcs_store, manifest, deep=deep)


@pytest.mark.parametrize("at", [0, 1, 2, 5, 9])
def test_a_read_that_fails_for_good_is_the_stores_error_and_no_verdict(
    gcs_store: GcsObjectStore, gcs: GcsServer, at: int
) -> None:
    manifest = _composed(gcs_store)
    gcs.fail(READ, status=403, skip=at, name=NAME)
    with pytest.raises(StoreError, match="HTTP 403"):
        _report(gcs_store, manifest)


def test_a_read_that_fails_once_is_read_again(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    manifest = _composed(gcs_store)
    for kind in ("status", "reset", "truncate"):
        gcs.fail(READ, kind, skip=3, name=NAME)
    assert _report(gcs_store, manifest).passed


def test_an_object_deleted_meanwhile_gets_no_verdict(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    manifest = _composed(gcs_store)
    gcs.fail(READ, "hook", skip=4, name=NAME, hook=lambda: gcs_store.delete(NAME))
    with pytest.raises(ObjectMissing):
        _report(gcs_store, manifest)
