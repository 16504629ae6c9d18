"""A frame has the grammar's names, order and types, and no NaN or infinite value."""

from __future__ import annotations

import numpy as np
import polars as pl

from bqx_assets.catalogue.families import ExpectedTable
from bqx_assets.sandbox.features.frames import frame, labels


def test_unknown_and_infinite_become_null_in_every_type() -> None:
    table = ExpectedTable(
        "t",
        "f",
        shared=True,
        kind="k",
        columns=(("a", "FLOAT64"), ("b", "INT64"), ("c", "STRING"), ("d", "STRING")),
        keys=(),
    )
    clock = np.array([0, 60_000_000, 120_000_000])
    gaps = np.array([1.0, np.nan, -np.inf])
    found = frame(table, clock, {"d": "x", "b": gaps, "a": gaps, "c": labels(gaps, (0.0,), ("down", "up"))})
    assert found.schema == {
        "interval_time": pl.Datetime("us", "UTC"), "a": pl.Float64, "b": pl.Int64, "c": pl.String, "d": pl.String,
    }  # fmt: skip
    assert found.select("a", "b", "c", "d").rows() == [
        (1.0, 1, "up", "x"),
        (None, None, None, "x"),
        (None, None, "down", "x"),
    ]


def test_a_label_starts_at_its_threshold() -> None:
    assert labels(np.array([-1.5, -1.0, 0.9, 1.0]), (-1.0, 1.0), ("a", "b", "c")).to_list() == ["a", "b", "b", "c"]
