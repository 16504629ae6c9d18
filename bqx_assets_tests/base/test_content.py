"""The content digest follows from values alone, and from every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.content import ColumnContent, Contents, Periods, digest_of, file_digest, periods_of

GOLDEN = "0435caa5abf3b329c069bb09a8fd0658e5134662d4de2d14def9db8abc3afc2e"
START = datetime(2026, 1, 31, 23, 50, tzinfo=UTC)
"""Ten minutes before a month ends."""


def _keys(rows: int, step: timedelta = timedelta(minutes=1)) -> pl.Series:
    keys = [START + number * step for number in range(rows)]
    return pl.Series("interval_time", keys, dtype=pl.Datetime("us", "UTC"))


def _digest(values: pl.Series, cuts: Sequence[int] = (), periods: Periods | None = None) -> str | None:
    content = ColumnContent(periods or periods_of(_keys(values.len())))
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), values.len()], strict=True):
        content.add_series(values.slice(start, stop - start))
    return content.digest()


VALUES: dict[type[pl.DataType], st.SearchStrategy[Any]] = {
    pl.Float64: st.floats(),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.String: st.text(max_size=20),
    pl.Boolean: st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn) -> pl.Series:
    """Return a strategy for columns of any type, with nulls."""
    dtype = draw(st.sampled_from(list(VALUES)))
    return pl.Series("x", draw(st.lists(st.none() | VALUES[dtype], min_size=1, max_size=40)), dtype=dtype)


@settings(deadline=None, max_examples=80)
@given(values=columns(), data=st.data())
def test_pieces_make_no_difference_and_every_value_does(values: pl.Series, data: st.DataObject) -> None:
    whole = _digest(values)
    cuts = data.draw(st.lists(st.integers(0, values.len()), max_size=4))
    assert _digest(values, cuts) == whole
    assert _digest(pl.concat([values.head(3), values.slice(3)], rechunk=False)) == whole
    place = data.draw(st.integers(0, values.len() - 1))
    other = data.draw(st.none() | VALUES[values.dtype.base_type()])
    listed = values.to_list()
    changed = pl.Series("x", [*listed[:place], other, *listed[place + 1 :]], dtype=values.dtype)
    assert (_digest(changed) == whole) == _same(listed[place], other)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return str(a) == str(b)  # nan is nan, -0.0 is not 0.0
    return bool(a == b) and (a is None) == (b is None)


def test_what_lies_under_a_null_and_which_nan_it_is_make_no_difference() -> None:
    bits = np.array([1, 0x7FF8000000000000, 3, 0xFFF8000000000001], dtype=np.uint64)
    other = np.array([1, 0x7FF0000000000001, 99, 0x7FF8000000000000], dtype=np.uint64)
    validity = pa.py_buffer(np.packbits([1, 1, 0, 1], bitorder="little").tobytes())
    digests: set[str | None] = set()
    for values in (bits, other):
        content = ColumnContent(periods_of(_keys(4)))
        content.add(pa.Array.from_buffers(pa.float64(), 4, [validity, pa.py_buffer(values.tobytes())]))
        digests.add(content.digest())
    assert len(digests) == 1


def test_texts_flags_and_numbers_that_were_cut_out_of_longer_ones_are_the_same() -> None:
    examples: list[list[Any]] = [["a", None, "", "bcd"], [True, None, False, True], [1, None, 0, 2], [0.5, None, -0.0]]
    for values in examples:
        array = pa.array([values[0]] * 5 + values + [None])
        cut = ColumnContent(periods_of(_keys(len(values))))
        cut.add(array.slice(5, len(values)))
        assert cut.digest() == _digest(pl.Series(values))


@pytest.mark.parametrize("text", ["", "EURUSD", "é", "an identifier of more than twelve bytes"])
@pytest.mark.parametrize("end", [[], ["another"], [None]])
def test_a_text_that_is_one_value_has_the_digest_of_its_rows_however_they_lie_in_memory(
    text: str, end: list[str | None]
) -> None:
    values = [text] * 12 + end
    plain = ColumnContent(periods_of(_keys(len(values))))
    plain.add(pa.array(values, pa.string()))
    assert _digest(pl.Series(values, dtype=pl.String)) == plain.digest()
    once = pl.Series([text, "another"])[[0] * 12 + [1] * len(end)]
    if end != [None]:
        assert _digest(once) == plain.digest()


def test_values_that_look_alike_are_told_apart() -> None:
    alike = [
        pl.Series(["", "a"]), pl.Series(["a", ""]), pl.Series([None, "a"], dtype=pl.String), pl.Series([0, 1]),
        pl.Series([0.0, 1.0]), pl.Series([-0.0, 1.0]), pl.Series([False, True]), pl.Series([None, True]),
        pl.Series([None, 1]), pl.Series([None, None], dtype=pl.Float64), pl.Series([None, None], dtype=pl.Int64),
        pl.Series([0, 1]).cast(pl.Datetime("us", "UTC")), pl.Series([0.0, 1.0, 1.0]),
    ]  # fmt: skip
    assert len({_digest(values) for values in alike}) == len(alike)


def test_a_month_that_is_the_same_keeps_its_part_whatever_the_others_hold() -> None:
    """A column's digest follows from those of its months, which pieces made apart rely on."""
    keys = _keys(100, timedelta(days=1))
    periods = periods_of(keys)
    assert periods == Periods(("2026-01", "2026-02", "2026-03", "2026-04", "2026-05"), (0, 1, 29, 60, 90, 100))
    values = pl.Series(np.arange(100.0))
    assert _digest(values, periods=periods) == _digest(values, [1, 29, 60, 90], periods)
    moved = Periods(periods.labels, (0, 2, 29, 60, 90, 100))
    assert _digest(values, periods=periods) != _digest(values, periods=moved)


