"""Parquet files damaged at random, with the format in mind and without; and what must hold of each of them.

Belongs here: good files of several writers, one seeded change of one of them, and its verdict. Does not: running many
(``benchmarks.fuzz_footers``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from bqx_assets.base.errors import BqxError
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.local import working_folder
from bqx_assets.catalogue.expectations import load_expectations
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.quality.report import Report
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.quality.validate import validate
from bqx_assets_tests.frames import EURUSD, minutes
from bqx_assets_tests.merge.footers import (
    FLAG,
    I32,
    I64,
    LIST,
    STRUCT,
    TEXT,
    Fields,
    Typed,
    bytes_of,
    change_footer,
    chunk,
    fields_of,
    groups,
)
from bqx_assets_tests.merge.readers import arrow, by_duckdb, by_polars, by_pyarrow
from bqx_assets_tests.merge.slabs import SETTINGS

ROWS = 240
TABLE = "foo_eurusd"
_COLUMNS = 6
_JUDGED = ("file_readable", "statistics_equal_values")
"""A file of which both hold is one that every reader reads alike, with filters and without."""
_READERS = (by_polars, by_pyarrow, by_duckdb)


def write_bases(folder: Path) -> list[Path]:
    """Write the targets and one table by several writers; return the table's files."""
    rng = np.random.default_rng(3)
    names = load_expectations().targets()
    targets = pl.DataFrame([minutes(ROWS), *(pl.Series(name, rng.standard_normal(ROWS)) for name in names)])
    folder.mkdir(parents=True, exist_ok=True)
    targets.write_parquet(folder / "targets.parquet")
    frame = pl.DataFrame([
        minutes(ROWS), pl.Series("x", rng.standard_normal(ROWS)), pl.Series("i", range(ROWS)),
        pl.Series("s", [f"text {n % 40}é" for n in range(ROWS)]), pl.Series("b", [n % 3 == 0 for n in range(ROWS)]),
        pl.Series("n", [None if n % 5 else n / 7 for n in range(ROWS)]),
    ])  # fmt: skip
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    plain = {"compression": "none", "use_dictionary": False}
    made: dict[str, Callable[[Path], Any]] = {
        "polars": frame.write_parquet,
        "shuffled": shuffled.write_parquet,
        "snappy": lambda path: arrow.write_table(table, path, compression="snappy"),
        "checksums": lambda path: arrow.write_table(table, path, write_page_checksum=True, data_page_size=600),
        "version2": lambda path: arrow.write_table(table, path, data_page_version="2.0", compression="zstd"),
        "plain": lambda path: arrow.write_table(table, path, **plain),
        "index": lambda path: arrow.write_table(table, path, write_page_index=True, row_group_size=100, **plain),
        "duckdb": lambda path: _by_duckdb(table, path),
    }
    for name, write in made.items():
        write(folder / f"{name}.base")
    return [folder / f"{name}.base" for name in made]


