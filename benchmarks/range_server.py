"""Serves files by HTTP ranges with the latency of a bucket, and counts what is read.

Polars and pyarrow have clients of their own: pyarrow's is the one for S3, which sends the same requests. DuckDB's is an
extension that has to be downloaded, so it reads through ``RangeFiles``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import fsspec.spec  # pyright: ignore[reportMissingTypeStubs]

_PROTOCOL = "range"
_FileSystem: Any = fsspec.AbstractFileSystem
_BufferedFile: Any = fsspec.spec.AbstractBufferedFile


@dataclass(slots=True)
class Served:
    """A running server: its address, and the requests and bytes since ``reset``."""

    address: str = ""
    requests: int = 0
    read_bytes: int = 0
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Begin to count anew."""
        with self.lock:
            self.requests = self.read_bytes = 0

    def count(self, read_bytes: int) -> None:
        """Count one request."""
        with self.lock:
            self.requests += 1
            self.read_bytes += read_bytes

    def wait_for_turn(self, read_bytes: int, bytes_a_second: float) -> None:
        """Wait until a line of that speed, which all connections share, would have brought the bytes."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + read_bytes / bytes_a_second
        time.sleep(max(0.0, self.free_at - time.monotonic()))


@contextmanager
def range_server(folder: Path, latency_seconds: float, bytes_a_second: float = 0) -> Generator[Served]:
    """Serve the files of a folder on a free port; each request waits ``latency_seconds``.

    ``bytes_a_second``: of all connections together; 0 for as many as the machine can.
    """
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        """Answers HEAD and GET with or without a range."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            """Answer with the size."""
            self._answer(body=False)

        def do_GET(self) -> None:
            """Answer with the bytes of the range."""
            self._answer(body=True)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            """Write no log."""

        def _answer(self, *, body: bool) -> None:
            time.sleep(latency_seconds)
            path = folder / Path(self.path).name  # without the name of a bucket
            size_bytes = path.stat().st_size
            start, stop = _range(self.headers.get("Range"), size_bytes)
            self.send_response(200 if stop - start == size_bytes else 206)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size_bytes}")
            self.end_headers()
            served.count(stop - start if body else 0)
            if body and bytes_a_second:
                served.wait_for_turn(stop - start, bytes_a_second)
            if body:
                with path.open("rb") as file:
                    file.seek(start)
                    self.wfile.write(file.read(stop - start))

    class Server(ThreadingHTTPServer):
        """Lets many connections wait: by default a sixth one is refused, and its client tries again a second later."""

        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield served
        server.shutdown()


def _range(header: str | None, size_bytes: int) -> tuple[int, int]:
    """Return the first position of a range and the one behind its last byte."""
    if header is None:
        return 0, size_bytes
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(int(last) + 1 if last else size_bytes, size_bytes)


class RangeFiles(_FileSystem):
    """A file system of URLs ``range://host:port/name``. Each read of a file is one request, nothing is cached."""

    protocol = _PROTOCOL
    cachable = False

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._local = threading.local()

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return the file's name and size."""
        size_bytes = int(self._asked(path, "HEAD")[0]["Content-Length"])
        return {"name": path, "size": size_bytes, "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        """Return the one file of that name, for DuckDB."""
        return [path]

    def modified(self, path: str) -> datetime:
        """Return one time for all files, which never change; DuckDB asks for it."""
        del path
        return datetime.fromtimestamp(0, UTC)

    def fetched(self, path: str, start: int, stop: int) -> bytes:
        """Return a range of a file."""
        return self._asked(path, "GET", {"Range": f"bytes={start}-{stop - 1}"})[1]

    def _open(self, path: str, mode: str = "rb", **_: object) -> _RangeFile:
        return _RangeFile(self, path, mode, cache_type="none")

    def _asked(self, path: str, method: str, headers: dict[str, str] | None = None) -> tuple[Any, bytes]:
        place = urlsplit(path if "://" in path else f"{_PROTOCOL}://{path}")
        connection = getattr(self._local, "connection", None)
        if connection is None:  # one for each thread
            connection = self._local.connection = HTTPConnection(place.netloc)
        connection.request(method, place.path, headers=headers or {})
        response = connection.getresponse()
        return response.headers, cast("bytes", response.read())


class _RangeFile(_BufferedFile):
    """An open file of ``RangeFiles``."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return cast("bytes", self.fs.fetched(self.path, start, end))
