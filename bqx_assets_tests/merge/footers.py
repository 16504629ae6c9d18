"""Footers changed field by field, with nothing but the format in mind: what other writers, and damage, could have made.

Belongs here: Thrift as values with their types, unknown fields included, and a file's footer changed in place. Does
not: the product's own reader, which drops what it does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Typed = tuple[int, Any]
"""A type of the wire and a value: a struct is a dict of typed fields by number, a list a type and values.

The value of either may be bytes as well: they are written as they are.
"""
Fields = dict[int, Typed]

FLAG, I32, I64, TEXT, LIST, STRUCT = 1, 5, 6, 8, 9, 12


def fields_of(data: bytes, at: int = 0) -> tuple[Fields, int]:
    """Return a struct's fields, and where it ends."""
    found: Fields = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            coded, at = _varint(data, at)
            number = coded >> 1 ^ -(coded & 1)
        value, at = _value(data, at, head & 15)
        found[number] = (head & 15, value)
    return found, at + 1


def bytes_of(fields: Fields) -> bytes:
    """Return a struct's bytes."""
    out, last = bytearray(), 0
    for number, (kind, value) in sorted(fields.items()):
        of_wire = (1 if value else 2) if kind in (1, 2) else kind
        step = number - last
        out += bytes([step << 4 | of_wire]) if 0 < step < 16 else bytes([of_wire]) + _coded(number << 1)
        last = number
        if kind not in (1, 2):
            out += _bytes(kind, value)
    return bytes(out) + b"\0"


def change_footer(path: Path, change: Callable[[Fields], object], target: Path | None = None) -> Path:
    """Write the file, as ``target`` or again, with its footer's fields as ``change`` leaves them."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    fields, _ = fields_of(data, start)
    change(fields)
    end = bytes_of(fields)
    target = target or path
    target.write_bytes(data[:start] + end + struct.pack("<I", len(end)) + b"PAR1")
    return target


def elements(footer: Fields) -> list[Fields]:
    """The schema's elements, the root first."""
    found: list[Fields] = footer[2][1][1]
    return found


def groups(footer: Fields) -> list[Fields]:
    """The row groups."""
    found: list[Fields] = footer[4][1][1]
    return found


def chunk(footer: Fields, place: int, group: int = 0) -> Fields:
    """A column chunk's own fields."""
    found: Fields = groups(footer)[group][1][1][1][place]
    return found


def meta(footer: Fields, place: int, group: int = 0) -> Fields:
    """A column chunk's metadata."""
    found: Fields = chunk(footer, place, group)[3][1]
    return found


def statistics(footer: Fields, place: int, group: int = 0) -> Fields:
    """A column chunk's statistics, made where there are none."""
    found: Fields = meta(footer, place, group).setdefault(12, (STRUCT, {}))[1]
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind in (4, 5, 6):
        value, at = _varint(data, at)
        return value >> 1 ^ -(value & 1), at
    if kind in (3, 7):
        size = 1 if kind == 3 else 8
        return data[at : at + size], at + size
    if kind == TEXT:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == STRUCT:
        return fields_of(data, at)
    head, at = data[at], at + 1
    size, at = _varint(data, at) if head >> 4 == 15 else (head >> 4, at)
    values: list[Any] = []
    for _ in range(size):
        value, at = _value(data, at, head & 15)
        values.append(value)
    return (head & 15, values), at


def _coded(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _bytes(kind: int, value: Any) -> bytes:
    if kind in (4, 5, 6):
        return _coded(value << 1 if value >= 0 else ~(value << 1))
    if kind in (3, 7) or (kind != TEXT and isinstance(value, bytes)):
        return bytes(value)
    if kind == TEXT:
        return _coded(len(value)) + value
    if kind == STRUCT:
        return bytes_of(value)
    inner, values = value
    if inner in (1, 2):
        body = bytes(1 if each else 2 for each in values)
    else:
        body = b"".join(_bytes(inner, each) for each in values)
    count = len(values)
    return (bytes([count << 4 | inner]) if count < 15 else bytes([0xF0 | inner]) + _coded(count)) + body
