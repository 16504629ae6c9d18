"""Thrift's compact protocol: what was written is read again; nothing damaged, deep or endless is followed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bqx_assets.base.parquet_fields import file_metadata
from bqx_assets.base.thrift import BINARY, BOOL, I8, I16, I32, I64, LIST, STRUCT, Layout, parse, render
from bqx_assets_tests.merge.footers import bytes_of

INNER = Layout("Inner", {1: (I32, None), 20: (BINARY, None)})
OUTER = Layout(
    "Outer",
    {
        1: (BOOL, None), 2: (I8, None), 3: (I16, None), 4: (I32, None), 5: (I64, None), 6: (BINARY, None),
        7: (STRUCT, INNER), 40: (LIST, INNER), 41: (LIST, I64), 300: (LIST, BINARY),
    },
)  # fmt: skip
INNERS = st.fixed_dictionaries({}, optional={1: st.integers(-(2**31), 2**31 - 1), 20: st.binary(max_size=300)})
OUTERS = st.fixed_dictionaries(
    {},
    optional={
        1: st.booleans(), 2: st.integers(0, 255), 3: st.integers(-(2**15), 2**15 - 1),
        4: st.integers(-(2**31), 2**31 - 1), 5: st.integers(-(2**63), 2**63 - 1), 6: st.binary(max_size=300), 7: INNERS,
        40: st.lists(INNERS, max_size=20), 41: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
        300: st.lists(st.binary(max_size=5), max_size=20),
    },
)  # fmt: skip
TEXT_OF_A_FOOTER = render(
    {1: 1, 2: [{4: b"schema", 5: 0}], 3: 0, 4: []}, file_metadata()
)  # what hypothesis damages below
SECONDS = 5


@settings(deadline=None)
@given(OUTERS)
def test_what_was_written_is_read_again(struct: dict[int, object]) -> None:
    data = render(struct, OUTER)
    assert parse(data, OUTER) == (struct, len(data))


UNKNOWN = {
    "text of 200 kB": (8, b"y" * 200_000),
    "double": (7, b"8 bytes "),
    "flag": (1, True),
    "list of lists": (9, (9, [(5, [1, 2]), (5, [])])),
    "list of flags": (9, (1, [True, False])),
    "struct in struct": (12, {1: (12, {7: (6, -1)}), 99: (8, b"z")}),
}


@pytest.mark.parametrize("number", [9, 17, 32_767])
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_field_of_any_type_is_stepped_over_and_not_kept(name: str, number: int) -> None:
    data = bytes_of({4: (5, 7), number: UNKNOWN[name], 32_000: (6, 1)})
    assert parse(data, OUTER) == ({4: 7}, len(data))


ENDLESS = {
    "deep structs": b"\x9c" * 1_000_000,
    "deep lists": b"\x99" + b"\x19" * 1_000_000,
    "varint without end": b"\x45" + b"\xff" * 1_000_000,
    "unknown varint without end": b"\xa6" + b"\xff" * 1_000_000,
    "size of 2**60": b"\x68" + b"\xff" * 8 + b"\x0f",
    "list of 2**31 structs": b"\x09\x50\xfc\xff\xff\xff\xff\x07",
    "unknown list of 2**31": b"\xa9\xfc\xff\xff\xff\xff\x07" + bytes(1_000),
    "unknown list of ten million": b"\xa9\xfc\x80\xad\xe2\x04" + bytes(10_000_000),
    "map": b"\xab\x01\x88\x01a\x01b\x00",
    "set": b"\xaa\x18\x01a\x00",
    "ten million integers": b"\x09\x52\xf6\x80\xad\xe2\x04" + bytes(10_000_000),
    "integer beyond 64 bits": b"\x56" + b"\xff" * 9 + b"\x7f\x00",
    "integer beyond 32 bits": b"\x45\x80\x80\x80\x80\x80\x01\x00",
    "a type that is none": b"\xad\x00",
    "another type than its own": b"\x48\x01a\x00",
    "one field twice": b"\x45\x02\x05\x08\x02\x00",
    "no end": b"\x45\x02",
    "text beyond the end": b"\x68\x05abc",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_is_damaged_deep_or_endless_is_an_error_at_once(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises((ValueError, IndexError)):
        parse(ENDLESS[name], OUTER)
    assert time.perf_counter() - began < SECONDS


def test_a_required_field_that_is_absent_is_named() -> None:
    with pytest.raises(ValueError, match="FileMetaData: no field 2"):
        parse(b"\x15\x02\x00", file_metadata())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_give_a_struct_or_an_error(data: st.DataObject) -> None:
    changed = bytearray(TEXT_OF_A_FOOTER)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255)))):
        changed[place] = value
    try:
        parse(bytes(changed), file_metadata())
    except (ValueError, IndexError):
        return
