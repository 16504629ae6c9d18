"""Thrift's compact protocol: parses bytes into structs and renders them, with every length checked before it is used.

``parquet_fields`` defines the meaning of the fields. Fields that a layout does not name are skipped: an unknown field
of any size is neither kept nor written. The C implementation that this module replaced guessed how much memory a struct
needs, and an unknown field of 200 kB crashed the process.

**Source**: thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Struct = dict[int, Any]
"""A struct: values by field number."""

ANY, BOOL, I8, I16, I32, I64, BINARY, LIST, STRUCT = 0, 1, 3, 4, 5, 6, 8, 9, 12
"""Type codes of the wire format. ``ANY`` stands for a field of which only the presence is recorded, as True."""
_FALSE, _DOUBLE = 2, 7
_WIDTHS = {BOOL: 0, _FALSE: 0, I8: 1, _DOUBLE: 8}
"""Types of a fixed size, and their bytes."""
_LONG = 15
_DEEPEST = 32
_MOST = 1_000_000
"""Most elements of one list: each takes time and memory, and no writer has a reason for more."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Names the fields of a struct that are read and written, in ascending order of their numbers."""

    name: str
    fields: Mapping[int, tuple[int, Layout | int | None]]
    """Each field's type by its number; for a struct also its layout, for a list the layout or type of its elements."""
    required: frozenset[int] = frozenset()
    closed: bool = False
    """Whether an unknown field is an error: otherwise a union with an unknown member would look like an empty union."""
    stop: int | None = None
    """The field at which reading ends, where it and those behind it are not wanted; they are not even skipped."""
    made: Callable[[Struct], Any] | None = None
    """Converts a struct as soon as it is read, where keeping all of its fields would take too much memory."""


def parse(data: bytes, layout: Layout, start: int = 0) -> tuple[Struct, int]:
    """Return the struct that begins at ``start``, and the position behind it. **Cost**: 0.1 s a megabyte.

    Raises:
        ValueError: the bytes are not such a struct.
        IndexError: the struct does not end within ``data``.
    """
    return _struct(data, start, layout)


def render(struct: Struct, layout: Layout) -> bytes:
    """Return a struct's bytes. Only fields that the layout names are written, and only those that are not None."""
    out = bytearray()
    _write_struct(out, struct, layout)
    return bytes(out)


def _struct(data: bytes, at: int, layout: Any) -> tuple[Struct, int]:  # noqa: ANN401, C901, PLR0912 -- see below
    fields = layout.fields
    found: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head > _LONG:
            number += head >> 4
        else:
            number, at = _integer(data, at, 16)
        known = fields.get(number)
        if known is None:
            if layout.closed:
                raise ValueError(f"{layout.name}: unknown field {number}")
            if number == layout.stop:
                break
            at = _skip(data, at, kind, 0)
            continue
        code, inner = known
        if number in found or (code not in (kind, ANY) and (code, kind) != (BOOL, _FALSE)):
            raise ValueError(f"{layout.name}: field {number} of type {kind}, or twice")
        # The most frequent types come first and without a call: a footer of 17,038 columns has 600,000 fields.
        if code in (I32, I64):
            value: Any = data[at]
            if value < 0x80:
                value = value >> 1 ^ -(value & 1)
                at += 1
            else:
                value, at = _integer(data, at, 32 if code == I32 else 64)
        elif code == BINARY and (size := data[at]) < 0x80:
            at += 1 + size
            value = data[at - size : at]
        elif code == STRUCT:
            value, at = _struct(data, at, inner)
        else:
            value, at = _value(data, at, (kind if code in (ANY, BOOL) else code), known)
        found[number] = value
    if not layout.required <= found.keys():
        raise ValueError(f"{layout.name}: no field {min(layout.required - found.keys())}")
    return (found if layout.made is None else layout.made(found)), at + 1


def _value(data: bytes, at: int, kind: int, known: tuple[int, Any]) -> tuple[Any, int]:
    code, inner = known
    if code == ANY:
        return True, _skip(data, at, kind, 0)
    if kind == BINARY:
        size, at = _size(data, at)
        return data[at : at + size], at + size
    if kind == LIST:
        return _list(data, at, inner)
    if kind == I8:
        return data[at], at + 1
    if kind == I16:
        return _integer(data, at, 16)
    return kind == BOOL, at


