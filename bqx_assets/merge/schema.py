"""Reads the columns that a footer states: their names and types, and whether all readers agree on each type.

**Source**: parquet-format, ``LogicalTypes.md``. DuckDB reads the older annotation, Polars and pyarrow the newer one:
where the two contradict each other, readers see different contents in one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.parquet_fields import (
    BOOLEAN,
    BYTE_ARRAY,
    CHILDREN,
    CONVERTED,
    FIXED,
    INT32,
    INT64,
    LENGTH,
    LOGICAL,
    NAME,
    PHYSICAL,
    PHYSICAL_TYPES,
    REPETITION,
)
from bqx_assets.base.thrift import Struct

_UTF8, _ENUM, _DECIMAL, _DATE, _JSON, _BSON, _INTERVAL = 0, 4, 5, 6, 19, 20, 21
"""Converted types, which are the older annotations; those of times and integers stand in the tables below."""
_TIME, _TIMESTAMP, _INTEGER, _NANOSECONDS = 7, 8, 10, 3
"""Logical types, and the unit that has no converted type."""
_FIRST_UNITS = {_TIME: 7, _TIMESTAMP: 9}
"""Converted types of milliseconds by logical type; microseconds have the next number."""
_NUMBERS = frozenset((INT32, INT64, BYTE_ARRAY, FIXED))
_PLAIN_KINDS: dict[int, tuple[frozenset[int], frozenset[int]]] = {
    1: (frozenset((BYTE_ARRAY,)), frozenset((_UTF8,))),
    4: (frozenset((BYTE_ARRAY,)), frozenset((_ENUM,))),
    5: (_NUMBERS, frozenset((_DECIMAL,))),
    6: (frozenset((INT32,)), frozenset((_DATE,))),
    11: (frozenset(range(8)), frozenset()),
    12: (frozenset((BYTE_ARRAY,)), frozenset((_JSON,))),
    13: (frozenset((BYTE_ARRAY,)), frozenset((_BSON,))),
    14: (frozenset((FIXED,)), frozenset()),
    15: (frozenset((FIXED,)), frozenset()),
}
"""Logical types without unit or width: the physical types that each may have, and the converted types beside it."""
_LENGTHS = {14: 16, 15: 2}
_CONVERTED_KINDS: dict[int, frozenset[int]] = {
    **dict.fromkeys((_UTF8, _ENUM, _JSON, _BSON), frozenset((BYTE_ARRAY,))),
    _DECIMAL: _NUMBERS,
    **dict.fromkeys((_DATE, 7, 11, 12, 13, 15, 16, 17), frozenset((INT32,))),
    **dict.fromkeys((8, 9, 10, 14, 18), frozenset((INT64,))),
    _INTERVAL: frozenset((FIXED,)),
}
"""The physical types that each converted type of a flat column may have."""


class NestedColumns(ValueError):
    """Says that a file has nested columns, or no columns."""


class Leaf(NamedTuple):
    """A column of a flat file, which the format calls a leaf of the schema."""

    name: str
    kind: int
    """Physical type."""
    type: str | None
    """BigQuery's name of its type; None for a type that a training file cannot contain."""
    element: Struct
    """Its schema element without the name: of a known type in the form that all readers understand as that type."""
    ordered: bool = False
    """Whether the file states the order of its bounds, and its writer is known to keep that order."""

    @property
    def optional(self) -> bool:
        """Return whether it may contain nulls."""
        return self.element[REPETITION] == 1

    @property
    def named_type(self) -> str:
        """Return its name and type in words."""
        null = "" if self.optional else " without nulls"
        return f"{self.name} of type {self.type or PHYSICAL_TYPES[self.kind]}{null}"

    @property
    def canonical(self) -> Struct:
        """Return its schema element as it is written."""
        return self.element | {NAME: self.name.encode()}


