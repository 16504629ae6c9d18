"""Every error says subject, got, expected and cure, and survives a process boundary."""

from __future__ import annotations

import pickle

import pytest

from bqx_assets.base import errors
from bqx_assets.base.errors import BqxError, CheckpointMismatch, UsageError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BqxError)]


def test_an_error_reads_as_the_design_says() -> None:
    error = CheckpointMismatch(
        "eurusd/corr_bqx",
        got="99,998 rows",
        expected="100,000",
        cure="Re-extract with: bqx extract eurusd --table corr_bqx",
    )
    assert str(error) == (
        "eurusd/corr_bqx: 99,998 rows, expected 100,000. Re-extract with: bqx extract eurusd --table corr_bqx"
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_keeps_its_four_parts_when_pickled(kind: type[BqxError]) -> None:
    found = pickle.loads(pickle.dumps(kind("s", got="g", expected="e", cure="c")))  # noqa: S301 -- our own bytes
    assert (type(found), found.subject, found.got, found.expected, found.cure) == (kind, "s", "g", "e", "c")
    assert found.exit_code == (2 if issubclass(kind, UsageError) else 1)
    assert kind.__doc__
