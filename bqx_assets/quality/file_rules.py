"""Judges the file as bytes: whether it is there, readable, of this pair, and unchanged since it was written."""

from __future__ import annotations

from bqx_assets.base.artifacts import PAIR_KEY
from bqx_assets.base.content import file_digest
from bqx_assets.base.errors import FooterError
from bqx_assets.quality.integrity import FOOTER, SPLICED
from bqx_assets.quality.report import Finding, count, listed, no_manifest, not_recorded, sample
from bqx_assets.quality.scan import Scan

_DIGITS = 16
"""Number of digits of a content digest in a verdict's sentence; the evidence has all 64."""


def exists(scan: Scan) -> Finding:
    """Judge whether there is a file."""
    there = scan.size_bytes is not None
    return Finding(
        passed=there,
        got=f"{scan.size_bytes:,} bytes" if there else "no such file",
        expected="a file",
        cure=f"Make it: bqx merge {scan.pair}",
        evidence={"size_bytes": scan.size_bytes},
    )


def readable(scan: Scan) -> Finding:
    """Judge whether the footer can be read and, in a deep pass, every column."""
    lost = [column.name for column in scan.columns if column.nulls is None] if scan.deep else []
    reasons = scan.unreadable or ["the file is missing"] * (scan.size_bytes is None)
    if scan.footer is not None and not reasons and not lost:
        how = "footer and every value" if scan.deep else "footer"
        return Finding(passed=True, got=f"{how} read", expected="a whole parquet file")
    got = listed(reasons)
    if lost:
        why = f", in damaged parts {listed(scan.damaged)}" if scan.damaged else ""
        got = f"{got}; " * bool(got) + f"{count(len(lost), 'column')} not decoded{why}: {listed(lost)}"
    return Finding(
        passed=False,
        got=got,
        expected="a whole parquet file",
        cure=f"Make the file again: bqx merge {scan.pair}",
        evidence={"reasons": sample(reasons), "columns": sample(lost)},
    )


def of_this_pair(scan: Scan) -> Finding | None:
    """Judge whether the file's own metadata and its manifest name the pair that was asked for."""
    if scan.footer is None:
        return None
    manifest = scan.manifest
    try:
        named = {"file": scan.footer.metadata().get(PAIR_KEY)}
    except FooterError:
        named = {"file": None}
    if manifest is not None:
        named |= {"manifest": manifest.pair, "extraction": manifest.extraction.pair}
        spines = [slab.provenance.pair for slab in manifest.extraction.slabs if slab.provenance.role == "spine"]
        named |= {"spine": ", ".join(spines)}
    wrong = {place: pair for place, pair in named.items() if pair != scan.pair.name}
    silent = manifest is None and named["file"] is None
    return Finding(
        passed=not wrong,
        severity="warn" if silent else None,
        got=", ".join(f"{place}: {pair or 'no pair named'}" for place, pair in (wrong or named).items()),
        expected=scan.pair.name,
        cure="The file does not name its pair." if silent else "Name the file's own pair, or make this pair's file.",
        evidence=dict(named),
    )


def checksum(scan: Scan) -> Finding | None:
    """Judge whether all bytes are those that were written. A shallow pass of a local file compares only the size."""
    if scan.size_bytes is None:
        return None
    if scan.manifest is None:
        return no_manifest("the size and CRC32C that the manifest records")
    recorded = scan.manifest.file
    same_size = scan.size_bytes == recorded.size_bytes
    known = {"by the store": scan.stored_crc32c, "as read": scan.crc32c}
    found = {where: crc for where, crc in known.items() if crc is not None}
    if same_size and not found:
        return None
    # The manifest of a joined file records one SHA-256 of all bytes, that of a splice one for each slab and the footer.
    forged = scan.manifest.engine not in SPLICED and bool(scan.damaged)
    crcs = ", ".join(f"crc32c {crc:08x} {where}" for where, crc in found.items())
    return Finding(
        passed=same_size and {*found.values()} == {recorded.crc32c} and not forged,
        got=f"{scan.size_bytes:,} bytes, {crcs or 'not read'}{', another SHA-256' * forged}",
        expected=f"{recorded.size_bytes:,} bytes, crc32c {recorded.crc32c:08x}",
        cure=f"The file was changed or damaged after the merge: bqx merge {scan.pair}",
    )


