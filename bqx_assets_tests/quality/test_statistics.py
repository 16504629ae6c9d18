"""A footer whose statistics are not those of the values is caught, though every checksum vouches for its bytes."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.thrift import render
from bqx_assets_tests.quality.training import Training, verdict_of, vouching

FEATURE = "agg__agg_mean_45"
_GROUPS, _CHUNKS, _META, _STATISTICS = 4, 1, 3, 12
_NULLS, _MAX, _MIN = 3, 5, 6


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [(_NULLS, 399, "nulls 399 stated"), (_MAX, struct.pack("<d", 0.5), "max 0.5 stated"),
     (_MIN, struct.pack("<d", 0.5), "min 0.5 stated")],
)  # fmt: skip
def test_wrong_statistics_are_named(tmp_path: Path, training: Training, field: int, value: object, word: str) -> None:
    footer = read_footer(training.file)
    place = footer.columns.index(FEATURE)
    footer.content[_GROUPS][0][_CHUNKS][place][_META][_STATISTICS][field] = value
    data = training.file.read_bytes()[: footer.file_bytes - footer.footer_bytes - 8]
    end = render(footer.content, source_bytes=footer.footer_bytes, chunks=len(footer.columns))
    file = tmp_path / training.file.name
    file.write_bytes(data + end + struct.pack("<I", len(end)) + b"PAR1")
    changed = replace(training, file=file, manifest=vouching(training.manifest, file, engine="splice"))
    assert changed.failed() == {"statistics_equal_values"}
    assert f"{FEATURE}: {word}" in verdict_of(changed.report(), "statistics_equal_values").got
