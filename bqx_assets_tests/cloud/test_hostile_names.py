"""Names from outside never reach SQL, a filter, a path or an object's name before they were checked.

The words of the command line and the environment, what a warehouse's catalogue says its tables and columns are called,
and what a manifest says its slabs are. The adapters' own guards have tests beside them: ``base/test_names``,
``base/store/test_gcs``, ``extract/bigquery/test_session``, ``sandbox/test_warehouse``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bqx_assets.base.artifacts import SlabRecord
from bqx_assets.base.errors import BqxError, ExtractionIncomplete
from bqx_assets.base.store.gcs import GcsObjectStore
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.naming import object_name
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.cli.main import app
from bqx_assets.extract.pair import extract_pair
from bqx_assets.extract.slabs import Slabs, slabs_prefix
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.release.retention import clean_checkpoints
from bqx_assets_tests.frames import EURUSD, FrameWarehouse, frame_job, frame_warehouse
from bqx_assets_tests.release.training import slab, training
from bqx_assets_tests.servers.gcs.fixtures import BUCKET
from bqx_assets_tests.servers.gcs.server import GcsServer

SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
PROJECT = re.compile(r"([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""What Google lets a project be called."""
HOSTILE = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from(
        [
            "../../outside",
            "/etc/passwd",
            "mkt_vol/../../x",
            "x' OR TRUE OR 'a'='",
            "`x`; DROP TABLE y",
            "x\n",
            "a?generation=1",
            "a#b",
            "%2e%2e%2fx",
            "mkt_ä",
            "..",
            "EURUSD;rm -rf",
        ]
    ),
)
Command = Callable[[str], tuple[list[str], dict[str, str]]]
COMMANDS: dict[str, Command] = {
    "plan": lambda name: (["plan", name], {}),
    "extract": lambda name: (["extract", name], {}),
    "table": lambda name: (["extract", "eurusd", f"--table={name}"], {}),
    "pair": lambda name: (["validate", f"gs://{BUCKET}/x.parquet", f"--pair={name}"], {}),
    "object": lambda name: (["validate", f"gs://{BUCKET}/{name}", "--pair", "eurusd"], {}),
    "bucket": lambda name: (["validate", f"gs://{name}", "--pair", "eurusd"], {}),
    "output": lambda name: (["store", "init"], {"BQX_OUTPUT": f"gs://{name}"}),
    "project": lambda name: (["plan", "eurusd"], {"BQX_BIGQUERY_PROJECT": name}),
}
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def served(gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """A shell in an empty folder. BigQuery's endpoints lead nowhere: a request would be an error, and late."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("BQX_BIGQUERY_STORAGE_ENDPOINT", "http://127.0.0.1:1")
    frame = pl.DataFrame({"interval_time": []}, schema={"interval_time": pl.Datetime("us", "UTC")})
    folder = tmp_path / "warehouse" / FEATURES_DATASET
    folder.mkdir(parents=True)
    frame.write_parquet(folder / "mkt_vol.parquet")
    monkeypatch.setenv("BQX_WAREHOUSE", str(tmp_path / "warehouse"))
    return gcs


@given(HOSTILE, st.sampled_from(sorted(COMMANDS)))
@QUICK
def test_no_word_of_the_command_line_gets_further_than_its_own_error(served: GcsServer, name: str, where: str) -> None:
    # A name that a project can have is no hostile one: it would be asked for, for five minutes.
    assume(where != "project" or not PROJECT.fullmatch(name))
    words, environment = COMMANDS[where](name)
    served.log.clear()
    before = _files(Path())
    with mock.patch.dict(os.environ, environment):
        result = CliRunner().invoke(app, words)
    assert result.exit_code in {1, 2}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert _files(Path()) == before
    for _, asked in served.log.calls:
        assert not asked or object_name(asked) == asked
    assert where not in {"plan", "extract", "table", "pair", "project"} or not served.log.calls


def _files(folder: Path) -> set[Path]:
    # A stage that fails is in the ledger as well.
    return {
        path for path in folder.rglob("*") if path.is_file() and path.name != ".lock" and "ledger" not in path.parts
    }


@given(HOSTILE, HOSTILE)
@settings(deadline=None, max_examples=12)
def test_no_name_of_a_warehouses_catalogue_reaches_a_read_or_a_file_unchecked(table: str, column: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        frames = frame_warehouse(30, ["mkt_vol", "tmp_eurusd"])
        vol = frames.frames[FEATURES_DATASET, "mkt_vol"]
        if column not in vol.columns:
            frames.frames[FEATURES_DATASET, "mkt_vol"] = vol.with_columns(pl.lit(1.0).alias(column))
        for prefix in ("", "mkt_", "agg_eurusd"):
            frames.frames[FEATURES_DATASET, prefix + table] = vol
        staged = StagedWarehouse(frames, LocalObjectStore(root / "staging"))
        job = replace(frame_job(root / "slabs", FrameWarehouse({})), warehouse=staged)
        with pytest.raises(ExtractionIncomplete):  # the other tables of this job are not there
            extract_pair(job)
        for request in frames.requests:
            names = [request.table.dataset, request.table.table, *request.columns]
            assert all(SAFE.fullmatch(name) for name in names), names
        assert {path.parent.name for path in (root / "slabs").rglob("*.parquet")} == {
            "targets_eurusd",
            "mkt_vol",
            "tmp_eurusd",
        }
        assert {path.relative_to(root).parts[0] for path in root.rglob("*")} <= {"slabs", "staging"}


@pytest.fixture(params=["folder", "bucket"])
def slabs(request: pytest.FixtureRequest, tmp_path: Path) -> Slabs:
    if request.param == "folder":
        return Slabs.in_folder(tmp_path / "slabs")
    store: GcsObjectStore = request.getfixturevalue("gcs_store")
    return Slabs(store, slabs_prefix(EURUSD))


@given(HOSTILE)
@QUICK
def test_no_slab_of_a_manifest_leads_out_of_where_slabs_are_kept(slabs: Slabs, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "outside.parquet"
    victim.write_bytes(b"not ours")
    record = slab("mkt_vol", b"not ours")
    source = record.provenance.source.model_copy(update={"table": name})
    hostile = record.model_copy(
        update={
            "pieces": (record.pieces[0].model_copy(update={"object_name": f"../{victim.name}"}),),
            "provenance": record.provenance.model_copy(update={"source": source}),
        }
    )
    _refused_unless_safe(name, partial(slabs.record, name))
    for ask in (slabs.there, slabs.holds, slabs.intact):
        _refused_unless_safe(name, partial(ask, hostile))
    assert victim.read_bytes() == b"not ours"


def _refused_unless_safe(name: str, ask: Callable[[], object]) -> None:
    try:
        found = ask()
        assert not (found.pieces if isinstance(found, SlabRecord) else found)
    except BqxError:
        assert not SAFE.fullmatch(name)
    else:
        assert SAFE.fullmatch(name)


def test_a_published_manifest_with_a_hostile_slab_deletes_nothing(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    victim = tmp_path / "outside.parquet"
    victim.write_bytes(b"not ours")
    record = slab("mkt_vol", b"not ours")
    piece = record.pieces[0].model_copy(update={"object_name": "../outside.parquet"})
    record = record.model_copy(update={"pieces": (piece,)})
    file, manifest, _ = training(tmp_path / "training", b"all of it", slabs=[record])
    store.put_bytes("training_eurusd.parquet", file.read_bytes())
    store.put_bytes("training_eurusd.manifest.json", manifest.model_dump_json().encode())
    assert clean_checkpoints(EURUSD, Slabs.in_folder(tmp_path / "slabs"), store).names == ()
    assert victim.read_bytes() == b"not ours"
