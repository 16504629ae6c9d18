"""Records are versioned JSON, which is read strictly and written completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqx_assets.base.artifacts import (
    ExtractionRecord,
    Manifest,
    Record,
    SlabProvenance,
    Spine,
    fingerprint,
    library_versions,
    load_record,
    manifest_path,
)
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.extract.embedded_layout import WarehouseSpec

MOMENT = datetime(2026, 1, 5, tzinfo=UTC)
RECORD = ExtractionRecord(
    pair="eurusd",
    snapshot_time=MOMENT,
    spine=Spine(rows=3, fingerprint="f", first=MOMENT, last=MOMENT, row_groups=(2, 1)),
    slabs=(),
    known_absent={"mkt_x": "not there since 2025"},
)


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    RECORD.save(tmp_path / "record.json")
    assert ExtractionRecord.load(tmp_path / "record.json") == RECORD


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _misspelt(text: str) -> str:
    return text.replace('"pair"', '"pare"')


def _of_another_type(text: str) -> str:
    return text.replace('"rows": 3', '"rows": "many"')


def _empty(_: str) -> str:
    return ""


def _with_an_unknown_field(text: str) -> str:
    return json.dumps({**json.loads(text), "unknown": 1})


@pytest.mark.parametrize("damage", [_cut, _misspelt, _of_another_type, _empty, _with_an_unknown_field])
def test_a_damaged_record_is_an_error_with_a_cure_never_a_guess(tmp_path: Path, damage: Callable[[str], str]) -> None:
    RECORD.save(tmp_path / "record.json")
    text = (tmp_path / "record.json").read_text()
    (tmp_path / "record.json").write_text(damage(text))
    with pytest.raises(CheckpointCorrupt, match="ExtractionRecord"):
        ExtractionRecord.load(tmp_path / "record.json")


def test_a_missing_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointCorrupt):
        ExtractionRecord.load(tmp_path / "none.json")


def test_the_manifest_lies_beside_its_file() -> None:
    assert manifest_path(Path("a/training_eurusd.parquet")) == Path("a/training_eurusd.manifest.json")


def test_versions_that_shape_the_bytes_are_recorded() -> None:
    """Lesson 20: Polars 0.19 in the image and 1.36 on the machine."""
    assert {"python", "bqx-assets", "dagster", "polars", "pyarrow"} == library_versions().keys()


@pytest.mark.parametrize(
    "kind", [SlabProvenance, ExtractionRecord, Manifest, WarehouseSpec], ids=lambda kind: kind.__name__
)
def test_a_record_of_a_later_format_is_refused_with_a_cure(tmp_path: Path, kind: type[Record]) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"format_version": 3, "a field of later": 1}')
    with pytest.raises(NewerFormat, match=r"record\.json: format version 3, expected 2 at most\. A later version"):
        kind.load(path)
    store = LocalObjectStore(tmp_path)
    with pytest.raises(NewerFormat, match="format version 3"):
        load_record(store, "record.json", kind)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), PLAIN, max_size=6))
def test_the_order_of_keys_does_not_matter(facts: dict[str, object]) -> None:
    assert fingerprint(facts) == fingerprint(dict(reversed(facts.items())))


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=4), min_size=1), st.data())
def test_any_changed_value_changes_it(facts: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(facts)))
    other = data.draw(st.integers() | st.text(max_size=4))
    assert (fingerprint(facts) == fingerprint({**facts, key: other})) == (facts[key] == other)


def test_moments_count_and_objects_are_refused() -> None:
    assert fingerprint({"t": datetime(2026, 1, 1, tzinfo=UTC)}) != fingerprint({"t": datetime(2026, 1, 2, tzinfo=UTC)})
    with pytest.raises(TypeError, match="not plain data"):
        fingerprint({"x": object()})
