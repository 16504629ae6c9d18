"""Each request to Cloud Storage is counted in the class that it is billed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.gcs_facts import operation
from bqx_assets.base.store.protocol import ABSENT
from bqx_assets.base.usage import Usage, used
from bqx_assets_tests.servers.gcs.server import GcsServer

API = "https://storage.googleapis.com"


@pytest.mark.parametrize(
    ("method", "path", "usage"),
    [
        ("GET", "/storage/v1/b/bucket/o?prefix=o/", Usage(class_a=1)),
        ("GET", "/storage/v1/b?project=p", Usage(class_a=1)),
        ("GET", "/storage/v1/b/bucket", Usage(class_b=1)),
        ("GET", "/storage/v1/b/bucket/o/a%2Fo", Usage(class_b=1)),
        ("GET", "/download/storage/v1/b/bucket/o/a%2Fo?alt=media", Usage(class_b=1)),
        ("POST", "/upload/storage/v1/b/bucket/o?uploadType=multipart", Usage(class_a=1)),
        ("POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable", Usage(class_a=1)),
        ("PUT", "/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=x", Usage()),
        ("POST", "/storage/v1/b/bucket/o/name/compose", Usage(class_a=1)),
        ("PATCH", "/storage/v1/b/bucket", Usage(class_a=1)),
        ("DELETE", "/storage/v1/b/bucket/o/name", Usage()),
    ],
)
def test_the_class_of_each_request(method: str, path: str, usage: Usage) -> None:
    assert operation(method, API + path) == usage


@pytest.mark.cloud
def test_what_is_counted_is_what_the_server_received(gcs: GcsServer, gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(20 << 20))
    before = used()
    gcs.log.clear()
    for name in ("a", "b"):
        gcs_store.put_bytes(name, b"1234", only_if=ABSENT)
    gcs_store.put_file("large", large, only_if=ABSENT)
    gcs_store.compose("whole", ["a", "b"], only_if=ABSENT)
    gcs_store.read("whole")
    gcs_store.head("nothing")
    list(gcs_store.list_objects())
    gcs_store.delete("a")
    class_a, class_b = gcs.log.billed()
    assert used() - before == Usage(written_bytes=gcs.log.uploaded_bytes, class_a=class_a, class_b=class_b)
    assert gcs.log.uploaded_bytes == 8 + (20 << 20)
    assert (class_a, class_b) == (5, 1)  # what is not there is asked for at no charge
