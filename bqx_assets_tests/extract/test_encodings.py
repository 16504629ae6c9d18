"""An encoding is recorded as a text that gives the same encoding again; each setting allows some for every type."""

from __future__ import annotations

import pytest

from bqx_assets.extract.encodings import POLICIES, SECONDS, Encoding


def test_the_text_of_a_record_gives_the_encoding_again() -> None:
    assert [Encoding.parse(str(each)) for each in SECONDS] == list(SECONDS)


@pytest.mark.parametrize("text", ["", "split", "split zstd", "split zstd 22", "arithmetic none", "plain none 1"])
def test_a_text_of_another_version_gives_none(text: str) -> None:
    assert Encoding.parse(text) is None


def test_compatible_has_only_what_readers_of_2015_know() -> None:
    assert {(each.kind, each.codec) for each in POLICIES["compatible"].encodings} == {
        ("plain", "snappy"),
        ("dictionary", "snappy"),
    }


def test_no_other_setting_uses_snappy() -> None:
    others = [POLICIES[name] for name in POLICIES if name != "compatible"]
    assert all(each.codec != "snappy" for policy in others for each in policy.encodings)
