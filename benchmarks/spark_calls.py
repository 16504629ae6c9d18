"""Uses of a training file by Spark as measured calls, which run in Spark's own Python: it has no other library of ours.

A query's rows stay in Spark: they go to its format ``noop``, which takes every value and keeps none.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "6g",
    "spark.sql.session.timeZone": "UTC",
    "spark.log.level": "ERROR",
}
_KEY = "interval_time"


def read(place: str, columns: str, span: str, rounds: str) -> dict[str, Any]:
    """Read as ``reader_calls.read`` does; the last round counts, since Java compiles in the first one.

    The memory is that of Java, which takes what it may before it clears any.
    """
    sql: Any = importlib.import_module("pyspark.sql")
    builder = sql.SparkSession.builder.master("local[2]")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    java = int(session._jvm.java.lang.ProcessHandle.current().pid())  # noqa: SLF001 -- there is no other way to it
    names: list[str] = json.loads(Path(columns).read_text()) if columns else []
    since, _, until = span.partition("/")
    within = f"{_KEY} >= '{since}' AND {_KEY} < '{until}'"
    before_bytes = _memory_bytes(java)
    seconds = cpu_seconds = 0.0
    rows = 0
    for _ in range(int(rounds)):
        cpu, began = _cpu_seconds(java), time.perf_counter()
        table = session.read.parquet(place)
        rows = len(table.columns)
        if names:
            rows = _rows(sql, table.where(within) if span else table, names)
        seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds(java) - cpu
    peak_bytes = _memory_bytes(java) - before_bytes
    session.stop()
    return {"result": rows, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes}


def _rows(sql: Any, table: Any, names: list[str]) -> int:  # noqa: ANN401 -- pyspark is not of this environment
    counted = sql.Observation()
    chosen = table.select(*names).observe(counted, sql.functions.count(sql.functions.lit(1)).alias("rows"))
    chosen.write.format("noop").mode("overwrite").save()
    return int(counted.get["rows"])


def _memory_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
