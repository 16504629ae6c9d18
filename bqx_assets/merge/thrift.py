"""Thrift's compact protocol, by fastparquet's ``cencoding``: its untyped interface ends here.

Belongs here: bytes to structs of field numbers and back, with the bounds check that the C code lacks. Does not: what
a field means (``footer``).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bqx_assets.base.errors import FooterError

Struct = dict[int | str, Any]
"""Values by field number; text keys are cencoding's own notes on which integers have 32 bits."""

_DEEPEST = 24
_STOP, _TRUE, _FALSE, _I64_LIST, _BINARY, _LIST, _STRUCT = 0, 1, 2, 6, 8, 9, 12
_VARINTS = frozenset((4, 5, 6))
_LONG_LIST = 15
_GROWTH_BYTES = 96
"""A chunk's seven offsets grow by at most ten bytes each when shifted."""


def parse(data: bytes, subject: str) -> Struct:
    """Return the struct that ``data`` is, whole. Raises FooterError where it is not one.

    cencoding reads past the end of a damaged buffer, up to a crash of the process: every length is checked first.
    """
    try:
        end = _walk_struct(data, 0, 0)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise _damaged(subject, str(error) or "ends too early") from error
    if end != len(data):
        raise _damaged(subject, f"{len(data) - end:,} bytes behind its end")
    found: Struct = _cython().from_buffer(data)
    return found


def render(struct: Struct, *, source_bytes: int, chunks: int) -> bytes:
    """Return a struct as bytes. ``source_bytes`` are those of what it was made from, its new texts included.

    cencoding's own ``to_bytes`` allots 1,000 bytes a column chunk and writes past them without a check: statistics of
    long texts would do so. **Cost**: ``source_bytes`` twice.
    """
    buffer = _cython().NumpyIO(np.empty(source_bytes + _GROWTH_BYTES * chunks + 4096, dtype=np.uint8))
    _cython().write_thrift(struct, buffer)
    return bytes(buffer.so_far())


@cache
def _cython() -> Any:  # noqa: ANN401 -- untyped
    # At the first footer, not at import: fastparquet brings pandas, 0.4 s that loading the definitions would wait for.
    from fastparquet import cencoding  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs, reportAttributeAccessIssue, reportUnknownVariableType]

    return cencoding  # pyright: ignore[reportUnknownVariableType]


def _walk_struct(data: bytes, at: int, depth: int) -> int:
    if depth > _DEEPEST:
        msg = "nested too deep"
        raise ValueError(msg)
    field = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        step = head >> 4
        field += step
        if not step or field > 127:  # cencoding knows the short form of a field's number only
            msg = f"field header {head:#04x}"
            raise ValueError(msg)
        if kind in _VARINTS:
            at = _skip_varint(data, at)
        elif kind == _BINARY:
            at = _skip_binary(data, at)
        elif kind == _STRUCT:
            at = _walk_struct(data, at, depth + 1)
        elif kind == _LIST:
            at = _walk_list(data, at, depth + 1)
        elif kind == 3:  # one byte
            at += 1
        elif kind not in (_TRUE, _FALSE):
            msg = f"field {field} of type {kind}"
            raise ValueError(msg)
    return at + 1


def _walk_list(data: bytes, at: int, depth: int) -> int:
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 15
    if size == _LONG_LIST:
        size, at = _varint(data, at)
    if size > len(data) - at:
        msg = f"list of {size:,}"
        raise ValueError(msg)
    if kind in (5, _I64_LIST):
        for _ in range(size):
            at = _skip_varint(data, at)
    elif kind == _BINARY:
        for _ in range(size):
            end = _skip_binary(data, at)
            data[_varint(data, at)[1] : end].decode()
            at = end
    elif kind == _STRUCT or not size:
        for _ in range(size):
            at = _walk_struct(data, at, depth)
    else:
        msg = f"list of type {kind}"
        raise ValueError(msg)
    return at


def _skip_varint(data: bytes, at: int) -> int:
    first = at
    while data[at] & 0x80:
        at += 1
    if at - first > 9:
        msg = "integer of more than 64 bits"
        raise ValueError(msg)
    return at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    end = _skip_varint(data, at)
    value = 0
    for byte in reversed(data[at:end]):
        value = value << 7 | byte & 0x7F
    return value, end


def _skip_binary(data: bytes, at: int) -> int:
    size, at = _varint(data, at)
    if size > len(data) - at:
        msg = f"text of {size:,} bytes"
        raise ValueError(msg)
    return at + size


def _damaged(subject: str, got: str) -> FooterError:
    return FooterError(
        subject, got=f"damaged footer: {got}", expected="Thrift's compact protocol", cure="Make it again."
    )
