"""Whether an output holds what it should: its columns against the slabs', value by value, a table at a time.

Belongs here: that comparison. Does not: what made the output.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, Manifest, manifest_path
from bqx_assets.base.checksums import crc32c_of_file


def check_output(output: Path, slabs: Path, most_tables: int) -> int:
    """End the program unless the output equals the slabs; return how many tables were compared.

    ``most_tables`` of them, spread evenly, are compared; names, row count and our own checksum always are.
    **Cost**: one table in memory.
    """
    record = ExtractionRecord.load(slabs / EXTRACTION_FILE)
    schema = pl.read_parquet_schema(output)
    missing = [c.name for slab in record.slabs for c in slab.provenance.columns if c.name not in schema]
    _expect(not missing, f"{output.name}: {len(missing)} columns missing: {missing[:3]}")
    if manifest_path(output).is_file():
        _expect(crc32c_of_file(output) == Manifest.load(manifest_path(output)).file.crc32c, f"{output.name}: checksum")
    count = min(most_tables, len(record.slabs))
    for slab in [record.slabs[number * len(record.slabs) // count] for number in range(count)]:
        truth = pl.read_parquet(slabs / slab.object_name)
        found = pl.read_parquet(output, columns=truth.columns).select(truth.columns).cast(truth.schema)
        _expect(found.equals(truth), f"{output.name}: {slab.table} differs")
    return count


def _expect(holds: bool, trouble: str) -> None:  # noqa: FBT001 -- a claim
    if not holds:
        sys.exit(f"not equal: {trouble}")
