"""Reads a parquet file with Spark and writes what it has read as an Arrow file; run by Spark's own Python.

Arguments: the file, the Arrow file to write, and whether the reader is the vectorized one (``true`` or ``false``).
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pyarrow as pa

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
}


def main() -> None:
    """Read, and write what was read."""
    path, target, vectorized = sys.argv[1:]
    sql: Any = importlib.import_module("pyspark.sql")  # not of the environment that the tests run in
    builder = sql.SparkSession.builder.master("local[1]")
    for name, value in (_SETTINGS | {"spark.sql.parquet.enableVectorizedReader": vectorized}).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    table: pa.Table = session.read.parquet(path).toArrow()
    with pa.ipc.new_file(target, table.schema) as writer:
        writer.write_table(table)
    session.stop()


if __name__ == "__main__":
    main()
