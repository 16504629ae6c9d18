"""This machine or container: memory, processors, disk, and whether the disk is memory.

Belongs here: what a pair may use here. Does not: what a stage needs of it (the stages' own pre-flights).
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from bqx_assets.base.process import disk_free_bytes, is_memory, memory_free_bytes, memory_limit_bytes, worker_count
from bqx_assets.base.progress import Silent
from bqx_assets.doctor.bucket import LIST
from bqx_assets.doctor.case import Case, Probe
from bqx_assets.doctor.report import Finding, missing, noted, passed
from bqx_assets.doctor.warehouse import READS, sized
from bqx_assets.extract.job import Extraction
from bqx_assets.extract.plan import refuse_over_memory

THEME = "machine"
_GIB = 1 << 30
_LEAST_BYTES = 1 << 30
"""A pair of 100,000 minutes was measured at a peak of 1.3 GB, one of a few thousand at 0.5."""
_FILE_SHARE = 0.4
"""Bytes of a training file a byte read: 9.7 of 24.9 GB (``cli/ways.toml``)."""
_COPIES = 3
"""Slabs, training file, published file."""


def machine_probes(case: Case) -> Iterator[Probe]:
    """Yield the probes of memory, processors and disk."""
    yield Probe(THEME, "memory", _memory)
    needs = (READS, LIST) if case.in_bucket else (READS,)
    yield Probe(THEME, "memory of a run", _pair_memory, needs=needs)
    yield Probe(THEME, "processors", _processors)
    yield Probe(THEME, "file system", _file_system)
    yield Probe(THEME, "disk", _disk, needs=(READS,))


def _memory(_: Case) -> Finding:
    limit, free = memory_limit_bytes(), memory_free_bytes()
    machine = int(psutil.virtual_memory().total)
    whose = "the container's limit" if limit < machine else "the machine's"
    said = f"{limit / _GIB:,.1f} GiB, {whose}; {max(free, 0) / _GIB:,.1f} free"
    if free < _LEAST_BYTES:
        return missing(
            said, "Give the container 2 GiB (job.yaml, memory: 2Gi), or end other programs.", reason="memory"
        )
    return passed(said)


def _processors(case: Case) -> Finding:
    workers = case.settings.workers or worker_count()
    return passed(f"{worker_count()}; {workers} tables at once")


def _pair_memory(case: Case) -> Finding:
    """The extraction's own estimate, by the rows that are asked for and where slabs' files would lie."""
    slabs = case.pipeline.slabs(case.pair)
    job = Extraction(case.pair, case.warehouse, slabs, case.settings, case.expectations, Silent())
    refuse_over_memory(job, case.catalogue)
    return passed(f"{case.pair} fits into {memory_limit_bytes() / _GIB:,.1f} GiB, by the estimate")


def _file_system(case: Case) -> Finding:
    home = case.settings.home.absolute()
    if not is_memory(home):
        return passed(f"{home} is on a disk")
    said = f"{home} is memory: each file there counts"
    if case.in_bucket:
        return passed(f"{said}; slabs and training files go to the bucket")
    return noted(said, "Set BQX_HOME to a folder on a disk, or BQX_OUTPUT to a bucket.")


def _disk(case: Case) -> Finding:
    free = disk_free_bytes(case.settings.home.absolute())
    said = f"{sized(free)} free for {case.settings.home.absolute()}"
    if case.in_bucket:
        return passed(f"{said}; slabs and training files go to the bucket")
    file = case.read_bytes * _FILE_SHARE
    said = f"{said}; a training file takes about {sized(file)}, its slabs as much"
    cure = "Free space, set BQX_HOME to a larger disk, or narrow BQX_LAST, or else BQX_START and BQX_END."
    if free < 2 * file:
        return missing(said, cure, reason="disk")
    return noted(f"{said}, its published copy, too", cure) if free < _COPIES * file else passed(said)
