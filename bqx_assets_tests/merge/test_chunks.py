"""Column chunks that cannot be are refused by column, before a byte of them is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bqx_assets.base.errors import FooterError
from bqx_assets.merge.footer import merge_footers, read_footer
from bqx_assets_tests.merge.footers import (
    I32,
    I64,
    LIST,
    STRUCT,
    TEXT,
    Fields,
    change_footer,
    chunk,
    groups,
    meta,
    statistics,
)
from bqx_assets_tests.merge.readers import arrow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two row groups of columns x and s, both with dictionaries."""
    file = tmp_path_factory.mktemp("chunks") / "a.parquet"
    arrow.write_table(pa.table({"x": [1.0, 2.0] * 50, "s": ["a", "b"] * 50}), file, row_group_size=50)
    return file


def _same_bytes(footer: Fields) -> None:
    meta(footer, 1).update({9: meta(footer, 0)[9], 11: meta(footer, 0)[11], 7: meta(footer, 0)[7]})


CHANGES: dict[str, Callable[[Fields], object]] = {
    "outside the file": lambda f: meta(f, 1).update({9: (I64, 10**9)}),
    "before the file": lambda f: meta(f, 1).update({9: (I64, -4), 11: (I64, -9)}),
    "over the footer": lambda f: meta(f, 1, 1).update({7: (I64, meta(f, 1, 1)[7][1] + 10)}),
    "of no bytes": lambda f: meta(f, 1).update({7: (I64, 0)}),
    "of fewer than no bytes": lambda f: meta(f, 1).update({7: (I64, -1)}),
    "of fewer than no raw bytes": lambda f: meta(f, 1).update({6: (I64, -1)}),
    "its dictionary behind its data": lambda f: meta(f, 1).update({11: (I64, meta(f, 1)[9][1] + 5)}),
    "within another column": _same_bytes,
    "within its own next row group": lambda f: meta(f, 1, 1).update({n: meta(f, 1)[n] for n in (7, 9, 11)}),
    "of more values": lambda f: meta(f, 1).update({5: (I64, 51)}),
    "of another column's name": lambda f: meta(f, 1).update({3: (LIST, (TEXT, [b"x"]))}),
    "of another type": lambda f: meta(f, 1).update({1: (I32, 2)}),
    "of a codec that nobody has": lambda f: meta(f, 1).update({4: (I32, 8)}),
    "LZO": lambda f: meta(f, 1).update({4: (I32, 3)}),
    "the older LZ4": lambda f: meta(f, 1).update({4: (I32, 5)}),
    "of an encoding that nobody has": lambda f: meta(f, 1).update({2: (LIST, (I32, [0, 77]))}),
    "encoding statistics of none": lambda f: meta(f, 1)[13][1][1][0].update({2: (I32, 77)}),
    "in another file": lambda f: chunk(f, 1).update({1: (TEXT, b"other.parquet")}),
    "encrypted": lambda f: chunk(f, 1).update({8: (STRUCT, {1: (STRUCT, {})})}),
    "encrypted metadata": lambda f: chunk(f, 1).update({9: (TEXT, b"secret")}),
    "more nulls than values": lambda f: statistics(f, 1).update({3: (I64, 51)}),
    "fewer nulls than none": lambda f: statistics(f, 1).update({3: (I64, -1)}),
    "a bound of another size": lambda f: statistics(f, 0).update({5: (TEXT, b"12345")}),
    "an older bound of another size": lambda f: statistics(f, 0).update({2: (TEXT, b"")}),
    "a Bloom filter outside the file": lambda f: meta(f, 1).update({14: (I64, 10**9), 15: (I32, 4)}),
    "a page index outside the file": lambda f: chunk(f, 1).update({6: (I64, 10**9), 7: (I32, 4)}),
    "no metadata": lambda f: chunk(f, 1).pop(3),
    "no codec": lambda f: meta(f, 1).pop(4),
    "an encrypted file": lambda f: f.update({8: (STRUCT, {1: (STRUCT, {})})}),
    "a signing key": lambda f: f.update({9: (TEXT, b"key")}),
    "fewer chunks than columns": lambda f: groups(f)[0][1][1][1].pop(),
    "a row group of fewer than no rows": lambda f: groups(f)[0].update({3: (I64, -50)}),
    "a row group of fewer than no bytes": lambda f: groups(f)[0].update({2: (I64, -1)}),
    "other rows than its row groups": lambda f: f.update({3: (I64, 99)}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_chunk_that_cannot_be_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    changed = change_footer(path, CHANGES[name], tmp_path / "a.parquet")
    with pytest.raises(FooterError, match=r"\bs: |\bs at |x: |row group|rows|ColumnChunk|Meta|bounds|enc|nulls"):
        read_footer(changed)


def test_an_offset_of_zero_is_no_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrow.write_table(pa.table({"x": [1.0, 2.0]}), path, use_dictionary=False)
    before = read_footer(path)
    change_footer(path, lambda footer: meta(footer, 0).update({11: (I64, 0)}))
    assert read_footer(path).groups == before.groups


def test_unknown_fields_of_any_size_neither_stay_nor_go_into_a_merged_footer(path: Path, tmp_path: Path) -> None:
    def change(footer: Fields) -> None:
        for fields in (footer, groups(footer)[0], chunk(footer, 0), meta(footer, 0), statistics(footer, 0)):
            fields.update({100: (TEXT, b"y" * 200_000), 32_767: (STRUCT, {1: (TEXT, b"z" * 1_000)})})
        for element in footer[2][1][1]:
            element[12] = (TEXT, b"y" * 200_000)

    raw = change_footer(path, change, tmp_path / "a.parquet")
    footer = read_footer(raw)
    end = merge_footers([footer], footer.row_groups, {})
    assert len(end) < 1_000
    whole = tmp_path / "whole.parquet"
    whole.write_bytes(raw.read_bytes() + end)
    assert arrow.read_table(whole).equals(arrow.read_table(path))


def test_a_row_group_without_rows_may_have_any_offsets(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = pa.table({"x": [1.0, 2.0], "s": ["a", "b"]})
    with arrow.ParquetWriter(path, whole.schema) as writer:
        for part in (whole[:0], whole, whole[:0]):
            writer.write_table(part)
    footer = read_footer(path)
    assert footer.row_groups == (0, 2, 0)
    assert [chunk.nulls for group in footer.groups for chunk in group.chunks] == [0] * 6
