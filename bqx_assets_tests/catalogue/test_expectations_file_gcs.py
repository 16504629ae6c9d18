"""Expectations in a bucket: by the object or its folder; what is none is refused by its whole name, unread if large."""

from __future__ import annotations

import pytest

from bqx_assets.base.errors import BadSetting, BqxError
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets_tests.servers.gcs.fixtures import BUCKET

_NAME = "settings/expectations.toml"


@pytest.mark.parametrize("place", [_NAME, "settings", "settings/"])
def test_an_object_or_the_folder_it_is_in(gcs_store: GcsObjectStore, place: str) -> None:
    gcs_store.put_bytes(_NAME, b"version = 9\nmin_rows = 5\n")
    found = load_expectations(f"gs://{BUCKET}/{place}")
    assert (found.version, found.min_rows, found.place) == (9, 5, gcs_store.uri(_NAME))
    assert found.min_columns == load_expectations().min_columns


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, "no such object"),
        (b"\x89PAR1\xff\xfe", "bytes that are no text"),
        (b"", "an empty file"),
        (b"<html>not found</html>", "Invalid"),
        (b'{"format_version": 1}', "Invalid"),
        (b"min_rows = 'many'", "min_rows"),
        (b"min_rowz = 5", "min_rowz"),
        (b"max_missing_fraction = 3", "max_missing_fraction"),
        (b"#" * ((16 << 20) + 1), "16,777,217 bytes"),
    ],
)
def test_what_is_no_expectations_file_is_refused_in_four_parts(
    gcs_store: GcsObjectStore, content: bytes | None, got: str
) -> None:
    if content is not None:
        gcs_store.put_bytes(_NAME, content)
    with pytest.raises(BadSetting) as refused:
        load_expectations(gcs_store.uri(_NAME))
    assert refused.value.subject == f"expectations {gcs_store.uri(_NAME)}"
    assert got in refused.value.got
    assert "BQX_EXPECTATIONS" in refused.value.cure


def test_a_bucket_that_is_not_there_is_an_error_of_the_package(gcs_store: GcsObjectStore) -> None:
    assert gcs_store.uri("x").startswith("gs://")
    with pytest.raises(BqxError, match="gs://no-such-bucket-here"):
        load_expectations("gs://no-such-bucket-here/expectations.toml")