@settings(deadline=None, max_examples=80)
@given(values=columns(), data=st.data())
def test_the_months_of_pieces_give_the_digest_of_the_whole(values: pl.Series, data: st.DataObject) -> None:
    keys = _keys(values.len(), timedelta(days=data.draw(st.integers(1, 40))))
    periods = periods_of(keys)
    cuts = sorted({0, *data.draw(st.lists(st.sampled_from(periods.starts), max_size=5)), values.len()})
    pieces: list[bytes] = []
    for start, stop in pairwise(cuts):
        contents = Contents(periods_of(keys.slice(start, stop - start)))
        contents.add(values.slice(start, stop - start).to_frame().to_arrow())
        pieces += contents.months(["x"])
    assert digest_of(pieces) == _digest(values, periods=periods)
    assert digest_of([b"".join(pieces)]) == digest_of(pieces)
    if len(pieces) > 1 and pieces[0] != pieces[1]:
        assert digest_of([pieces[1], pieces[0], *pieces[2:]]) != digest_of(pieces)


def test_a_digest_is_the_same_on_every_machine_and_in_every_version() -> None:
    """A digest that was recorded is compared for years: whoever changes it must raise its version."""
    frame = pl.DataFrame(
        {"f": [1.5, None, float("nan")], "i": [1, None, 3], "s": ["é", None, ""], "b": [True, None, False]}
    )
    contents = Contents(periods_of(_keys(3)))
    contents.add(frame.with_columns(_keys(3)).to_arrow(compat_level=pl.CompatLevel.oldest()))
    names = [*frame.columns, "interval_time"]
    digests = contents.digests(names)
    assert file_digest(zip(names, digests, strict=True)) == GOLDEN
    backwards = zip(reversed(names), reversed(digests), strict=True)
    assert file_digest(backwards) == GOLDEN
    exchanged = zip(names, [digests[1], digests[0], *digests[2:]], strict=True)
    assert file_digest(exchanged) != GOLDEN


def test_missing_rows_and_foreign_types_give_no_digest() -> None:
    assert _digest(pl.Series([1.0]), periods=periods_of(_keys(2))) is None
    contents = Contents(periods_of(_keys(2)))
    contents.add(pa.table({"x": [1.0]}))
    for told in (contents.digests, contents.months):
        with pytest.raises(ValueError, match="not all rows"):
            told(["x"])
    with pytest.raises(TypeError, match="int32"):
        contents.add(pa.table({"y": pa.array([1], pa.int32())}))
