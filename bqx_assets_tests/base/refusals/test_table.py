from __future__ import annotations

import re

import pytest

from bqx_assets.base.refusals.table import Row, table
from bqx_assets_tests.base.refusals.wordings import WORDINGS

ROWS = table().refusal
UNSEEN = {"tls", "proxy", "day_quota", "offset", "image_login", "permission_unnamed", "missing", "endpoint", "unknown", "credentials_file_unreadable", "credentials_file_no_object"}  # fmt: skip
"""Rows without a wording of their own in the tables: they go by class or code, or nobody published their words."""


def test_every_row_is_shown_by_a_wording_or_named_as_not_seen() -> None:
    assert {row.reason for row in ROWS} - {reason for _, _, reason in WORDINGS} == UNSEEN


def test_only_the_last_row_is_any_answer() -> None:
    catching = [row.reason for row in ROWS for match in row.match if match == type(match)()]
    assert catching == ["unknown"]
    assert ROWS[-1].reason == "unknown"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
def test_a_row_is_one_sentence_with_a_source(row: Row) -> None:
    assert not row.sentence.endswith(".")
    assert row.source
    for match in row.match:
        re.compile(match.words)


def test_what_can_never_succeed_is_not_called_passing() -> None:
    for row in ROWS:
        if row.again in {"new_session", "new_snapshot", "new_job"}:
            assert not row.everywhere, row.reason