def leaves_of(schema: Sequence[Struct], ordered: Sequence[bool] | None, *, numbers_only: bool) -> tuple[Leaf, ...]:
    """Return a flat file's columns.

    ``ordered``: whether the order of bounds is stated, for each column; None where the file states no order at all.
    ``numbers_only``: the file's writer is known for wrong bounds of texts.

    Raises:
        NestedColumns: the file is not flat.
        ValueError: readers disagree on the type of a column; the message names it.
    """
    if not schema or schema[0].get(CHILDREN) != len(schema) - 1 or len(schema) == 1:
        raise NestedColumns("nested columns or none")
    root = schema[0]
    if root.get(REPETITION, 0) not in (0, 1, 2) or PHYSICAL in root or not 0 <= root.get(CONVERTED, 0) <= _INTERVAL:
        raise ValueError("a root that is not a group of columns")
    if root[NAME].decode(errors="replace").encode() != root[NAME]:
        raise ValueError(f"a root named {root[NAME][:40]!r}")
    if ordered is not None and len(ordered) != len(schema) - 1:
        raise ValueError(f"{len(ordered):,} column orders for {len(schema) - 1:,} columns")
    stated = [False] * (len(schema) - 1) if ordered is None else ordered
    return tuple(_leaf(each, order, numbers_only) for each, order in zip(schema[1:], stated, strict=True))


def _leaf(element: Struct, ordered: bool, numbers_only: bool) -> Leaf:  # noqa: FBT001 -- one a column
    name = element[NAME].decode()
    kind = element.get(PHYSICAL)
    if element.get(CHILDREN) or element.get(REPETITION) not in (0, 1):
        raise NestedColumns(f"{name}: nested or repeated columns")
    if kind is None or not BOOLEAN <= kind <= FIXED or (kind == FIXED and element.get(LENGTH, 0) <= 0):
        raise ValueError(f"{name}: physical type {kind} of length {element.get(LENGTH)}")
    trouble = _contradiction(kind, element)
    if trouble:
        raise ValueError(f"{name}: {trouble}")
    type_name = _type(kind, element)
    if type_name is None:
        form = {field: value for field, value in element.items() if field != NAME}
    else:
        form = _element(type_name, element[REPETITION])
    return Leaf(name, kind, type_name, form, ordered and not (numbers_only and kind >= BYTE_ARRAY))


@cache
def _element(type_name: str, repetition: int) -> Struct:
    """Return the element of a known type. **Cost**: one for all columns; of each its own took 300 bytes a column."""
    physical, converted, logical = COLUMN_TYPES[type_name].parquet
    form: Struct = {PHYSICAL: PHYSICAL_TYPES.index(physical), REPETITION: repetition}
    return form if logical is None else form | {CONVERTED: converted, LOGICAL: dict(logical)}


def _type(kind: int, element: Struct) -> str | None:
    logical, converted = element.get(LOGICAL), element.get(CONVERTED)
    for known in COLUMN_TYPES.values():
        physical, older, newer = known.parquet
        # An older annotation alone suffices only for a text: it does not state for sure that a timestamp is UTC.
        alone = logical is None and converted == older and (newer is None or converted == _UTF8)
        if PHYSICAL_TYPES[kind] == physical and (alone or (logical is not None and logical == newer)):
            return known.name
    return None


def _contradiction(kind: int, element: Struct) -> str:
    """Return how the annotations contradict the physical type or each other; empty where they do not."""
    logical, converted = element.get(LOGICAL), element.get(CONVERTED)
    if converted is not None and kind not in _CONVERTED_KINDS.get(converted, ()):
        return f"converted type {converted} on physical type {kind}"
    if logical is None:
        return ""
    if len(logical) != 1:
        return f"{len(logical)} logical types at once"
    (number, value), *_ = logical.items()
    kinds, beside = _allowed(number, value)
    if kind not in kinds or _LENGTHS.get(number, element.get(LENGTH)) != element.get(LENGTH):
        return f"logical type {number} on physical type {kind}"
    if converted is not None and converted not in beside:
        return f"logical type {number} contradicts converted type {converted}"
    return ""


def _allowed(number: int, value: Struct) -> tuple[frozenset[int], frozenset[int]]:
    """Return the physical and the converted types that a logical type may have beside it."""
    if number in _FIRST_UNITS:
        unit = min(value[2], default=0)
        kind = INT32 if (number, unit) == (_TIME, 1) else INT64
        beside = (_FIRST_UNITS[number] + unit - 1,) if unit != _NANOSECONDS else ()
        return frozenset((kind,) if len(value[2]) == 1 else ()), frozenset(beside)
    if number == _INTEGER:
        first = 15 if value[2] else 11
        kinds = {8: INT32, 16: INT32, 32: INT32, 64: INT64}
        width = value[1]
        return frozenset((kinds[width],) if width in kinds else ()), frozenset((first + width.bit_length() - 4,))
    return _PLAIN_KINDS.get(number, (frozenset(), frozenset()))
