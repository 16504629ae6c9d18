"""Measures what extraction costs its client, from a bare drain of the streams to slabs in the bucket.

``python -m benchmarks.extract --tables 60``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from benchmarks import drains
from benchmarks.beside import Beside, Counts, beside
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count
from benchmarks.gcs_disk import gcs_server
from benchmarks.measured import Apart, Runs, alternating
from benchmarks.place import parser_of, workplace
from benchmarks.reads_server import reads_server
from benchmarks.report import PAIR_DOCUMENT, bars, table, write_section

_READ_BAR, _WHOLE_BAR = 1.5, 3.0
_DRAIN, _DECODE = "bare drain, messages dropped", "drain by Google's client, Arrow to Polars"
_READ, _FRAMES = "the product's reading: batches", "the product's reading: whole frames"
_FLOOR = "in memory: Arrow decoded, Polars encoded, no more"
_FOLDER, _BUCKET = "extraction into a folder", "extraction into the bucket"
_CALLS: dict[str, Callable[..., object]] = {
    _DRAIN: drains.drain,
    _DECODE: drains.decode,
    _READ: drains.read_batches,
    _FRAMES: drains.read_frames,
    _FLOOR: drains.decode_encode,
    _FOLDER: drains.extract_to,
    _BUCKET: drains.extract_to,
}
_NOTES = """\
Each contestant is a process of its own with two tables in work at once; libraries are imported before its clock starts.
The server's answers were made beforehand and it runs in a process of its own, as the bucket does: neither's processor
time is counted, but both take turns with the contestant on the same processors, so trust the CPU seconds, not the wall.
Bytes are Arrow's, decoded; on the wire they are LZ4. Bypassed in BigQuery's adapter: its two catalogue queries and the
clock's, which go by REST. Session, streams, offsets, decoding, validation, alignment, the look into the future,
encoding, checksums and records are the product's own."""


def main() -> None:
    """Start the servers, run all contestants in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--batch-bytes", type=int, default=4 << 20, help="of an answer, decoded")
    asked = parser.parse_args()
    columns = column_count(chosen_tables(asked.tables))
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    needed = 8 * asked.rows * 1_500 + BYTES_PER_VALUE * columns * asked.rows * (1 + asked.rounds)
    found, sent = {name: Runs() for name in _CALLS}, Counts()
    with (
        workplace(asked, needed, what) as home,
        beside(reads_server, str(home), asked.tables, asked.rows, asked.batch_bytes) as reads,
        beside(gcs_server, str(home)) as bucket,
    ):
        for number, name in enumerate(alternating(list(_CALLS), asked.rounds)):
            before = reads.counts()
            folder = home / f"run-{number}"
            run = Apart(limit_seconds=1_200).run(
                _CALLS[name],
                *(reads.address, asked.tables, asked.rows),
                *{_FOLDER: (folder,), _BUCKET: (folder, f"gs://run-{number}")}.get(name, ()),
                environment={"STORAGE_EMULATOR_HOST": bucket.address},
            )
            shutil.rmtree(folder, ignore_errors=True)
            found[name].runs.append(run)
            sent = _since(before, reads)
            print(f"  {name}: {run.outcome or f'{run.cpu_seconds:.1f} CPU s, {run.seconds:.1f} s'}", flush=True)
    _write(f"{what}, {asked.rounds} rounds", found, sent)


def _since(before: Counts, server: Beside) -> Counts:
    return {name: value - before[name] for name, value in server.counts().items()}


def _write(what: str, found: dict[str, Runs], sent: Counts) -> None:
    if failed := {name: runs.outcome for name, runs in found.items() if runs.outcome}:
        sys.exit(f"failed: {failed}")
    rows = {run.result for runs in found.values() for run in runs.runs}
    gigabytes, drain = sent["decoded_bytes"] / 1e9, found[_DRAIN].cpu_seconds
    decode = found[_DECODE].cpu_seconds
    lines = [
        [
            name,
            f"{runs.cpu_seconds / gigabytes:.2f}",
            f"{runs.cpu_seconds / drain:.2f}",
            f"{runs.cpu_seconds / decode:.2f}",
            f"{runs.seconds:.1f}",
            runs.spread,
            f"{runs.peak_bytes / 1e6:,.0f}",
        ]
        for name, runs in found.items()
    ]
    head = ["", "CPU s/GB", "x bare drain", "x drain + decode", "median wall s", "from-to s", "peak MB"]
    claims = _claims({name: runs.cpu_seconds for name, runs in found.items()})
    claims |= {f"every contestant read the same {max(rows):,} rows": len(rows) == 1}
    floor = drain + found[_FLOOR].cpu_seconds
    distances = ", ".join(f"{name} {found[name].cpu_seconds / floor:.2f}x" for name in (_FOLDER, _BUCKET))
    limit = (
        f"The limit: a bare drain, and decoding and encoding the same tables in memory, take {floor / gigabytes:.2f} "
        f"CPU s/GB together, {floor / drain:.2f}x the bare drain. Of that limit: {distances}."
    )
    text = (
        f"## Extraction\n\n{what}: {gigabytes:.2f} GB of Arrow, {sent['wire_bytes'] / 1e9:.2f} GB on the wire, "
        f"in {sent['batches']:,.0f} answers of {sent['sessions']:,.0f} sessions. CPU seconds are the median."
    )
    write_section("extract", "\n\n".join((text, table(head, lines), limit, bars(claims), _NOTES)), PAIR_DOCUMENT)
    sys.exit(0 if all(claims.values()) else 1)


def _claims(cpu: dict[str, float]) -> dict[str, bool]:
    """Return the bars against both kinds of drain, because a message that is dropped undecoded yields no rows."""
    drains_ = {"a drain that drops undecoded messages": cpu[_DRAIN], "a drain that decodes them": cpu[_DECODE]}
    claims: dict[str, bool] = {}
    for name, bar in ((_READ, _READ_BAR), (_FOLDER, _WHOLE_BAR), (_BUCKET, _WHOLE_BAR)):
        for drain, seconds in drains_.items():
            ratio = cpu[name] / seconds
            claims[f"{name} takes {ratio:.2f}x the CPU of {drain} (bar {bar}x)"] = ratio <= bar
    return claims


if __name__ == "__main__":
    main()