def _by_duckdb(table: Any, path: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("given", table)
        connection.execute(f"COPY given TO '{path}' (FORMAT parquet)")


def mutate(base: Path, target: Path, seed: int) -> str:
    """Write ``base`` with one seeded change, or a few, as ``target``; return what kind of change it is."""
    rng = random.Random(seed)
    kinds = {"bytes of the footer": 3, "fields": 8, "bytes of pages": 3, "page header": 4, "end": 1}
    kind = rng.choices([*kinds], [*kinds.values()])[0]
    data = bytearray(base.read_bytes())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if kind == "fields":
        change_footer(base, lambda footer: _changed_fields(footer, rng), target)
        return kind
    if kind == "bytes of the footer":
        _flip(data, rng, start, len(data) - 8)
    elif kind == "bytes of pages":
        _flip(data, rng, 4, start)
    elif kind == "page header":
        footer, _ = fields_of(bytes(data), start)
        _changed_page(data, footer, rng)
    else:
        data = data[: rng.randrange(len(data))] if rng.random() < 0.5 else data
        data[-8:-4] = rng.choice((0, 1, start, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
    target.write_bytes(data)
    return kind


def judge(raw: Path, output: Path) -> str:
    """Merge the folder ``raw`` and validate its table; return "refused" or "accepted" and whether valid.

    Raises:
        AssertionError: an accepted file is not equal in all readers; or any other error than the product's own.
    """
    table = raw / f"{TABLE}.parquet"
    found = f"valid: {_valid_is_equal(table)}"
    try:
        merge(plan_merge(EURUSD, working_folder(raw), SETTINGS), *StoredFile.at(output), progress=Silent())
    except BqxError as error:
        if TABLE not in str(error):
            raise AssertionError(f"a refusal that does not name {TABLE}: {error}") from error
        return f"refused, {found}"
    _assert_equal(output)
    _assert_filters_equal(output)
    output.unlink()
    return f"merged, {found}"


def _valid_is_equal(path: Path) -> bool:
    report: Report = validate(StoredFile.at(path), EURUSD, load_expectations(), manifest=None, progress=Silent())
    passed = {verdict.rule for verdict in report.verdicts if verdict.passed}
    if not passed.issuperset(_JUDGED):
        return False
    _assert_equal(path)
    if not next(each for each in report.verdicts if each.rule == _JUDGED[1]).evidence["unchecked"]:
        _assert_filters_equal(path)
    return True


def _assert_equal(path: Path) -> None:
    columns = cast("list[str]", arrow.read_schema(path).names)
    first, *others = [reader(path, columns) for reader in _READERS]
    for other in others:
        assert_frame_equal(_plain(first), _plain(other))


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """In types that do not depend on the reader: moments as microseconds, whatever the zone is called."""
    moments = pl.selectors.datetime()
    return frame.with_columns(moments.dt.cast_time_unit("us").to_physical(), pl.selectors.categorical().cast(pl.String))


def _assert_filters_equal(path: Path) -> None:
    """Rows of one value, its column's smallest, largest and another: as many by each reader's filter as there are."""
    frame = pl.read_parquet(path)
    with duckdb.connect() as connection:
        for name in frame.columns:
            values = frame[name].drop_nulls()
            if not isinstance(values.dtype, pl.Float64 | pl.Int64 | pl.String) or name.startswith("target"):
                continue
            chosen = (values.min(), values.max(), values[len(values) // 2] if len(values) else None)
            for value in (each for each in chosen if each is not None):
                there = int((frame[name] == value).sum())
                by_polars_ = pl.scan_parquet(path).filter(pl.col(name) == value).collect().height
                by_arrow = arrow.read_table(path, columns=[name], filters=[(name, "==", value)]).num_rows
                query = f"SELECT count(*) FROM '{path}' WHERE \"{name}\" = ?"  # noqa: S608 -- our own names
                by_duckdb_ = connection.execute(query, [value]).fetchall()[0][0]
                assert {by_polars_, by_arrow, by_duckdb_} == {there}, f"{name} == {value!r}"


def _flip(data: bytearray, rng: random.Random, start: int, end: int) -> None:
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(start, end)] = rng.choice((rng.randrange(256), 0, 0x7F, 0x80, 0xFF))


def _changed_page(data: bytearray, footer: Fields, rng: random.Random) -> None:
    """Change one field of a chunk's first or second page header; the page keeps its place."""
    place = rng.randrange(_COLUMNS)
    meta = chunk(footer, place, rng.randrange(len(groups(footer))))[3][1]
    first = meta[11] if 11 in meta and rng.random() < 0.4 else meta[9]
    at = first[1]
    header, body = fields_of(bytes(data), at)
    size = header[3][1]
    old_length = body - at
    _change(_nodes(header), rng)
    if rng.random() < 0.3:
        _change(_nodes(header), rng)
    page = (bytes_of(header) + bytes(data[body : body + size])).ljust(old_length + size, b"\0")
    data[at : at + old_length + size] = page[: old_length + size]


def _changed_fields(footer: Fields, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(_nodes(footer), rng)


Node = tuple[Any, Any, Typed]
"""Where a value is: a struct and a number, or a list's values and a position; and the value with its type."""


def _nodes(fields: Fields) -> list[Node]:
    return list(_within((STRUCT, fields)))


def _within(typed: Typed) -> Iterator[Node]:
    kind, value = typed
    if kind == STRUCT and isinstance(value, dict):
        for number, inner in cast("Fields", value).items():
            yield value, number, inner
            yield from _within(inner)
    if kind == LIST and not isinstance(value, bytes):
        of, values = value
        for place, each in enumerate(values):
            yield values, place, (of, each)
            yield from _within((of, each))


def _change(nodes: list[Node], rng: random.Random) -> None:
    where, key, (kind, value) = rng.choice(nodes)
    in_struct = isinstance(where, dict)
    choice = rng.random()
    if choice < 0.12:
        del where[key]
    elif choice < 0.2 and in_struct:
        where[rng.choice((13, 15, 40, 32767))] = rng.choice(_unknown())
    elif choice < 0.25 and in_struct:
        where[key] = deepcopy(rng.choice(nodes)[2])  # a struct within itself would have no end
    else:
        new = _other_value(kind, value, rng)
        where[key] = (kind, new) if in_struct else new


def _other_value(kind: int, value: Any, rng: random.Random) -> Any:
    if kind in (1, 2):
        return not value
    if kind in (4, I32, I64):
        near = (0, 1, -1, value + 1, value - 1, 2 * value, -value, value ^ 1 << rng.randrange(40), rng.randrange(12))
        return rng.choice((*near, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**40))
    if kind == TEXT:
        longer = (value + b"\xff", b"z" * 90, bytes(rng.randbytes(max(1, len(value)))), b"y" * 200_000)
        return rng.choice((b"", value[:-1], value[::-1], *longer))
    if kind == LIST and not isinstance(value, bytes):
        of, values = value
        shuffled = rng.sample(values, len(values))
        return (of, rng.choice((values[:-1], values[1:], [*values, *values[:1]], [], shuffled, values * 3)))
    if kind == STRUCT and isinstance(value, dict):
        fields = cast("Fields", value)
        return {number: each for number, each in fields.items() if rng.random() < 0.7}
    return value


@cache
def _unknown() -> list[Typed]:
    """Fields that nobody knows: long, deep, of any type, and some that end nowhere."""
    return [
        (TEXT, b"y" * 200_000), (I64, 2**60), (FLAG, True), (7, b"8 bytes "), (3, b"\7"),
        (STRUCT, b"\x1c" * 5_000 + b"\0" * 5_001), (STRUCT, b"\x1c" * 20 + b"\0" * 21),
        (LIST, b"\xfc\xff\xff\xff\x7f"), (LIST, b"\xf1\x90\x4e" + b"\1" * 10_000), (LIST, b"\xf9" * 3_000),
        (11, b"\x01\x88\x03abc\x03def"), (11, b"\xff\xff\xff\xff\x0f\x88"), (TEXT, b""),
        (I64, -(2**63)), (STRUCT, b"\x16" + b"\xff" * 30 + b"\0"), (13, b""),
    ]  # fmt: skip
