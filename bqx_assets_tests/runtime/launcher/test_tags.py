from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import UsageError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.runtime import automation
from bqx_assets.runtime.launcher import tags
from bqx_assets.runtime.launcher.tags import pair_of

NAMES = {pair.name for pair in ALL_PAIRS}


def test_jobs_are_tagged_by_the_names_the_launcher_reads() -> None:
    assert tags.PAIR_TAG == automation.PAIR_TAG
    assert tags.MEMORY_TAG == automation.MEMORY_TAG


@pytest.mark.parametrize("key", [tags.PAIR_TAG, tags.PARTITION_TAG])
def test_either_tag_names_the_pair(key: str) -> None:
    assert pair_of({key: "nzdchf"}).name == "nzdchf"


@given(st.text() | st.sampled_from(["../eurusd", "eurusd;--", "EURUSD", "eurusd\n", "eurusd eurusd", ""]))
@settings(deadline=None)
def test_a_text_that_is_no_pair_never_becomes_one(text: str) -> None:
    if text in NAMES:
        assert pair_of({tags.PAIR_TAG: text}).name == text
    else:
        with pytest.raises(UsageError):
            pair_of({tags.PAIR_TAG: text})


@given(st.sampled_from(ALL_PAIRS), st.sampled_from(ALL_PAIRS))
def test_two_tags_must_agree(one: object, other: object) -> None:
    named = {tags.PAIR_TAG: str(one), tags.PARTITION_TAG: str(other)}
    if one == other:
        assert pair_of(named) == one
    else:
        with pytest.raises(UsageError, match="the pairs"):
            pair_of(named)
