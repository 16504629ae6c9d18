from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.errors import UsageError
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.runtime import automation
from bqx_assets.runtime.keys import FLEET_REPORT, PUBLISHED
from bqx_assets.runtime.launcher import tags
from bqx_assets.runtime.launcher.tags import pair_of, subject_of

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


@pytest.mark.parametrize(
    ("job", "selected", "named", "subject"),
    [
        ("pair_job", None, {tags.PAIR_TAG: "eurusd"}, "eurusd"),
        ("fleet_job", None, {}, "fleet"),
        ("__ASSET_JOB", {FLEET_REPORT}, {}, "fleet"),
        ("__ASSET_JOB", {FLEET_REPORT}, {tags.PAIR_TAG: "eurusd"}, "eurusd"),
        ("__ASSET_JOB", {FLEET_REPORT, PUBLISHED}, {}, None),
        ("pair_job", None, {}, None),
    ],
)
def test_only_the_report_of_all_pairs_is_of_no_pair(
    job: str, selected: set[dg.AssetKey] | None, named: dict[str, str], subject: str | None
) -> None:
    run = dg.DagsterRun(
        job_name=job, run_id=make_new_run_id(), tags=named, asset_selection=frozenset(selected) if selected else None
    )
    if subject is None:
        with pytest.raises(UsageError, match="no pair"):
            subject_of(run)
    else:
        assert subject_of(run) == subject
