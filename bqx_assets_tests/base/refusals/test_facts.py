"""Bad files of credentials, which google-auth itself reads here, are recognized as such."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import google.auth
import pytest

from bqx_assets.base.refusals.facts import is_of_credentials
from bqx_assets.base.refusals.read import CREDENTIALS_VARIABLE, Refusal, read_refusal

KEY = {"type": "service_account", "client_email": "a@b.iam.gserviceaccount.com", "token_uri": "https://x/token"}
FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("credentials_file_missing", lambda path: path),
    "empty": ("credentials_file_no_json", lambda path: path.write_text("")),
    "text": ("credentials_file_no_json", lambda path: path.write_text("ya29.hidden")),
    "binary": ("credentials_file_no_json", lambda path: path.write_bytes(b"\xff\xfe\x00PK")),
    "list": ("credentials_file_no_object", lambda path: path.write_text("[]")),
    "null": ("credentials_file_no_object", lambda path: path.write_text("null")),
    "number": ("credentials_file_no_object", lambda path: path.write_text("7")),
    "no type": ("credentials_file_type", lambda path: path.write_text("{}")),
    "other type": ("credentials_file_type", lambda path: path.write_text('{"type": "aws"}')),
    "key without fields": ("credentials_file_malformed", lambda path: path.write_text('{"type": "service_account"}')),
    "key damaged": ("credentials_file_malformed", lambda path: path.write_text(json.dumps(KEY | {"private_key": "x"}))),
    "key no text": ("credentials_file_malformed", lambda path: path.write_text(json.dumps(KEY | {"private_key": 7}))),
    "login incomplete": ("credentials_file_malformed", lambda path: path.write_text('{"type": "authorized_user"}')),
    "external incomplete": ("credentials_file_malformed", lambda path: path.write_text('{"type": "external_account"}')),
    "impersonation incomplete": (
        "credentials_file_no_object",
        lambda path: path.write_text('{"type": "impersonated_service_account"}'),
    ),
    "folder": ("credentials_file_unreadable", lambda path: path.mkdir()),
    "not allowed": ("credentials_file_unreadable", lambda path: (path.write_text("{}"), path.chmod(0))),
}


def refused() -> Refusal:
    found: Refusal | None = None
    try:
        google.auth.default()
    except Exception as error:  # noqa: BLE001 -- google-auth lets AttributeError, OSError and others through
        found = read_refusal(error, "bigquery") if is_of_credentials(error) else None
    assert found is not None
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_of_credentials_is_named_with_the_variable_to_correct_or_unset(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "not allowed" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    reason, make = FILES[name]
    path = tmp_path / "key file.json"
    make(path)
    monkeypatch.setenv(CREDENTIALS_VARIABLE, str(path))
    refusal = refused()
    assert refusal.reason == reason
    assert str(path) in refusal.sentence
    assert f"{CREDENTIALS_VARIABLE} names {path}: correct it, or unset it" in refusal.cure
    assert refusal.everywhere
    assert "hidden" not in str(refusal)


def test_a_broken_login_without_the_variable_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CREDENTIALS_VARIABLE, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    (tmp_path / "application_default_credentials.json").write_text("{}")
    refusal = refused()
    assert refusal.reason == "credentials_file_type"
    assert "(it is None)" in refusal.sentence
    assert refusal.cure == "Make it again: gcloud auth application-default login"


def test_a_fault_of_the_program_is_no_matter_of_credentials() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = [].get  # pyright: ignore[reportAttributeAccessIssue]
    assert not is_of_credentials(caught.value)
    assert not is_of_credentials(PermissionError(13, "Permission denied", "slab.parquet"))
