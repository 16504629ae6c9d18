"""Answers requests: the JSON API as google-cloud-storage uses it, and the XML paths that Polars reads."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from urllib.parse import unquote

from bqx_assets_tests.servers.gcs.bucket import Bucket, Json, Refused, Stored
from bqx_assets_tests.servers.gcs.faults import Log
from bqx_assets_tests.servers.gcs.refusals import check_access, check_patch, check_state
from bqx_assets_tests.servers.gcs.requests import Answer, Request
from bqx_assets_tests.servers.gcs.uploads import Session, split_multipart, store_chunk

_API = "/storage/v1/b"


Routed = tuple[str, str, Callable[[], Answer]]


class Service:
    """The service: all buckets, and the uploads under way."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.sessions: dict[str, Session] = {}
        self.log = Log()
        self.denied: frozenset[str] = frozenset()
        """The permissions that the account lacks."""

    def bucket(self, name: str) -> Bucket:
        """Return the bucket, which is made if there is none."""
        return self.buckets.setdefault(name, Bucket(name))

    def route(self, request: Request) -> Routed:
        """Return the operation of a request, its object, and what it does once it is allowed."""
        operation, name, action = self._route(request)
        words = [unquote(word) for word in request.path.partition(f"{_API}/")[2].split("/") if word]
        bucket = self.buckets.get(words[0]) if words else None

        def allowed() -> Answer:
            check_access(operation, bucket, name, self.denied)
            if bucket is not None:
                check_state(operation, bucket, name, request.query)
            return action()

        return operation, name, allowed

    def _route(self, request: Request) -> Routed:
        path = request.path
        for prefix, route in (("/upload", self._upload), ("/download", self._object), ("", self._object)):
            if path.startswith(f"{prefix}{_API}"):
                words = path.removeprefix(f"{prefix}{_API}").strip("/").split("/")
                return route(request, [unquote(word) for word in words if word])
        bucket, _, name = unquote(path).strip("/").partition("/")
        return f"xml.{request.method.lower()}", name, lambda: self._media(request, self._bucket(bucket), name)

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[name]

    def _of_object(self, name: str, wanted: str) -> Bucket:
        """Return the bucket of an object to read or delete; without a bucket the answer is "No such object" as well."""
        if name not in self.buckets:
            raise Refused(404, "notFound", f"No such object: {name}/{wanted}")
        return self.buckets[name]

    def _object(self, request: Request, words: list[str]) -> Routed:  # noqa: PLR0911 -- one case a call of the API
        match (request.method, words):
            case "POST", []:
                return (
                    "bucket.insert",
                    "",
                    lambda: as_json(self.bucket(json.loads(request.payload)["name"]).resource()),
                )
            case "GET", [bucket]:
                return "bucket.get", bucket, lambda: as_json(self._bucket(bucket).resource())
            case "PATCH", [bucket]:
                changes = json.loads(request.payload)
                return "bucket.patch", bucket, lambda: self._patch(request, self._bucket(bucket), changes)
            case "GET", [bucket, "o"]:
                return "object.list", request.query.get("prefix", ""), lambda: self._list(request, self._bucket(bucket))
            case "POST", [bucket, "o", name, "compose"]:
                return "object.compose", name, lambda: self._compose(request, self._bucket(bucket), name)
            case "GET", [bucket, "o", name] if request.query.get("alt") == "media":
                return "object.media", name, lambda: self._media(request, self._of_object(bucket, name), name)
            case "GET", [bucket, "o", name]:
                return (
                    "object.get",
                    name,
                    lambda: as_json(self._found(request, self._of_object(bucket, name), name).resource(bucket)),
                )
            case "DELETE", [bucket, "o", name]:
                return "object.delete", name, lambda: self._delete(request, self._of_object(bucket, name), name)
            case "POST", [bucket, "o", name, "rewriteTo" | "copyTo" as verb, "b", other, "o", target]:
                made = lambda: self._copy(request, self._bucket(bucket), name, self._bucket(other), target)  # noqa: E731
                wrapped = {"kind": "storage#rewriteResponse", "done": True}
                return (
                    f"object.{verb}",
                    target,
                    lambda: as_json(made() if verb == "copyTo" else wrapped | {"resource": made()}),
                )
            case _:
                raise Refused(400, "invalid", f"{request.method} {'/'.join(words)}")

    def _patch(self, request: Request, bucket: Bucket, changes: Json) -> Answer:
        check_patch(bucket, changes)
        return as_json(bucket.patch(changes, request.query))

    def _found(self, request: Request, bucket: Bucket, name: str) -> Stored:
        generation = request.query.get("generation")
        bucket.check(name, request.query)
        return bucket.find(name, int(generation) if generation else None)

    def _list(self, request: Request, bucket: Bucket) -> Answer:
        every = bucket.listing(request.query.get("prefix", ""), versions=request.query.get("versions") == "true")
        first, most = int(request.query.get("pageToken", 0)), int(request.query.get("maxResults", 1000))
        found: Json = {"kind": "storage#objects"}
        found["items"] = [each.resource(bucket.name) for each in every[first : first + most]]
        if len(every) > first + most:
            found["nextPageToken"] = str(first + most)
        return as_json(found)

    def _compose(self, request: Request, bucket: Bucket, name: str) -> Answer:
        return as_json(bucket.compose(name, json.loads(request.payload), request.query).resource(bucket.name))

    def _delete(self, request: Request, bucket: Bucket, name: str) -> Answer:
        bucket.delete(name, request.query)
        return Answer(204)

    def _copy(self, request: Request, bucket: Bucket, name: str, other: Bucket, target: str) -> Json:
        generation = request.query.get("sourceGeneration")
        source = bucket.find(name, int(generation) if generation else None)
        made = other.put(target, source.data, request.query, metadata=source.metadata, components=source.components)
        return made.resource(other.name)

    def _media(self, request: Request, bucket: Bucket, name: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "methodNotAllowed")
        stored = self._found(request, bucket, name)
        headers = {
            "x-goog-generation": str(stored.generation),
            "x-goog-hash": f"crc32c={stored.crc32c}",
            "ETag": f'"{stored.generation}"',
            "Last-Modified": stored.updated.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "Accept-Ranges": "bytes",
        }
        start, end = _range(request.headers.get("range"), len(stored.data))
        body = stored.data[start:end]
        whole = len(body) == len(stored.data)
        if not whole or request.headers.get("range"):
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(stored.data)}"
        if request.method == "HEAD":
            return Answer(200, b"", headers | {"Content-Length": str(len(body))})
        self.log.downloaded_bytes += len(body)
        self.log.ranges.append((name, start, len(body)))
        return Answer(206 if "Content-Range" in headers else 200, body, headers)

    def _upload(self, request: Request, words: list[str]) -> Routed:
        bucket, query = self._bucket(words[0]), request.query
        if request.method == "PUT" or "upload_id" in query:
            session = self.sessions.get(query.get("upload_id", ""))
            if session is None:
                raise Refused(410, "")
            return "object.chunk", session.name, lambda: self._chunk(request, bucket, session)
        if query.get("uploadType") == "multipart":
            resource, data = split_multipart(request.headers["content-type"], request.payload)
            name = query.get("name") or resource["name"]
            return "object.insert", name, lambda: self._insert(request, bucket, name, resource, data)
        if query.get("uploadType") == "media":
            return (
                "object.insert",
                query["name"],
                lambda: self._insert(request, bucket, query["name"], {}, request.payload),
            )
        resource = json.loads(request.payload or b"{}")
        name = query.get("name") or resource["name"]
        return "object.start", name, lambda: self._start(request, bucket, name, resource)

    def _insert(self, request: Request, bucket: Bucket, name: str, resource: Json, data: bytes) -> Answer:
        self.log.uploaded_bytes += len(data)
        made = bucket.put(
            name,
            data,
            request.query,
            metadata=resource.get("metadata"),
            crc32c=resource.get("crc32c"),
            md5=resource.get("md5Hash"),
        )
        return as_json(made.resource(bucket.name))

    def _start(self, request: Request, bucket: Bucket, name: str, resource: Json) -> Answer:
        bucket.check(name, request.query)
        token = secrets.token_urlsafe(24)
        self.sessions[token] = Session(name, resource, dict(request.query))
        location = f"{request.host}/upload{_API}/{bucket.name}/o?uploadType=resumable&upload_id={token}"
        return Answer(200, b"", {"Location": location})

    def _chunk(self, request: Request, bucket: Bucket, session: Session) -> Answer:
        before = len(session.data)
        done = store_chunk(
            bucket, session, request.payload, request.headers["content-range"], request.headers.get("x-goog-hash", "")
        )
        self.log.uploaded_bytes += len(session.data) - before
        if done is not None:
            return as_json(done.resource(bucket.name))
        return Answer(308, b"", {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {})


def as_json(document: Json) -> Answer:
    """Return a document as an answer."""
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def _range(header: str | None, size: int) -> tuple[int, int]:
    if not header:
        return 0, size
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    if int(first) >= size:
        raise Refused(416, "requestedRangeNotSatisfiable")
    return int(first), min(size, int(last) + 1 if last else size)
