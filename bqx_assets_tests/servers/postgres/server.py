"""``postgres_server``: a PostgreSQL on 127.0.0.1 and a Unix socket, with one user whose password is asked for."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from bqx_assets_tests.servers.postgres.install import programs, why_not

USER = "bqx"
_START_SECONDS = 30.0
_BOUND_SECONDS = 120
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=200")
"""Settings for speed: no data has to survive a crash of the machine."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. ``socket_folder`` stands for ``/cloudsql/{instance}``, where Cloud Run puts such a socket."""

    port: int
    socket_folder: Path
    password: str

    def url(self, database: str, *, scheme: str = "postgresql") -> str:
        """Return the URL over TCP. The password has characters that a URL must encode."""
        return f"{scheme}://{USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str, *, scheme: str = "postgresql") -> str:
        """Return the URL over the Unix socket, in the form documented for Cloud SQL."""
        place = f"host={self.socket_folder}&port={self.port}"
        return f"{scheme}://{USER}:{quote(self.password, safe='')}@/{database}?{place}"

    def create(self, database: str) -> str:
        """Make an empty database and return its name."""
        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        connection.close()
        return database


@contextmanager
def postgres_server() -> Generator[PostgresServer]:
    """Run a server on a folder of its own; both are gone afterwards.

    Raises:
        FileNotFoundError: there are no programs. A fixture asks ``programs`` first and skips by name.
    """
    found = programs()
    if found is None:
        raise FileNotFoundError(why_not())
    folder = Path(tempfile.mkdtemp(prefix="bqx-postgres-"))
    account = _account()
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        password = f"{secrets.token_urlsafe(12)}@:/?#%&+ '{secrets.token_urlsafe(4)}"
        _initialise(found, folder, password)
        with _running(found, folder, password) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """Return the user to run as: PostgreSQL refuses root, so then its package's user, or nobody."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name: each for each in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _start(words: list[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start one of PostgreSQL's programs as the folder's owner, without this process's environment."""
    owner = folder.stat()
    root = os.geteuid() == 0
    environment = {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}
    with log.open("wb") as output:
        return subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
            extra_groups=() if root else None,
        )


def _initialise(found: Path, folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    os.chown(secret, folder.stat().st_uid, folder.stat().st_gid)
    words = [str(found / "initdb"), "--pgdata", str(folder / "data"), "--username", USER, "--pwfile", str(secret)]
    words += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
    process = _start(words, folder, folder / "initdb.log")
    assert process.wait(_BOUND_SECONDS) == 0, (folder / "initdb.log").read_text()
    secret.unlink()


@contextmanager
def _running(found: Path, folder: Path, password: str) -> Generator[PostgresServer]:
    server = PostgresServer(_free_port(), folder, password)
    settings = [*_FAST, "listen_addresses=127.0.0.1", f"port={server.port}", f"unix_socket_directories={folder}"]
    words = [str(found / "postgres"), "-D", str(folder / "data"), *(word for each in settings for word in ("-c", each))]
    process = _start(words, folder, folder / "log")
    try:
        _await(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: SIGTERM would wait until every connection is closed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _await(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            psycopg2.connect(server.socket_url("postgres")).close()
        except psycopg2.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
