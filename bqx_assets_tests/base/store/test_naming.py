"""A place that a user writes has the kind that it is meant for, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.naming import local_path, output_place, server_address, storage_endpoint
from bqx_assets.base.store.open_store import open_store

ADDRESSES = [
    "gcs://bucket",
    "s3://bucket/prefix",
    "S3A://bucket",
    "https://storage.googleapis.com/bucket",
    "http://127.0.0.1:4443/bucket",
    "file:///data",
    "gs:/bucket",
    "gs:bucket",
    "./gs:/bucket",
    "abfss://container@account.dfs.core.windows.net",
    "C:/data",
    "127.0.0.1:4443",
    "localhost:4443/bucket",
    "[::1]:4443",
]
NO_PATHS = [
    *ADDRESSES,
    "",
    " ",
    "\t",
    " data",
    "data ",
    "data\n",
    "a\nb",
    "a\x1b[31mb",
    "a\x7fb",
    "a\x00b",
    "~",
    "~/data",
    "~somebody/data",
    "a\udcffb",
]
BAD_SERVERS = [
    "127.0.0.1:9000",
    "localhost",
    "",
    " http://h:1",
    "http://h:1/",
    "http://h:99999",
    "gs://h:1",
    "http://",
    "http://h:",
    "HTTP://h:1",
    "http://h:1/storage",
    "http://user:secret@h:1",
    "http://h:1?x=1",
    "http://h h",
]


@pytest.mark.parametrize("text", NO_PATHS)
@pytest.mark.parametrize("name", ["home", "warehouse", "expectations", "staging", "output"])
def test_a_setting_that_is_no_path_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text and "\x00" not in text:  # the operating system takes no such variable, and an empty one is not set
        monkeypatch.setenv(f"BQX_{name.upper()}", text)
        with pytest.raises(BadSetting, match=f"^BQX_{name.upper()}: ") as caught:
            Settings()
        assert repr(text)[1:-1].split("://")[0] in caught.value.got
    with pytest.raises(BadSetting):
        Settings.model_validate({name: text})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["GS://bucket", "Gs://bucket", " gs://bucket", "gs://bucket ", "gs:///x", "gs://Bucket"]
)
def test_an_output_that_is_nearly_a_bucket_is_refused_with_the_accepted_form(text: str) -> None:
    with pytest.raises(BadSetting) as caught:
        output_place(text, "BQX_OUTPUT")
    assert "gs://bucket" in caught.value.expected
    assert repr(text) in caught.value.got


@pytest.mark.parametrize("text", ["gs://bucket", "gs://bucket/", "gs://a.b_c-d/pre[1]*/x?y", "data", "/a/b:c", "é/[x]"])
def test_buckets_and_folders_are_taken_as_they_are(text: str) -> None:
    assert output_place(text, "BQX_OUTPUT") == text
    assert Settings(output=text).output == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1))
def test_any_folder_can_be_named_by_its_absolute_path(name: str) -> None:
    text = f"/data/{name.strip() or 'x'}"
    assert local_path(text, "--home") == Path(text)


def test_the_cure_works_when_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gcs:/bucket").mkdir(parents=True)
    with pytest.raises(BadSetting, match="really has that name, give its absolute path"):
        Settings(output="gcs:/bucket")
    named = Settings(output=str(Path("gcs:/bucket").absolute()))
    assert open_store(named).uri("x") == f"{tmp_path}/gcs:/bucket/x"
    assert Settings.model_validate(named.model_dump(mode="json", exclude_none=True)) == named


@pytest.mark.parametrize("text", BAD_SERVERS)
def test_a_storage_server_that_the_clients_cannot_use_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", text)
    with pytest.raises(BadSetting, match=r"^STORAGE_EMULATOR_HOST: .* expected http://host:port") as caught:
        open_store(Settings(output="gs://bucket"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["http://127.0.0.1:9000", "https://h", "http://fake_gcs:4443", "http://[::1]:4443"])
def test_a_storage_server_in_the_accepted_form_is_taken(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", text)
    assert storage_endpoint() == text


@pytest.mark.parametrize("text", ["https://h:1", "grpc://h:1", " ", "h:1/", "h:1:2", "h:port", "gs://h", "h,i"])
def test_a_read_endpoint_in_another_form_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BQX_BIGQUERY_STORAGE_ENDPOINT", text)
    with pytest.raises(BadSetting, match=r"^BQX_BIGQUERY_STORAGE_ENDPOINT: "):
        Settings()


@pytest.mark.parametrize("text", ["bigquerystorage.googleapis.com", "h:443", "http://127.0.0.1:9060"])
def test_a_read_endpoint_in_the_accepted_form_is_taken(text: str) -> None:
    assert server_address(text, "x", schemes=("", "http://")) == text
    assert Settings(bigquery_storage_endpoint=text).bigquery_storage_endpoint == text