def _list(data: bytes, at: int, inner: Layout | int) -> tuple[list[Any], int]:
    size, kind, at = _list_head(data, at)
    found: list[Any] = []
    if isinstance(inner, Layout):
        if kind != STRUCT and size:
            raise ValueError(f"list of type {kind} for structs {inner.name}")
        for _ in range(size):
            value, at = _struct(data, at, inner)
            found.append(value)
        return found, at
    if kind != inner and size:
        raise ValueError(f"list of type {kind}, not {inner}")
    for _ in range(size):
        value, at = (
            _integer(data, at, 32 if inner == I32 else 64)
            if inner in (I32, I64)
            else _value(data, at, inner, (inner, None))
        )
        found.append(value)
    return found, at


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    head = data[at]
    size, kind = head >> 4, head & 15
    if size < _LONG:
        return size, kind, at + 1
    size, at = _size(data, at + 1)
    if size > _MOST:
        raise ValueError(f"a list of {size:,}")
    return size, kind, at


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Return the position behind a value that is skipped. The caller reads on there: too far is an error."""
    if kind in _WIDTHS:
        return at + _WIDTHS[kind]
    if kind in (I16, I32, I64):
        return at + 1 if data[at] < 0x80 else varint(data, at)[1]
    if kind == BINARY:
        size, at = _size(data, at)
        return at + size
    if depth == _DEEPEST:
        raise ValueError("nested too deep")
    if kind == STRUCT:
        while head := data[at]:
            at += 1
            if head <= _LONG:
                at = _integer(data, at, 16)[1]
            at = _skip(data, at, head & 15, depth + 1)
        return at + 1
    return _skip_elements(data, at, kind, depth)


def _skip_elements(data: bytes, at: int, kind: int, depth: int) -> int:
    if kind != LIST:  # maps and sets: Polars cannot skip them either
        raise ValueError(f"a value of type {kind}")
    size, inner, at = _list_head(data, at)
    for _ in range(size):  # as an element of a list a boolean takes a byte
        at = at + 1 if inner in (BOOL, _FALSE) else _skip(data, at, inner, depth + 1)
    return at


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    value, at = varint(data, at)
    if value >> bits:
        raise ValueError(f"integer of more than {bits} bits")
    return value >> 1 ^ -(value & 1), at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned integer that begins at ``at``, and the position behind it.

    Raises:
        ValueError: it has more than 64 bits.
        IndexError: it does not end within ``data``.
    """
    value = shift = 0
    while (byte := data[at]) > 0x7F:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError("integer of more than 64 bits")
    return value | byte << shift, at + 1


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return a length, checked: each element takes at least one of the bytes that follow."""
    size, at = varint(data, at)
    if size > len(data) - at:
        raise ValueError(f"{size:,} elements or bytes, {len(data) - at:,} left")
    return size, at


def _write_struct(out: bytearray, struct: Struct, layout: Layout) -> None:
    last = 0
    for number, (code, inner) in layout.fields.items():
        value = struct.get(number)
        if value is None:
            continue
        kind = code if code != BOOL or value else _FALSE
        if number - last < 16:
            out.append(number - last << 4 | kind)
        else:
            out.append(kind)
            _write_varint(out, number << 1)
        last = number
        _write(out, value, code, inner)
    out.append(0)


def _write(out: bytearray, value: Any, code: int, inner: Layout | int | None) -> None:  # noqa: ANN401 -- by its code
    if code in (I16, I32, I64):
        _write_varint(out, value << 1 if value >= 0 else ~(value << 1))
    elif code == BINARY:
        _write_varint(out, len(value))
        out += value
    elif code == I8:
        out.append(value)
    elif isinstance(inner, Layout) and code == STRUCT:
        if isinstance(value, bytes):
            out += value
        else:
            _write_struct(out, value, inner)
    elif code == LIST:
        element = STRUCT if isinstance(inner, Layout) else inner or 0
        if len(value) < _LONG:
            out.append(len(value) << 4 | element)
        else:
            out.append(0xF0 | element)
            _write_varint(out, len(value))
        for each in value:
            _write(out, each, element, inner)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
