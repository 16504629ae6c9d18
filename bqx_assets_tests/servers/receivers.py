"""Receivers of alerts on 127.0.0.1: a webhook and a mail server, in plain text or with TLS."""

from __future__ import annotations

import asyncio
import email.policy
import json
import ssl
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bqx_assets_tests.servers.local import LocalServer, QuietHandler

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class WebhookServer(LocalServer):
    """A webhook that keeps what it gets, and answers ``200 ok`` or the next of ``answers``."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        super().__init__(_Webhook)
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.paths: list[str] = []
        self.documents: list[dict[str, Any]] = []
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            self.socket = _server_context(certificate).wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """Return scheme, host and port."""
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"

    @property
    def texts(self) -> list[str]:
        """The text of each message, and not of its refused attempts."""
        return [str(each["text"]) for each in self.documents]

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client that does not trust the certificate hangs up."""


class _Webhook(QuietHandler):
    def serve(self) -> None:
        server = cast("WebhookServer", self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.paths.append(self.path)
        status, text, headers = server.answers.pop(0) if server.answers else (200, "ok", {})
        if status == 200:
            server.documents.append(json.loads(body))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


class MailServer:
    """A mail server that keeps the letters it takes; ``refusal`` is its answer to each instead."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.signed_in: list[tuple[str, str]] = []
        self.refusal: str | None = None
        self.port = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a letter."""
        del server, session
        if self.refusal is not None:
            return self.refusal
        self.letters.append(BytesParser(policy=email.policy.default).parsebytes(cast("bytes", envelope.content)))
        self.to.append([str(each) for each in envelope.rcpt_tos])
        return "250 taken"

    def authenticate(self, *facts: object) -> AuthResult:
        """Take the one name and password."""
        given = cast("LoginPassword", facts[-1])
        self.signed_in.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password == b"right-horse", handled=False)


@contextmanager
def mail_server(*, certificate: Path | None = None, tls: bool = False) -> Generator[MailServer]:
    """A running mail server: with a certificate it demands STARTTLS and a password, or is TLS from the first byte."""
    made = MailServer()
    context = None if certificate is None else _server_context(certificate)
    options: dict[str, Any] = {}
    if context is not None:
        starttls = {"tls_context": context, "require_starttls": True, "auth_required": True}
        options = {"authenticator": made.authenticate, **({"auth_require_tls": False} if tls else starttls)}
    # aiosmtpd's own controller makes a first connection that would have to trust the certificate.
    loop, clients = asyncio.new_event_loop(), list[SMTP]()

    def client() -> SMTP:
        clients.append(SMTP(made, loop=loop, hostname="127.0.0.1", **options))
        return clients[-1]

    server = loop.run_until_complete(loop.create_server(client, "127.0.0.1", 0, ssl=context if tls else None))
    made.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(server, clients), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _hang_up(server: asyncio.Server, clients: list[SMTP]) -> None:
    """Close the server and what is left of its connections, so that no socket outlives a test."""
    server.close()
    for client in clients:
        if client.transport is not None:
            cast("Any", client.transport).abort()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)


def make_certificate(folder: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that is its own authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(private + made.public_bytes(pem))
    return file


def _server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
