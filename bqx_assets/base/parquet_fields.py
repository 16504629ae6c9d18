"""Lists the fields of Parquet's own structs: their numbers, their types, and which of them are required.

The layouts contain fields that nothing here uses as well: other readers refuse a file in which these are damaged.

**Source**: parquet-format 2.12, ``parquet.thrift``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bqx_assets.base.thrift import ANY, BINARY, BOOL, I8, I16, I32, I64, LIST, STRUCT, Layout, Struct

# FileMetaData
VERSION, SCHEMA, ROWS, GROUPS, KEY_VALUES, CREATOR, ORDERS, ENCRYPTION, SIGNING_KEY = range(1, 10)
# SchemaElement
PHYSICAL, LENGTH, REPETITION, NAME, CHILDREN, CONVERTED, SCALE, PRECISION, LOGICAL = 1, 2, 3, 4, 5, 6, 7, 8, 10
# RowGroup
CHUNKS, GROUP_BYTES, GROUP_ROWS, GROUP_OFFSET, GROUP_COMPRESSED = 1, 2, 3, 5, 6
# ColumnChunk
FILE_PATH, CHUNK_OFFSET, META, OFFSET_INDEX, OFFSET_INDEX_BYTES, COLUMN_INDEX, COLUMN_INDEX_BYTES = range(1, 8)
CRYPTO, ENCRYPTED_META = 8, 9
# ColumnMetaData
KIND, ENCODINGS, PATH, CODEC, VALUES, RAW_BYTES, SIZE_BYTES = range(1, 8)
DATA_PAGE, DICTIONARY_PAGE, STATISTICS, ENCODING_STATS, BLOOM_FILTER, BLOOM_FILTER_BYTES = 9, 11, 12, 13, 14, 15
SIZES = 16
# Statistics: those without a stated order, and those with one
OLD_HIGH, OLD_LOW, NULLS, DISTINCT, HIGH, LOW, HIGH_EXACT, LOW_EXACT = range(1, 9)
# PageHeader
PAGE_KIND, PAGE_RAW_BYTES, PAGE_BYTES, PAGE_CRC, PAGE_V1, PAGE_DICTIONARY, PAGE_V2 = 1, 2, 3, 4, 5, 7, 8

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
"""Physical types."""
PHYSICAL_TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
"""Their names, by number."""
PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, DELTA, DELTA_LENGTH, DELTA_BYTES, RLE_DICTIONARY, SPLIT = 0, *range(2, 10)
"""Encodings; number 1 is not in use."""
UNCOMPRESSED, SNAPPY, GZIP, LZO, BROTLI, OLD_LZ4, ZSTD, LZ4 = range(8)
"""Codecs."""

_NOTHING = Layout("empty struct", {})
_UNIT = Layout("TimeUnit", dict.fromkeys((1, 2, 3), (STRUCT, _NOTHING)), closed=True)
_MOMENT = Layout("TimeType", {1: (BOOL, None), 2: (STRUCT, _UNIT)}, frozenset((1, 2)))
_DECIMAL = Layout("DecimalType", {1: (I32, None), 2: (I32, None)}, frozenset((1, 2)))
_INTEGER = Layout("IntType", {1: (I8, None), 2: (BOOL, None)}, frozenset((1, 2)))
_LOGICAL = Layout(
    "LogicalType",
    dict.fromkeys(range(1, 19), (STRUCT, _NOTHING))
    | {5: (STRUCT, _DECIMAL), 7: (STRUCT, _MOMENT), 8: (STRUCT, _MOMENT), 10: (STRUCT, _INTEGER)},
    closed=True,
)
_ELEMENT = Layout(
    "SchemaElement",
    {
        **dict.fromkeys((PHYSICAL, LENGTH, REPETITION), (I32, None)),
        NAME: (BINARY, None),
        **dict.fromkeys((CHILDREN, CONVERTED, SCALE, PRECISION, 9), (I32, None)),
        LOGICAL: (STRUCT, _LOGICAL),
    },
    frozenset((NAME,)),
)
_STATISTICS = Layout(
    "Statistics",
    {
        **dict.fromkeys((OLD_HIGH, OLD_LOW), (BINARY, None)),
        **dict.fromkeys((NULLS, DISTINCT), (I64, None)),
        **dict.fromkeys((HIGH, LOW), (BINARY, None)),
        **dict.fromkeys((HIGH_EXACT, LOW_EXACT), (BOOL, None)),
    },
)
_KEY_VALUE = Layout("KeyValue", dict.fromkeys((1, 2), (BINARY, None)), frozenset((1,)))
_ENCODING_STATS = Layout("PageEncodingStats", dict.fromkeys((1, 2, 3), (I32, None)), frozenset((1, 2, 3)))
_SIZES = Layout("SizeStatistics", {1: (I64, None), 2: (LIST, I64), 3: (LIST, I64)})
_SORTING = Layout("SortingColumn", {1: (I32, None), 2: (BOOL, None), 3: (BOOL, None)}, frozenset((1, 2, 3)))
_META = Layout(
    "ColumnMetaData",
    {
        KIND: (I32, None),
        ENCODINGS: (LIST, I32),
        PATH: (LIST, BINARY),
        CODEC: (I32, None),
        **dict.fromkeys((VALUES, RAW_BYTES, SIZE_BYTES), (I64, None)),
        8: (LIST, _KEY_VALUE),
        **dict.fromkeys((DATA_PAGE, 10, DICTIONARY_PAGE), (I64, None)),
        STATISTICS: (STRUCT, _STATISTICS),
        ENCODING_STATS: (LIST, _ENCODING_STATS),
        BLOOM_FILTER: (I64, None),
        BLOOM_FILTER_BYTES: (I32, None),
        SIZES: (STRUCT, _SIZES),
    },
    frozenset((KIND, ENCODINGS, PATH, CODEC, VALUES, RAW_BYTES, SIZE_BYTES, DATA_PAGE)),
)
CHUNK = Layout(
    "ColumnChunk",
    {
        FILE_PATH: (ANY, None),
        CHUNK_OFFSET: (I64, None),
        META: (STRUCT, _META),
        **{n: ((I64, I32)[n % 2], None) for n in (OFFSET_INDEX, OFFSET_INDEX_BYTES, COLUMN_INDEX, COLUMN_INDEX_BYTES)},
        **dict.fromkeys((CRYPTO, ENCRYPTED_META), (ANY, None)),
    },
    frozenset((CHUNK_OFFSET, META)),
)


def _group(chunk: Layout) -> Layout:
    return Layout(
        "RowGroup",
        {
            CHUNKS: (LIST, chunk),
            **dict.fromkeys((GROUP_BYTES, GROUP_ROWS), (I64, None)),
            4: (LIST, _SORTING),
            **dict.fromkeys((GROUP_OFFSET, GROUP_COMPRESSED), (I64, None)),
            7: (I16, None),
        },
        frozenset((CHUNKS, GROUP_BYTES, GROUP_ROWS)),
    )


GROUP = _group(CHUNK)
_ORDER = Layout("ColumnOrder", {1: (STRUCT, _NOTHING)}, frozenset((1,)), closed=True)


def file_metadata(made: Callable[[Struct], Any] | None = None) -> Layout:
    """Return the layout of a whole footer; ``made`` converts each column chunk as soon as it is read."""
    return Layout(
        "FileMetaData",
        {
            VERSION: (I32, None),
            SCHEMA: (LIST, _ELEMENT),
            ROWS: (I64, None),
            GROUPS: (LIST, _group(replace(CHUNK, made=made))),
            KEY_VALUES: (LIST, _KEY_VALUE),
            CREATOR: (BINARY, None),
            ORDERS: (LIST, _ORDER),
            **dict.fromkeys((ENCRYPTION, SIGNING_KEY), (ANY, None)),
        },
        frozenset((VERSION, SCHEMA, ROWS, GROUPS)),
    )


FILE_SCHEMA = Layout(
    "FileMetaData",
    {VERSION: (I32, None), SCHEMA: (LIST, _ELEMENT), ROWS: (I64, None)},
    frozenset((VERSION, SCHEMA, ROWS)),
    stop=GROUPS,
)
"""The beginning of a footer, up to its row groups."""

_PAGE_V1 = Layout(
    "DataPageHeader",
    {**dict.fromkeys((1, 2, 3, 4), (I32, None)), 5: (STRUCT, _STATISTICS)},
    frozenset((1, 2, 3, 4)),
)
_PAGE_V2 = Layout(
    "DataPageHeaderV2",
    {**dict.fromkeys(range(1, 7), (I32, None)), 7: (BOOL, None), 8: (STRUCT, _STATISTICS)},
    frozenset(range(1, 7)),
)
_PAGE_DICTIONARY = Layout(
    "DictionaryPageHeader", {**dict.fromkeys((1, 2), (I32, None)), 3: (BOOL, None)}, frozenset((1, 2))
)
PAGE_HEADER = Layout(
    "PageHeader",
    {
        **dict.fromkeys((PAGE_KIND, PAGE_RAW_BYTES, PAGE_BYTES, PAGE_CRC), (I32, None)),
        PAGE_V1: (STRUCT, _PAGE_V1),
        PAGE_DICTIONARY: (STRUCT, _PAGE_DICTIONARY),
        PAGE_V2: (STRUCT, _PAGE_V2),
    },
    frozenset((PAGE_KIND, PAGE_RAW_BYTES, PAGE_BYTES)),
)
