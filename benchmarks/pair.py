"""Runs a whole pair in one process under a hard 2 GiB and counts the seconds and bytes of each stage.

``python -m benchmarks.pair``; smaller with ``--tables 40 --rows 60000``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.beside import Beside, Counts, beside
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count
from benchmarks.gcs_disk import gcs_server
from benchmarks.measured import capped
from benchmarks.place import parser_of, workplace
from benchmarks.reads_server import reads_server
from benchmarks.report import PAIR_DOCUMENT, bars, table, write_section
from bqx_assets.cli.entry import ENVIRONMENT

_CAP_BYTES = 2 << 30
_BUCKET = "gs://bqx-ml-output"
_ROOT = Path(__file__).parent.parent
_NOTES = """\
Read, uploaded and downloaded bytes are object or answer bytes as the servers count them, without headers; reads are
sessions, of two streams each. The servers run outside the group and made their answers beforehand,
but take turns with the pair on the same processors: the wall is longer than it would be with their own, and there is no
network between: trust CPU seconds, bytes and peaks, not the wall. The bucket is the tests' strict server with
its objects on disk; composing and copying inside it moves no byte, as in Cloud Storage. The peak is the group's own
(`memory.max_usage_in_bytes`, set back at each stage): process, page cache and the tmpfs that HOME and TMPDIR lie on.
Bypassed: BigQuery's two catalogue queries and its clock, which go by REST; Dagster (measured by itself elsewhere)."""


@dataclass(slots=True)
class _Stage:
    """The measures of one stage."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    counts: Counts
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def main() -> None:
    """Start the servers, run the pair under the cap, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, default=667)
    parser.add_argument("--batch-bytes", type=int, default=4 << 20, help="of an answer, decoded")
    parser.add_argument("--limit-seconds", type=int, default=2_400)
    asked = parser.parse_args()
    columns = column_count(chosen_tables(asked.tables))
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    needed = 8 * asked.rows * 1_500 + 1.1 * BYTES_PER_VALUE * columns * asked.rows
    with (
        workplace(asked, needed, what) as home,
        beside(reads_server, str(home), asked.tables, asked.rows, asked.batch_bytes) as reads,
        beside(gcs_server, str(home)) as bucket,
        _memory_folder(home / "memory") as memory,
        capped(_CAP_BYTES, asked.limit_seconds) as apart,
    ):
        if apart.group is None:
            sys.exit("without a cap this benchmark says nothing")
        stages = _run(asked, memory, apart.group, reads, bucket)
        servers = reads.counts()["cpu_seconds"], bucket.counts()["cpu_seconds"]
    _write(stages, servers)


@contextmanager
def _memory_folder(folder: Path) -> Generator[Path]:
    """Give a folder in memory, which is charged to the control group of who writes, as files of a container are."""
    folder.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


