"""A file in a bucket gives the same rows as in a folder, by ranges of the object that was opened and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from bqx_assets.base.errors import ChecksumMismatch, FooterError, OtherData, PreconditionFailed, StoreError
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.merge.footer import parse_columns, read_file_end, read_footer
from bqx_assets.quality.stored_file import StoredFile
from bqx_assets.training.bucket_scan import scan_object
from bqx_assets.training.load import load_training, training_manifest
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer
from bqx_assets_tests.training.published import ROWS, Merged, merged_pair

NAME = "training_eurusd.parquet"
PLACE = f"gs://{BUCKET}"
LABEL = "target_bqx45_h15"


@pytest.fixture
def server(gcs: GcsServer, gcs_store: GcsObjectStore, eurusd: Merged) -> GcsServer:
    """The server with eurusd published, its log empty."""
    eurusd.publish(gcs_store)
    gcs.log.clear()
    return gcs


def _data_bytes(server: GcsServer, footer_start: int) -> int:
    return sum(length for name, start, length in server.log.ranges if name.endswith(NAME) and start < footer_start)


def _stored_bytes(file: Path, names: list[str], groups: list[int]) -> int:
    footer = read_footer(file)
    places = [footer.columns.index(name) for name in names]
    return sum(footer.groups[group].chunks[place].size_bytes for group in groups for place in places)


def test_rows_of_a_bucket_are_those_of_the_folder(server: GcsServer, folder: Path) -> None:
    assert server.buckets
    for how in ({}, {"start": "2024-02-01"}, {"end": "2024-02-10", "labelled": False}, {"windows": [45, 90]}):
        remote = load_training("eurusd", [(45, 15), (90, 30)], source=PLACE, **how)  # type: ignore[arg-type]
        local = load_training("eurusd", [(45, 15), (90, 30)], source=folder, **how)  # type: ignore[arg-type]
        assert remote.collect_schema() == local.collect_schema()
        assert remote.collect().equals(local.collect())
        assert remote.collect(engine="streaming").equals(local.collect())
    remote, local = (load_training("eurusd", (45, 15), source=place) for place in (f"{PLACE}/{NAME}", folder / NAME))
    assert remote.head(800).collect().equals(local.head(800).collect())
    assert remote.select(pl.len()).collect().equals(local.select(pl.len()).collect())
    assert remote.filter(pl.col(LABEL) > 9).collect().equals(local.filter(pl.col(LABEL) > 9).collect())


def test_only_chosen_columns_of_the_periods_in_range_are_read(server: GcsServer, eurusd: Merged) -> None:
    path = eurusd.file.path
    assert path is not None
    end = max(chunk.end for group in read_footer(path).groups for chunk in group.chunks)
    features = ["agg__agg_mean_45", "mkt_vol__x"]
    features[1] = next(name for name in read_footer(path).columns if name.startswith("mkt_vol__") and "45" in name)
    rows = load_training("eurusd", (45, 15), features=features, source=PLACE, start="2024-02-01", end="2024-03-01")
    server.log.clear()
    assert rows.collect().height
    tried = _stored_bytes(path, [KEY, LABEL], [0, 1, 2])
    wanted = _stored_bytes(path, features, [1])
    # Chunks that lie near each other are read in one request, with what lies between them.
    assert tried + wanted <= _data_bytes(server, end) <= tried + wanted + 6 * (128 << 10)
    assert not [name for name, start, _ in server.log.ranges if name.endswith(NAME) and start > end]


def test_an_object_that_was_replaced_is_refused_and_never_mixed(
    server: GcsServer, gcs_store: GcsObjectStore, tmp_path: Path
) -> None:
    digest = training_manifest("eurusd", source=PLACE).file.content_digest or ""
    rows = load_training("eurusd", (45, 15), source=PLACE, pin=digest)
    merged_pair(tmp_path, parse_pair("eurusd"), shift=1).publish(gcs_store)
    with pytest.raises(PreconditionFailed, match="Another run wrote"):
        rows.collect()
    with pytest.raises(OtherData):
        load_training("eurusd", (45, 15), source=PLACE, pin=digest)
    assert load_training("eurusd", (45, 15), source=PLACE).collect().height == ROWS
    assert server.buckets


def test_bytes_that_differ_from_the_manifest_are_refused_before_any_is_read(
    server: GcsServer, gcs_store: GcsObjectStore, eurusd: Merged
) -> None:
    info = gcs_store.head(NAME)
    assert info is not None
    data = bytearray(gcs_store.read(NAME))
    data[1000] ^= 1
    gcs_store.put_bytes(NAME, bytes(data), metadata=info.metadata, only_if=info.version)
    with pytest.raises(ChecksumMismatch, match="bqx verify gs://"):
        load_training("eurusd", source=PLACE)
    assert server.buckets
    assert eurusd.manifest


def test_a_failing_read_is_repeated_and_a_lasting_one_is_named(server: GcsServer) -> None:
    rows = load_training("eurusd", (45, 15), features=[], source=PLACE)
    server.fail("object.media", times=2)
    assert rows.collect().height
    server.fail("object.media", status=403, reason="forbidden", times=1000)
    with pytest.raises(StoreError, match="refuses this account"):
        rows.collect()


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "lz4", "gzip", "brotli"])
@pytest.mark.parametrize("encoding", ["PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY", None])
def test_any_encoding_and_codec_is_read_as_polars_reads_it(tmp_path: Path, codec: str, encoding: str | None) -> None:
    frame = pl.DataFrame(
        {
            "f": [1.5, None, 3.0] * 40,
            "i": [*range(119), None],
            "s": [None, "a", "ab"] * 40,
            "b": [True, False, None] * 40,
        }
    )
    fits = {"BYTE_STREAM_SPLIT": "f", "DELTA_BINARY_PACKED": "i", "DELTA_BYTE_ARRAY": "s", "PLAIN": "fis"}
    named = dict.fromkeys(fits[encoding], encoding) if encoding else None
    how: Any = {"compression": codec, "use_dictionary": not encoding, "column_encoding": named}
    path = tmp_path / "any.parquet"
    pq.write_table(frame.to_arrow(), path, row_group_size=50, **how)
    source = StoredFile.at(path).open()
    assert source is not None
    rows = scan_object(source, read_file_end(path, "any")[0])
    assert rows.collect_schema() == frame.schema
    assert rows.collect().equals(frame)
    late = pl.col("i") > 60
    assert rows.filter(late).select("s", "f").collect().equals(frame.filter(late).select("s", "f"))
    source.close()


def test_the_columns_alone_are_those_of_the_whole_footer(eurusd: Merged) -> None:
    path = eurusd.file.path
    assert path is not None
    end, size = read_file_end(path, "file")
    assert [leaf[:3] for leaf in parse_columns(end, size, "file")] == [leaf[:3] for leaf in read_footer(path).leaves]
    with pytest.raises(FooterError, match="damaged"):
        parse_columns(end[:20] + b"\xff" + end[21:], size, "file")
