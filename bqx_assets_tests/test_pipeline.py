"""A file is named by its path or address; what has the name and is no file is refused, or stays as it is."""

from __future__ import annotations

import io
import os
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from bqx_assets.base.errors import BadSetting, ForeignFile, MergeRefused
from bqx_assets.base.names import table_prefix
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.cli.main import app
from bqx_assets.extract.pair import extract_pair
from bqx_assets.pipeline import Pipeline
from bqx_assets_tests.frames import frame_job, frame_warehouse
from bqx_assets_tests.quality.training import good
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

EURUSD = parse_pair("eurusd")


def _validate(place: str) -> None:
    Pipeline(Settings()).validate(EURUSD, place)


def test_a_special_file_is_named_and_not_validated(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "loop.parquet").symlink_to("loop.parquet")
    kinds = {"pipe.parquet": "a named pipe", "loop.parquet": "symbolic links", ".": "a folder", "/dev/zero": "a device"}
    for name, kind in kinds.items():
        with pytest.raises(BadSetting, match=kind):
            _validate(str(tmp_path / name))


@pytest.mark.parametrize("place", ["GS://bucket/x.parquet", "gs:/bucket/x.parquet", "https://h/x.parquet", ""])
def test_an_address_of_another_form_is_refused_with_the_accepted_one(place: str) -> None:
    with pytest.raises(BadSetting, match="gs://bucket/name"):
        _validate(place)


def test_a_file_of_somebody_else_where_the_manifest_would_come_stays(tmp_path: Path) -> None:
    (tmp_path / "out.manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(ForeignFile, match="no manifest of a training file"):
        Pipeline(Settings(home=tmp_path)).merge(EURUSD, checkpoints=str(tmp_path), output=tmp_path / "out.parquet")
    assert (tmp_path / "out.manifest.json").read_text() == '{"name": "a web page"}'


def test_the_users_checkpoints_in_a_bucket_become_a_valid_file_equal_to_an_extractions(
    gcs: GcsServer, tmp_path: Path
) -> None:
    home, place = tmp_path / "home", f"gs://{BUCKET}/eurusd_checkpoints_validated"
    _bqx(home, "warehouse", "create", home / "warehouse", "--pairs", "eurusd", "--rows", 3_600, "--tables", 6)
    for stage in ("extract", "merge"):
        _bqx(home, stage, "eurusd")
    assert gcs.buckets
    store = GcsObjectStore(BUCKET, "eurusd_checkpoints_validated/")
    kept = (path for path in (home / "warehouse").rglob("*.parquet") if path.stem != "targets_all_fixed")
    for path in sorted(kept):
        frame = pl.read_parquet(path)
        if path.stem == "targets_eurusd":
            frame = frame.select("interval_time", pl.selectors.starts_with("target_"))
        else:
            short = table_prefix(path.stem, EURUSD)
            frame = frame.filter(pl.col("pair") == "eurusd").drop("pair") if "pair" in frame.columns else frame
            frame = frame.rename({name: f"{short}_{name}" for name in frame.columns if name != "interval_time"})
        name = "targets" if path.stem == "targets_eurusd" else path.stem
        data = io.BytesIO()
        frame.write_parquet(data, compression="snappy")
        store.put_bytes(f"{name}.parquet", data.getvalue())
    _bqx(home, "merge", "eurusd", "--checkpoint-dir", place, "--output", tmp_path / "users.parquet")
    own = home / "training" / "training_eurusd.parquet"
    assert pl.read_parquet_schema(tmp_path / "users.parquet") == pl.read_parquet_schema(own)
    _bqx(home, "diff", tmp_path / "users.parquet", own)
    _bqx(home, "validate", tmp_path / "users.parquet", "--pair", "eurusd")


def _bqx(home: Path, *words: object) -> None:
    result = CliRunner().invoke(app, ["--home", str(home), *map(str, words)])
    assert result.exit_code == 0, result.output


def test_local_slabs_are_merged_without_credentials_of_the_output_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract_pair(frame_job(tmp_path / "slabs", frame_warehouse()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    pipeline = Pipeline(Settings(home=tmp_path, output="gs://a-bucket-of-others"))
    for output in (None, tmp_path / "out.parquet"):
        made = pipeline.merge(EURUSD, checkpoints=str(tmp_path / "slabs"), output=output)
        assert made.place == str(output or tmp_path / "training" / "training_eurusd.parquet")


def test_no_merge_replaces_a_published_file_which_only_a_publication_has_checked(tmp_path: Path) -> None:
    pipeline = Pipeline(Settings(home=tmp_path, output=str(tmp_path / "out")))
    extract_pair(frame_job(tmp_path / "checkpoints" / "eurusd", frame_warehouse(50)))
    published = tmp_path / "out" / "training_eurusd.parquet"
    published.parent.mkdir()
    published.write_bytes(b"published")
    (tmp_path / "link").symlink_to("out")
    for output in (published, tmp_path / "link" / published.name, published.with_name("training_gbpusd.parquet")):
        with pytest.raises(BadSetting, match="published file"):
            pipeline.merge(EURUSD, output=output)
    assert [path.name for path in published.parent.iterdir()] == [published.name]
    assert published.read_bytes() == b"published"


def test_a_report_by_other_expectations_is_not_kept_beside_the_merged_file(tmp_path: Path) -> None:
    made = good(tmp_path / "training")
    pipeline, kept = Pipeline(Settings(home=tmp_path)), made.file.with_name("training_eurusd.report.json")
    assert pipeline.validate(EURUSD, expectations=made.expectations).passed
    assert not kept.exists()
    assert not pipeline.validate(EURUSD).passed
    assert kept.exists()


def test_a_bucket_without_checkpoints_is_refused_with_the_way_to_look(gcs: GcsServer) -> None:
    assert gcs.buckets
    with pytest.raises(MergeRefused, match=f"gcloud storage ls gs://{BUCKET}/nowhere"):
        Pipeline(Settings()).merge(EURUSD, checkpoints=f"gs://{BUCKET}/nowhere")


def test_a_place_that_holds_another_pairs_targets_is_refused_with_their_name(gcs: GcsServer, tmp_path: Path) -> None:
    assert gcs.buckets
    GcsObjectStore(BUCKET, "gbp/").put_bytes("targets_gbpusd.parquet", b"x")
    (tmp_path / "targets_gbpusd.parquet").write_bytes(b"x")
    for place in (f"gs://{BUCKET}/gbp/", str(tmp_path)):
        with pytest.raises(MergeRefused, match=r"nor checkpoints of it, but targets_gbpusd\.parquet"):
            Pipeline(Settings()).merge(EURUSD, checkpoints=place)
