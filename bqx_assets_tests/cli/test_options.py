"""What a person types where several commands take it is read the same way, and refused with what would be right."""

from __future__ import annotations

import pytest

from bqx_assets.base.errors import BadSetting, UnknownPair
from bqx_assets.cli.options import pair_or_file
from bqx_assets_tests.frames import EURUSD


def test_a_pair_or_a_training_file_is_named() -> None:
    assert pair_or_file("eurusd") == EURUSD
    for file in ("training_eurusd.parquet", "gs://bucket/folder/training_eurusd.parquet"):
        assert pair_or_file(file) == file


@pytest.mark.parametrize("text", ["out/", ".", "/data", "training_eurusd.manifest.json", "gs://bucket/folder"])
def test_a_folder_and_a_manifest_are_not_taken_for_a_pair(text: str) -> None:
    with pytest.raises(BadSetting, match=r"ends in \.parquet\. Name a pair, such as eurusd, or the file itself"):
        pair_or_file(text)


@pytest.mark.parametrize("text", ["usdeur", "EURUSD", "EUR/USD", "eurusdx"])
def test_a_word_is_taken_for_a_pair_and_the_nearest_is_told(text: str) -> None:
    with pytest.raises(UnknownPair, match="Did you mean eurusd"):
        pair_or_file(text)
