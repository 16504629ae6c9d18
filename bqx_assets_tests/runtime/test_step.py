"""Errors as Dagster shows them: four parts, cut to size, tried again only where that may help."""

from __future__ import annotations

import logging
import time

import dagster as dg
import pytest

from bqx_assets.base.errors import BqxError, DuplicateKeys, TransientReadError, UnknownPair
from bqx_assets.runtime.step import MOST_CHARACTERS, failure, failure_error, step
from bqx_assets.runtime.workspace import Workspace

LOG = logging.getLogger("test")
PARTS = {"got": "3 rows", "expected": "2", "cure": "Mend it."}


def test_an_error_becomes_a_failure_with_its_four_parts() -> None:
    with pytest.raises(dg.Failure, match="eurusd/agg: 3 rows, expected 2") as caught, step("eurusd", LOG, Workspace()):
        raise DuplicateKeys("eurusd/agg", **PARTS)
    facts = {name: value.value for name, value in caught.value.metadata.items()}
    assert facts == {"error": "DuplicateKeys", "subject": "eurusd/agg", **PARTS}


def test_a_failure_gives_its_error_back() -> None:
    error = failure_error(failure(DuplicateKeys("eurusd/agg", **PARTS)).metadata)
    assert isinstance(error, DuplicateKeys)
    assert str(error) == str(DuplicateKeys("eurusd/agg", **PARTS))


@pytest.mark.parametrize("name", ["", "NoSuchError", "annotations"])
def test_a_failure_of_somebody_else_gives_no_error(name: str) -> None:
    assert failure_error({"error": dg.MetadataValue.text(name)}) is None


def test_an_error_that_names_thousands_of_tables_stays_a_small_event() -> None:
    error = BqxError("eurusd", got="t" * 1_000_000, expected="none", cure="Mend them.")
    made = failure(error)
    assert made.description is not None
    assert len(made.description) == MOST_CHARACTERS
    assert sum(len(str(value.value)) for value in made.metadata.values()) < 2 * MOST_CHARACTERS


def test_what_may_pass_by_itself_is_tried_again_and_tells_its_error_when_it_does_not() -> None:
    with pytest.raises(dg.RetryRequested) as caught, step("eurusd", LOG, Workspace()):
        raise TransientReadError("eurusd/agg", **PARTS)
    cause = caught.value.__cause__
    assert isinstance(cause, dg.Failure)
    assert isinstance(failure_error(cause.metadata), TransientReadError)


def test_an_error_that_hides_a_passing_one_is_tried_again_too() -> None:
    def fail() -> None:
        with step("eurusd", LOG, Workspace()) as run:
            run.transient = True
            raise BqxError("eurusd", **PARTS)

    with pytest.raises(dg.RetryRequested):
        fail()


def test_a_fault_of_the_code_comes_through_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), step("eurusd", LOG, Workspace()):
        assert 1 / 0


def test_a_text_that_is_no_pair_is_a_failure_too() -> None:
    with pytest.raises(dg.Failure, match="eurusx") as caught, step("eurusx", LOG, Workspace()):
        pass
    assert isinstance(caught.value.__cause__, UnknownPair)


def test_a_step_knows_what_it_has_cost_so_far() -> None:
    with step("eurusd", LOG, Workspace()) as run:
        time.sleep(0.05)
        cost = {name: value.value for name, value in run.cost().items()}
    assert 0.05 <= float(str(cost["seconds"])) < 5
    assert int(str(cost["peak_memory_bytes"])) > 10_000_000