def _run(asked: Namespace, memory: Path, group: Path, reads: Beside, bucket: Beside) -> list[_Stage]:
    own = {"HOME": memory, "TMPDIR": memory, "STORAGE_EMULATOR_HOST": bucket.address, "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [reads.address, asked.tables, asked.rows, memory / "home", _BUCKET]
    # The shell joins the group before Python starts: libraries count too.
    join = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    command = [*join, sys.executable, "-m", "benchmarks.pair_process", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=ENVIRONMENT | os.environ | own
    )
    timer = threading.Timer(asked.limit_seconds, process.kill)
    timer.start()
    try:
        stages = _watch(process, group, reads, bucket)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    if stages[-1].facts.get("uri") is None:
        control = (group / "memory.oom_control").read_text().split()
        sys.exit(f"the pair ended in {stages[-1].name!r}; memory.oom_control: {' '.join(control)}")
    return stages


def _watch(process: subprocess.Popen[str], group: Path, reads: Beside, bucket: Beside) -> list[_Stage]:
    """Take the measures of each stage when the next one begins; the process waits meanwhile."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes")
    usage = group / "memory.max_usage_in_bytes"
    stages: list[_Stage] = []
    name, began, cpu, before = "start: Python and libraries", time.perf_counter(), 0.0, _counts(reads, bucket)
    for line in process.stdout:
        seconds, told, now = time.perf_counter() - began, json.loads(line), _counts(reads, bucket)
        counts = {key: value - before.get(key, 0) for key, value in now.items()}
        peak_bytes = int(usage.read_text())
        stages.append(_Stage(name, seconds, told["cpu_seconds"] - cpu, peak_bytes, counts, told["facts"]))
        print(f"  {name}: {seconds:.1f} s, {stages[-1].cpu_seconds:.1f} CPU s, {peak_bytes / 1e6:,.0f} MB", flush=True)
        usage.write_text("0")
        name, cpu, before, began = told["stage"], told["cpu_seconds"], now, time.perf_counter()
        process.stdin.write("\n")
        process.stdin.flush()
    if name:
        stages.append(_Stage(name, time.perf_counter() - began, 0.0, int(usage.read_text()), {}))
    return stages


def _counts(reads: Beside, bucket: Beside) -> Counts:
    return {f"read {name}": value for name, value in reads.counts().items()} | bucket.counts()


def _write(stages: list[_Stage], servers: tuple[float, float]) -> None:
    last, checked = stages[-1].facts, stages[-2].facts
    steps: dict[str, float] = next(each.facts["steps"] for each in stages if "steps" in each.facts)
    seconds, cpu = sum(each.seconds for each in stages), sum(each.cpu_seconds for each in stages)
    peak = max(each.peak_bytes for each in stages)
    decoded = sum(each.counts["read decoded_bytes"] for each in stages)
    lines = [_line(each) for each in stages]
    total = {name: sum(each.counts.get(name, 0) for each in stages) for name in stages[-1].counts}
    lines.append(_line(_Stage("**all**", seconds, cpu, peak, total)))
    head = ["", "wall s", "CPU s", "group peak MB", "read MB", "uploaded MB", "downloaded MB", "reads", "bucket calls"]
    text = (
        f"## A whole pair under 2 GiB\n\n{last['rows']:,} rows x {last['columns']:,} columns, "
        f"{last['size_bytes'] / 1e9:.2f} GB published as `{last['uri']}` from {decoded / 1e9:.2f} GB of Arrow, in one "
        f"process: {seconds:,.0f} s, {cpu:,.0f} CPU s, {cpu / decoded * 1e9:.1f} CPU s a GB of Arrow. Its own resident "
        f"memory reached {last['peak_bytes'] / 1e6:,.0f} MB. Beside it, outside the group, the read server took "
        f"{servers[0]:,.0f} CPU s (making its answers included), the bucket {servers[1]:,.0f}."
    )
    walls = [[name, f"{value:,.1f}", f"{value / sum(steps.values()):.0%}"] for name, value in steps.items()]
    calls = [(name, count) for name, count in sorted(total.items()) if name.endswith(" requests") and count]
    kinds = ", ".join(f"{name.removesuffix(' requests')} {count:,.0f}" for name, count in calls)
    within = (
        f"Bucket calls by operation: {kinds}.\n\n"
        "Of the features' stage, by step; seconds of all worker threads, waiting included:"
    )
    failed = "; ".join(f"{rule}: {got}" for rule, got in checked["failed"].items()) or "none"
    claims = {
        f"the group peaks at {peak / 1e6:,.0f} MB of {_CAP_BYTES / 1e6:,.0f}": peak < _CAP_BYTES,
        f"{checked['verdicts']} rules judged the published bytes; not passed: {failed}": checked["verdicts"] > 0,
    }
    parts = (text, table(head, lines), within, table(["", "seconds", "share"], walls), bars(claims), _NOTES)
    write_section("pair", "\n\n".join(parts), PAIR_DOCUMENT)
    sys.exit(0 if all(claims.values()) else 1)


def _line(stage: _Stage) -> list[str]:
    counts = stage.counts
    mega = [f"{counts.get(name, 0) / 1e6:,.1f}" for name in ("read wire_bytes", "uploaded_bytes", "downloaded_bytes")]
    calls = [f"{counts.get(name, 0):,.0f}" for name in ("read sessions", "requests")]
    return [
        stage.name,
        f"{stage.seconds:,.1f}",
        f"{stage.cpu_seconds:,.1f}",
        f"{stage.peak_bytes / 1e6:,.0f}",
        *mega,
        *calls,
    ]


if __name__ == "__main__":
    main()