def footer_checksum(scan: Scan) -> Finding | None:
    """Judge size and footer: the CRC32C of the footer and of the slabs as recorded must give that of the whole file."""
    if scan.size_bytes is None:
        return None
    if scan.manifest is None:
        return no_manifest("the footer that the manifest records")
    recorded = scan.manifest.file
    same_size = scan.size_bytes == recorded.size_bytes
    size = f"{scan.size_bytes:,} bytes"
    if scan.end_crc32c is None:  # the file is not a splice: the manifest does not record where its footer begins
        return Finding(passed=same_size, got=size, expected=f"{recorded.size_bytes:,} bytes")
    known = recorded.end_sha256
    same = same_size and scan.end_crc32c == recorded.crc32c
    if same and known is None:
        return not_recorded(f"{size}, by CRC32C the recorded ones; no SHA-256 of the footer is recorded", scan.pair)
    forged = known is not None and scan.end_sha256 != known
    end = f"a footer of {'another' if forged else 'the recorded'} SHA-256"
    return Finding(
        passed=same and not forged,
        got=f"{size}, crc32c {scan.end_crc32c:08x} with the slabs as recorded, {end}",
        expected=f"{recorded.size_bytes:,} bytes, crc32c {recorded.crc32c:08x}, a footer of the recorded SHA-256",
        cure=f"The file's end was changed or damaged after the merge: bqx merge {scan.pair}",
        evidence={"footer_sha256": scan.end_sha256, "recorded_footer_sha256": known},
    )


def slabs_intact(scan: Scan) -> Finding | None:
    """Judge each slab's bytes inside the file against the slab's own record, and name the damaged tables."""
    if scan.size_bytes is None:
        return None
    if scan.manifest is None:
        return no_manifest("the slabs that the manifest records")
    if scan.crc32c is None:
        return None
    slabs = scan.manifest.extraction.slabs
    if scan.manifest.engine not in SPLICED:
        return Finding(
            passed=True,
            got="joined, not spliced: no slab's bytes are in the file, and its checksum covers all of it",
            expected="every slab's bytes as recorded, in a spliced file",
        )
    damaged = [name for name in scan.damaged if name != FOOTER]
    silent = [slab.table for slab in slabs if any(piece.sha256 is None for piece in slab.pieces)]
    if silent and not damaged:
        got = f"{len(slabs):,} intact by CRC32C; no SHA-256 is recorded of {count(len(silent), 'slab')}"
        return not_recorded(f"{got}: {listed(silent)}", scan.pair)
    return Finding(
        passed=not damaged,
        got=f"{count(len(damaged), 'damaged slab')}: {listed(damaged)}"
        if damaged
        else f"{len(slabs):,} intact by SHA-256",
        expected=f"{count(len(slabs), 'slab')} as recorded",
        cure=f"Merge again; if that does not help: bqx extract {scan.pair} "
        + " ".join(f"--table {name}" for name in damaged[:5]),
        evidence={"damaged": sample(damaged)},
    )


def content_digest(scan: Scan) -> Finding | None:
    """Judge the values by the digest that was computed before they were encoded, and name the columns that differ."""
    recorded = scan.recorded_content()
    if not scan.deep or scan.footer is None:
        return None
    if scan.manifest is None and not recorded:
        return no_manifest("the content digest that the manifest records")
    if scan.manifest is not None and "manifest" not in recorded:
        return not_recorded("no content digest is recorded", scan.pair)
    found = {column.name: column.content for column in scan.columns if column.content is not None}
    if len(found) < len(scan.columns):
        return None
    digest = file_digest(found.items())
    slabs = scan.manifest.extraction.slabs if scan.manifest is not None else ()
    known = {c.name: content for s in slabs for c, content in zip(s.provenance.columns, s.content, strict=False)}
    others = [name for name in {**known, **found} if known.get(name) != found.get(name)] if known else []
    stated: dict[str, list[str]] = {}
    for place, each in recorded.items():
        stated.setdefault(each, []).append(place)
    where = f", other values in {count(len(others), 'column')}: {listed(others)}" * bool(others)
    return Finding(
        passed={*stated} == {digest},
        got=f"{digest[:_DIGITS]}{where}",
        expected="; ".join(f"{each[:_DIGITS]}, by the {' and the '.join(places)}" for each, places in stated.items()),
        cure=f"The values were changed after they were extracted: bqx extract {scan.pair}, then bqx merge {scan.pair}",
        evidence={"digest": digest, "columns": sample(others)},
    )
