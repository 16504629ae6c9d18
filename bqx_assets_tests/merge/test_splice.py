"""The splice: equal to the join, read equal by everybody; composed in a bucket, it gives the same file."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bqx_assets.base import files
from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    ExtractionRecord,
    Manifest,
    load_record,
    manifest_path,
    pieces_in_order,
)
from bqx_assets.base.checksums import crc32c, crc32c_of_file
from bqx_assets.base.errors import (
    CheckpointCorrupt,
    CheckpointMismatch,
    ChecksumMismatch,
    MergeRefused,
    PreconditionFailed,
    StoreError,
)
from bqx_assets.base.frame_files import parquet_end_bytes
from bqx_assets.base.names import KEY
from bqx_assets.base.progress import Silent
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import working_folder
from bqx_assets.base.store.protocol import STAGING
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import FOOTER_BYTES_KEY, Slabs, slabs_prefix
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.slab_parts import plan_slabs
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets_tests.forgery import exchange, writer_name
from bqx_assets_tests.frames import EURUSD, across_months, frame_job, frame_warehouse, minutes, slab_frame
from bqx_assets_tests.merge.readers import READERS, arrow
from bqx_assets_tests.merge.slabs import PERIODS, SETTINGS, Told, as_earlier_version, extracted, months_of, slab_folder
from bqx_assets_tests.servers.gcs.bucket import Bucket
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

NAN, INF = float("nan"), float("inf")
TYPES = {
    pl.Float64: st.floats(width=64),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.String: st.text(max_size=8) | st.just("x" * 1500),
    pl.Boolean: st.booleans(),
}


def _awkward(rows: int) -> dict[str, pl.DataFrame]:
    """Every type with its worst values."""

    def cycle(values: list[Any]) -> list[Any]:
        return (values * rows)[:rows]

    return {
        "agg_eurusd": pl.DataFrame(
            {
                "wild": pl.Series(cycle([1.5, NAN, INF, -INF, None, -0.0]), dtype=pl.Float64),
                "void": pl.Series([None] * rows, dtype=pl.Float64),
                "count": pl.Series(cycle([2**62, None, -3]), dtype=pl.Int64),
            }
        ),
        "tmp_eurusd": pl.DataFrame(
            {
                "word": pl.Series(cycle(["Ω", "", None, "long " * 300]), dtype=pl.String),
                "flag": pl.Series(cycle([True, None, False]), dtype=pl.Boolean),
                "no_word": pl.Series([None] * rows, dtype=pl.String),
                "moment": minutes(rows).reverse(),
            }
        ),
        "mkt_vol": pl.DataFrame({"rising": pl.Series(range(rows), dtype=pl.Int64)}),
    }


def _merged(folder: Path, output: Path, engine: str = "splice") -> Path:
    merge(
        plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), engine=engine, progress=Silent()
    )
    return output


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("period_rows", [0, 70])
def test_every_reader_reads_the_pieces_own_values(tmp_path: Path, reader: str, period_rows: int) -> None:
    tables = _awkward(200)
    slab_folder(tmp_path / "slabs", tables, 200, period_rows)
    output = _merged(tmp_path / "slabs", tmp_path / "out.parquet")
    expected = pl.concat(
        [slab_frame(tmp_path / "slabs", table) for table in ("targets_eurusd", *tables)], how="horizontal"
    )
    read = READERS[reader](output, expected.columns)
    assert dict(read.schema) == dict(expected.schema)
    assert_frame_equal(read, expected, check_exact=True)


@pytest.mark.parametrize("reader", READERS)
def test_a_projection_reads_only_the_columns_asked_for_in_the_order_asked(tmp_path: Path, reader: str) -> None:
    slab_folder(tmp_path / "slabs", _awkward(50), 50, 20)
    output = _merged(tmp_path / "slabs", tmp_path / "out.parquet")
    names = ["mkt_vol__rising", "tmp__word", KEY]
    assert_frame_equal(READERS[reader](output, names), pl.read_parquet(output).select(names))


@pytest.mark.parametrize("period_rows", [0, 50])
def test_filters_by_statistics_find_every_row(tmp_path: Path, period_rows: int) -> None:
    slab_folder(tmp_path / "slabs", _awkward(200), 200, period_rows)
    output = _merged(tmp_path / "slabs", tmp_path / "out.parquet")
    scan = pl.scan_parquet(output)
    assert scan.filter(pl.col("mkt_vol__rising") >= 150).select(pl.len()).collect().item() == 50
    assert (
        scan.filter(pl.col(KEY) == months_of(200, period_rows)[120]).select("mkt_vol__rising").collect().item() == 120
    )
    assert scan.filter(pl.col("tmp__word") == "Ω").select(pl.len()).collect().item() == 50
    query = f"SELECT count(*) FROM '{output}' WHERE mkt_vol__rising BETWEEN 60 AND 69"  # noqa: S608 -- our own file
    found = cast("Any", duckdb).sql(query).fetchall()
    assert found == [(10,)]


def test_statistics_of_the_pieces_are_kept(tmp_path: Path) -> None:
    slab_folder(tmp_path / "slabs", _awkward(200), 200, 50)
    output = _merged(tmp_path / "slabs", tmp_path / "out.parquet")
    metadata = arrow.read_metadata(output)
    place = [metadata.schema.column(n).name for n in range(metadata.num_columns)].index("mkt_vol__rising")
    kept = [metadata.row_group(n).column(place).statistics for n in range(4)]
    assert [(each.min, each.max, each.null_count) for each in kept] == [(n, n + 49, 0) for n in range(0, 200, 50)]


@st.composite
def _tables(draw: st.DrawFn) -> tuple[int, int, dict[str, pl.DataFrame]]:
    rows = draw(st.integers(1, 12))
    names = draw(st.permutations(["agg_eurusd", "tmp_eurusd", "mkt_vol"]))
    frames: dict[str, pl.DataFrame] = {}
    for name in names[: draw(st.integers(1, 3))]:
        kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
        frames[name] = pl.DataFrame(
            [
                pl.Series(f"c{n}", draw(st.lists(st.none() | TYPES[kind], min_size=rows, max_size=rows)), dtype=kind)
                for n, kind in enumerate(kinds)
            ]
        )
    return rows, draw(st.integers(0, rows)), frames


@settings(max_examples=60, deadline=None)
@given(_tables())
def test_splice_equals_join_for_any_tables_types_nulls_and_periods(
    made: tuple[int, int, dict[str, pl.DataFrame]],
) -> None:
    rows, period_rows, tables = made
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "sync_file", _not_synced)
        folder = Path(name)
        record = slab_folder(folder / "slabs", tables, rows, period_rows)
        spliced = pl.read_parquet(_merged(folder / "slabs", folder / "splice.parquet"))
        groups = read_footer(folder / "splice.parquet").row_groups
        joined = pl.read_parquet(_merged(folder / "slabs", folder / "join.parquet", "join"))
    assert len(record.spine.periods) == -(-rows // (period_rows or rows))
    assert groups == record.spine.row_groups
    assert spliced.height == rows
    assert_frame_equal(spliced, joined, check_exact=True)


@pytest.mark.parametrize("period_rows", [0, 70])
def test_bytes_lie_period_by_period_and_in_each_table_by_table_behind_them_the_footer(
    tmp_path: Path, period_rows: int
) -> None:
    record = slab_folder(tmp_path / "slabs", _awkward(200), 200, period_rows)
    data = _merged(tmp_path / "slabs", tmp_path / "out.parquet").read_bytes()
    names = [slab.pieces[n].object_name for n in range(len(record.spine.periods)) for slab in record.slabs]
    assert names[:2] == ["targets_eurusd/2024-01.parquet", "agg_eurusd/2024-01.parquet"]
    assert [piece.object_name for _, piece in pieces_in_order(record.slabs)] == names
    pieces = b"".join((tmp_path / "slabs" / name).read_bytes() for name in names)
    assert data[: len(pieces)] == pieces
    assert len(data) - len(pieces) == parquet_end_bytes(data[-8:])


def test_the_checksum_follows_without_reading_and_catches_any_flipped_byte(tmp_path: Path) -> None:
    folder = extracted(tmp_path / "slabs")
    output = tmp_path / "out.parquet"
    manifest = merge(plan_merge(EURUSD, working_folder(folder), SETTINGS), *StoredFile.at(output), progress=Silent())
    assert manifest.file.crc32c == crc32c_of_file(output)
    assert manifest.file.size_bytes == output.stat().st_size
    data = bytearray(output.read_bytes())
    for place in range(0, len(data), len(data) // 20):
        data[place] ^= 1
        output.write_bytes(data)
        assert crc32c_of_file(output) != manifest.file.crc32c
        data[place] ^= 1


@pytest.mark.parametrize("engine", ["splice", "join"])
@pytest.mark.parametrize("period", PERIODS)
def test_a_piece_whose_bytes_rotted_is_refused_by_name(tmp_path: Path, engine: str, period: str) -> None:
    folder = extracted(tmp_path / "slabs")
    _rot(folder / "agg_eurusd" / f"{period}.parquet")
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)
    with pytest.raises(CheckpointMismatch, match=rf"eurusd/agg_eurusd/{period}: other bytes .* --table agg_eurusd"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), engine=engine, progress=Silent())
    assert not (tmp_path / "out.parquet").exists()


def _rot(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("engine", ["splice", "join"])
def test_columns_exchanged_in_a_piece_under_its_own_crc32c_are_refused(tmp_path: Path, engine: str) -> None:
    folder = extracted(tmp_path / "slabs")
    path = folder / "agg_eurusd" / "2024-02.parquet"
    exchange(path, "agg__agg_mean_45", "agg__agg_mean_90", writer_name(path))
    plan = plan_merge(EURUSD, working_folder(folder), SETTINGS)  # footers, sizes and CRC32C say nothing
    slab = next(each for each in plan.extraction.slabs if each.table == "agg_eurusd")
    assert crc32c_of_file(path) == slab.pieces[1].crc32c
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd/2024-02: other bytes"):
        merge(plan, *StoredFile.at(tmp_path / "out.parquet"), engine=engine, progress=Silent())
    assert not (tmp_path / "out.parquet").exists()


def test_slabs_of_an_earlier_version_are_spliced_and_joined_to_the_same_values(tmp_path: Path) -> None:
    expected = pl.read_parquet(_merged(extracted(tmp_path / "slabs"), tmp_path / "now.parquet"))
    folder = as_earlier_version(tmp_path / "slabs")
    assert {path.name for path in folder.glob("*.parquet")} == {f"{table}.parquet" for table in _tables_in(folder)}
    for engine in ("splice", "join"):
        output = _merged(folder, tmp_path / f"{engine}.parquet", engine)
        assert_frame_equal(pl.read_parquet(output), expected, check_exact=True)
    manifest = Manifest.load(manifest_path(tmp_path / "splice.parquet"))
    assert manifest.file.content_digest == Manifest.load(manifest_path(tmp_path / "now.parquet")).file.content_digest
    assert manifest.file.crc32c == crc32c_of_file(tmp_path / "splice.parquet")
    assert read_footer(tmp_path / "splice.parquet").row_groups == (120, 80)


def _tables_in(folder: Path) -> list[str]:
    return [slab.table for slab in ExtractionRecord.load(folder / EXTRACTION_FILE).slabs]


def test_a_rotten_slab_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    folder = as_earlier_version(extracted(tmp_path / "slabs"))
    _rot(folder / "agg_eurusd.parquet")
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd: other bytes"):
        _merged(folder, tmp_path / "out.parquet")


@pytest.mark.parametrize("earlier", [False, True])
def test_slabs_recorded_before_sha256_was_kept_are_merged_by_their_crc32c(tmp_path: Path, *, earlier: bool) -> None:
    folder = extracted(tmp_path / "slabs")
    if earlier:
        as_earlier_version(folder)
    record = ExtractionRecord.load(folder / EXTRACTION_FILE)
    old = [
        slab.model_copy(update={"pieces": tuple(each.model_copy(update={"sha256": None}) for each in slab.pieces)})
        for slab in record.slabs
    ]
    record.model_copy(update={"slabs": tuple(old)}).save(folder / EXTRACTION_FILE)
    _merged(folder, tmp_path / "out.parquet")
    manifest = Manifest.load(manifest_path(tmp_path / "out.parquet"))
    pieces = [piece for slab in manifest.extraction.slabs for piece in slab.pieces]
    assert {piece.sha256 for piece in pieces} == {None}
    name = next(piece.object_name for piece in pieces if piece.object_name.startswith("agg_eurusd"))
    _rot(folder / name)
    with pytest.raises(CheckpointMismatch, match="eurusd/agg_eurusd"):
        _merged(folder, tmp_path / "out.parquet")


PREFIX = slabs_prefix(EURUSD)
NAME = merged_name(EURUSD)


def _extracted(store: GcsObjectStore, *, period: str = "month") -> None:
    slabs = Slabs(store, slabs_prefix(EURUSD))
    extract_pair(frame_job(slabs, across_months(frame_warehouse()), period=period))


def _compose(store: GcsObjectStore) -> Manifest:
    return merge(plan_slabs(EURUSD, store, slabs_prefix(EURUSD)), store, merged_name(EURUSD), progress=Silent())


@pytest.mark.parametrize("period", ["none", "month"])
def test_compose_equals_the_splice(gcs_store: GcsObjectStore, tmp_path: Path, period: str) -> None:
    _extracted(gcs_store, period=period)
    extracted(tmp_path / "slabs", period=period)
    spliced = merge(
        plan_merge(EURUSD, working_folder(tmp_path / "slabs"), SETTINGS),
        *StoredFile.at(tmp_path / "out.parquet"),
        progress=Silent(),
    )
    composed = _compose(gcs_store)
    data, written = gcs_store.read(NAME), (tmp_path / "out.parquet").read_bytes()
    assert_frame_equal(pl.read_parquet(io.BytesIO(data)), pl.read_parquet(tmp_path / "out.parquet"))
    piece_bytes = sum(slab.size_bytes for slab in composed.extraction.slabs)
    assert data[:piece_bytes] == written[:piece_bytes]
    assert composed.extraction.slabs == spliced.extraction.slabs
    assert composed.file.columns == spliced.file.columns


def test_the_manifest_is_of_these_very_bytes(gcs_store: GcsObjectStore) -> None:
    _extracted(gcs_store)
    manifest = _compose(gcs_store)
    data = gcs_store.read(NAME)
    assert (manifest.file.size_bytes, manifest.file.crc32c) == (len(data), crc32c(data))
    assert (manifest.engine, manifest.file.name) == ("compose", "training_eurusd.parquet")
    assert load_record(gcs_store, str(manifest_path(Path(NAME))), Manifest) == manifest


def test_no_byte_but_footers_is_read_or_sent(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    footers = {
        name: int(each.metadata[FOOTER_BYTES_KEY])
        for name, each in gcs.buckets[BUCKET].live.items()
        if name.endswith(".parquet")
    }
    gcs.log.clear()
    manifest = _compose(gcs_store)
    read = {name: size for name, _, size in gcs.log.ranges if name.endswith(".parquet")}
    assert read == footers
    sent = gcs_store.head(str(manifest_path(Path(NAME))))
    slab_bytes = sum(slab.size_bytes for slab in manifest.extraction.slabs)
    assert sent is not None
    assert gcs.log.uploaded_bytes == manifest.file.size_bytes - slab_bytes + sent.size_bytes


def _not_synced(path: Path) -> None:
    assert path


def test_669_slabs_take_at_most_25_compose_calls_and_leave_nothing_behind(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sync_file", _not_synced)  # thousands of them take 5 s, and nobody pulls the plug here
    rng = np.random.default_rng(5)
    tables = {f"mkt_{number}": pl.DataFrame({"x": rng.standard_normal(20)}) for number in range(668)}
    slab_folder(tmp_path, tables, 20)
    bucket = gcs.buckets[BUCKET]
    _copy(tmp_path, bucket)
    before = set(bucket.live)
    gcs.log.clear()
    _compose(gcs_store)
    count = gcs.log.count()
    assert count["object.compose"] <= 25
    assert count["object.list"] == 2  # a thousand names a page: pieces and the tables' records
    assert count["object.media"] == 669 + 1
    assert set(bucket.live) - before == {NAME, str(manifest_path(Path(NAME)))}
    whole = pl.read_parquet(io.BytesIO(bucket.live[NAME].data))
    assert whole.shape == (20, 670)
    assert whole.get_column("mkt_667__x").equals(tables["mkt_667"].get_column("x"), null_equal=True)


def _copy(folder: Path, bucket: Bucket) -> None:
    """Put a folder of slabs into a bucket as an extraction does, with the sizes of the footers."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            stated = {FOOTER_BYTES_KEY: str(parquet_end_bytes(data[-8:]))} if path.suffix == ".parquet" else {}
            bucket.put(f"{PREFIX}{path.relative_to(folder).as_posix()}", data, {}, metadata=stated)


