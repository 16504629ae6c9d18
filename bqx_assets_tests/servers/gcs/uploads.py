"""Takes uploads: in one request of several parts, or resumable in chunks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bqx_assets_tests.servers.gcs.bucket import Bucket, Json, Refused, Stored

_CHUNK_UNIT = 256 * 1024


@dataclass
class Session:
    """A resumable upload under way."""

    name: str
    resource: Json
    query: dict[str, str]
    data: bytes = b""
    done: Stored | None = None


def split_multipart(content_type: str, body: bytes) -> tuple[Json, bytes]:
    """Return the object resource and the bytes of a ``multipart/related`` body."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if found is None:
        raise Refused(400, "invalid", "no boundary")
    mark = b"--" + found.group(1).encode()
    _, resource, media, end = body.split(mark)
    if not end.startswith(b"--"):
        raise Refused(400, "invalid", "the body does not end")
    document = json.loads(resource.partition(b"\r\n\r\n")[2])
    return document, media.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def store_chunk(
    bucket: Bucket, session: Session, payload: bytes, content_range: str, stated_hash: str
) -> Stored | None:
    """Keep the new bytes of a chunk; return the object once it is complete, if checksums and preconditions hold."""
    if session.done is not None:
        return session.done
    found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range)
    if found is None:
        raise Refused(400, "invalid", "Content-Range")
    first, last, total = found.groups()
    if first is not None:
        if int(first) > len(session.data):
            raise Refused(503, "backendError", "a gap before this chunk")
        whole = len(payload) == int(last) - int(first) + 1
        if whole and total == "*" and len(payload) % _CHUNK_UNIT:
            raise Refused(400, "invalid", "chunks are multiples of 256 KiB")
        session.data += payload[len(session.data) - int(first) :]
    if total == "*" or len(session.data) < int(total):
        return None
    hashes = dict(word.split("=", 1) for word in stated_hash.split(",") if "=" in word)
    session.done = bucket.put(
        session.name,
        session.data,
        session.query,
        metadata=session.resource.get("metadata"),
        crc32c=hashes.get("crc32c") or session.resource.get("crc32c"),
        md5=session.resource.get("md5Hash"),
    )
    return session.done