@pytest.mark.parametrize(("tables", "periods"), [(1, 3), (5, 5), (5, 6), (6, 5), (8, 31), (4, 62)])
def test_tables_times_periods_pieces_take_the_fewest_compose_calls(
    gcs_store: GcsObjectStore,
    gcs: GcsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tables: int,
    periods: int,
) -> None:
    monkeypatch.setattr(files, "sync_file", _not_synced)
    rows = 2 * periods
    frames = {f"mkt_{number}": pl.DataFrame({"x": np.arange(rows) * 1.5 + number}) for number in range(tables - 1)}
    slab_folder(tmp_path, frames, rows, 2)
    bucket = gcs.buckets[BUCKET]
    _copy(tmp_path, bucket)
    gcs.log.clear()
    manifest = _compose(gcs_store)
    objects = tables * periods + 1  # the footer too
    assert gcs.log.count()["object.compose"] <= -(-(objects - 1) // 31)
    assert manifest.extraction.spine.row_groups == (2,) * periods
    whole = pl.read_parquet(io.BytesIO(bucket.live[NAME].data))
    assert whole.get_column(KEY).equals(months_of(rows, 2))
    for name, frame in frames.items():
        assert whole.get_column(f"{name}__x").equals(frame.get_column("x"))


def test_a_footer_of_unstated_size_is_found(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    for each in gcs.buckets[BUCKET].live.values():
        each.metadata.pop(FOOTER_BYTES_KEY, None)
    assert _compose(gcs_store).file.rows == 200


PIECE = f"{PREFIX}mkt_vol/2024-02.parquet"


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        ("gone", MergeRefused, "eurusd: 1 missing: mkt_vol/2024-02, "),
        ("superfluous", MergeRefused, "eurusd: 1 superfluous: other.parquet, "),
        ("another period", MergeRefused, "eurusd: 1 superfluous: mkt_vol/2023-12.parquet, "),
        ("other bytes", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("of another table", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("of another period", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("forged", CheckpointMismatch, "eurusd/mkt_vol/2024-02: "),
        ("no extraction", CheckpointCorrupt, "extraction.json"),
    ],
)
def test_pieces_that_are_not_the_record_are_refused_by_name_before_anything_is_written(
    gcs_store: GcsObjectStore, gcs: GcsServer, tmp_path: Path, damage: str, error: type[Exception], text: str
) -> None:
    _extracted(gcs_store)
    match damage:
        case "gone":
            gcs_store.delete(PIECE)
        case "superfluous":
            gcs_store.put_bytes(f"{PREFIX}other.parquet", b"PAR1")
        case "another period":
            gcs_store.put_bytes(f"{PREFIX}mkt_vol/2023-12.parquet", gcs_store.read(PIECE))
        case "other bytes":
            gcs_store.put_bytes(PIECE, gcs_store.read(PIECE)[::-1])
        case "of another table":
            gcs_store.put_bytes(PIECE, gcs_store.read(f"{PREFIX}agg_eurusd/2024-02.parquet"))
        case "of another period":
            gcs_store.put_bytes(PIECE, gcs_store.read(f"{PREFIX}mkt_vol/2024-01.parquet"))
        case "forged":
            gcs_store.put_bytes(PIECE, _forged(gcs_store.read(PIECE), tmp_path))
        case _:
            gcs_store.delete(f"{PREFIX}extraction.json")
    gcs.log.clear()
    with pytest.raises(error, match=text):
        _compose(gcs_store)
    assert gcs.log.count().keys() <= {"object.list", "object.media"}


def _forged(data: bytes, folder: Path) -> bytes:
    """The bytes of a slab's file or piece with two columns exchanged under the CRC32C that it had."""
    path = folder / "forged.parquet"
    path.write_bytes(data)
    first, second, *_ = read_footer(path).columns
    exchange(path, first, second, writer_name(path))
    return path.read_bytes()


def test_a_piece_copied_back_byte_by_byte_is_read_once_and_composed(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    data = gcs_store.read(PIECE)
    gcs_store.put_bytes(PIECE, data)
    gcs.log.clear()
    assert _compose(gcs_store).file.rows == 200
    assert sum(size for name, _, size in gcs.log.ranges if name == PIECE) >= len(data)
    read = Counter[str]()
    for name, _, size in gcs.log.ranges:
        read[name] += size
    stored = gcs.buckets[BUCKET].live
    assert [name for name in read if name.startswith(PREFIX) and read[name] >= len(stored[name].data)] == [
        f"{PREFIX}extraction.json",
        PIECE,
    ]


def test_the_cure_for_a_forged_piece_works(gcs_store: GcsObjectStore, tmp_path: Path) -> None:
    _extracted(gcs_store)
    good = gcs_store.read(PIECE)
    gcs_store.put_bytes(PIECE, _forged(good, tmp_path))
    _extracted(gcs_store)
    assert gcs_store.read(PIECE) == good
    assert _compose(gcs_store).file.rows == 200


@pytest.mark.parametrize("forged", [False, True])
def test_slabs_of_an_earlier_version_are_composed_unless_one_is_forged(
    gcs_store: GcsObjectStore, tmp_path: Path, *, forged: bool
) -> None:
    expected = pl.read_parquet(_merged(extracted(tmp_path / "slabs"), tmp_path / "out.parquet"))
    folder = as_earlier_version(tmp_path / "slabs")
    for path in folder.glob("*.parquet"):
        info = gcs_store.put_bytes(f"{PREFIX}{path.name}", path.read_bytes())
        record = folder / f"{path.stem}.slab.json"
        gcs_store.put_bytes(
            f"{PREFIX}{record.name}", record.read_bytes(), metadata={"slab-generation": str(info.version)}
        )
    gcs_store.put_bytes(f"{PREFIX}{EXTRACTION_FILE}", (folder / EXTRACTION_FILE).read_bytes())
    if forged:
        slab = f"{PREFIX}mkt_vol.parquet"
        gcs_store.put_bytes(slab, _forged(gcs_store.read(slab), tmp_path))
        with pytest.raises(CheckpointMismatch, match="eurusd/mkt_vol: "):
            _compose(gcs_store)
    else:
        manifest = _compose(gcs_store)
        data = gcs_store.read(NAME)
        assert manifest.file.crc32c == crc32c(data)
        assert_frame_equal(pl.read_parquet(io.BytesIO(data)), expected, check_exact=True)


def test_a_piece_replaced_while_it_is_composed_gives_no_file(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    plan = plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD))
    gcs.fail("object.compose", "hook", hook=lambda: gcs.buckets[BUCKET].put(PIECE, b"other bytes", {}))
    with pytest.raises(ChecksumMismatch, match="removed again"):
        merge(plan, gcs_store, merged_name(EURUSD), progress=Silent())
    assert gcs_store.head(NAME) is None


def test_a_wrong_checksum_of_the_store_gives_no_file(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", "wrong_crc", name=NAME)
    with pytest.raises(ChecksumMismatch):
        _compose(gcs_store)
    assert gcs_store.head(NAME) is None


def test_of_two_racing_merges_one_wins_and_the_other_says_so(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    plan = plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD))
    made: list[Manifest] = []
    gcs.fail("object.compose", "hook", hook=lambda: made.append(_compose(gcs_store)))
    with pytest.raises(PreconditionFailed):
        merge(plan, gcs_store, merged_name(EURUSD), progress=Silent())
    info = gcs_store.head(NAME)
    assert info is not None
    assert info.crc32c == made[0].file.crc32c


@pytest.mark.parametrize("kind", ["status", "reset"])
@pytest.mark.parametrize("after", [False, True])
def test_a_transient_fault_of_compose_is_not_seen(
    gcs_store: GcsObjectStore, gcs: GcsServer, kind: str, *, after: bool
) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", kind, after=after)
    assert _compose(gcs_store).file.rows == 200


def test_a_footer_object_that_cannot_be_removed_does_not_undo_the_merge(
    gcs_store: GcsObjectStore, gcs: GcsServer
) -> None:
    _extracted(gcs_store)
    gcs.fail("object.delete", status=403, name="footers/")
    manifest = _compose(gcs_store)
    assert load_record(gcs_store, str(manifest_path(Path(NAME))), Manifest) == manifest


def test_what_a_failed_merge_leaves_is_under_staging(gcs_store: GcsObjectStore, gcs: GcsServer) -> None:
    _extracted(gcs_store)
    gcs.fail("object.compose", status=403)
    with pytest.raises(StoreError, match="HTTP 403"):
        _compose(gcs_store)
    assert all(name.startswith(STAGING) for name in gcs.buckets[BUCKET].live)


def test_progress_tells_each_table_of_each_period_and_the_file(gcs_store: GcsObjectStore) -> None:
    _extracted(gcs_store)
    told = Told()
    manifest = merge(plan_slabs(EURUSD, gcs_store, slabs_prefix(EURUSD)), gcs_store, merged_name(EURUSD), progress=told)
    tables = [slab.table for slab in manifest.extraction.slabs]
    assert [item for item, _ in told.steps] == [*tables * len(PERIODS), NAME]
    assert told.total == len(told.steps)
