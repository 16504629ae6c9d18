"""Sends messages to people: to a webhook and by e-mail, with bounded waits, verified TLS and no secret in any text.

The client is the standard library's: others log a webhook's path, which is its secret, with each request.
"""

from __future__ import annotations

import http.client
import json
import re
import smtplib
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parsedate_to_datetime
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

from bqx_assets.base.errors import AlertNotSent
from bqx_assets.base.printable import first_line, printable
from bqx_assets.base.retry import RETRIES
from bqx_assets.fleet.alert_settings import AlertSettings
from bqx_assets.fleet.mailbox import Mailbox
from bqx_assets.fleet.messages import Fault, Message

_LONGEST_WAIT_SECONDS = 86_400.0
_SHOWN = 200
_TRUST = (
    "Its certificate must be valid for the name in the address and signed by an authority that this machine trusts;"
    " SSL_CERT_FILE names a file with others."
)
_AGAIN = "It is sent again at the sensor's next look. If it goes on, check address, proxy (HTTPS_PROXY) and firewall."
_NEW_WEBHOOK = "Make a new webhook for the channel and set BQX_ALERT_WEBHOOK to its address."
_SIGN_IN = "Correct BQX_ALERT_USER and BQX_ALERT_PASSWORD; many providers want a password made for this program alone."


class Receiver(Protocol):
    """A place that people read messages in."""

    name: str

    def send(self, message: Message) -> str:
        """Deliver a message and return what the receiver answered. Raises AlertNotSent."""
        ...


class _Passing(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, got: str, cure: str, asked_seconds: float = 0.0) -> None:
        super().__init__(got)
        self.got, self.cure, self.asked_seconds = got, cure, asked_seconds


class Webhook:
    """An incoming webhook that takes Slack's JSON documents."""

    name = "webhook"

    def __init__(self, settings: AlertSettings) -> None:
        assert settings.alert_webhook is not None  # noqa: S101 -- see receivers
        self._address, self._ui_url = settings.alert_webhook.get_secret_value(), settings.ui_url
        parts = urlsplit(self._address)
        self._host = parts.netloc
        words = [parts.path, parts.query, *parts.path.split("/"), *re.split("[=&]", parts.query)]
        self._secrets = sorted({word for word in words if len(word) >= 6}, key=len, reverse=True)  # noqa: PLR2004
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )

    def send(self, message: Message) -> str:
        """Post a message. Raises AlertNotSent if the webhook refuses it, or does not answer for several attempts."""
        body = json.dumps(message.payload(self._ui_url)).encode()
        return _repeated(self._subject, lambda: self._post(body))

    @property
    def _subject(self) -> str:
        return f"webhook of {self._host}"

    def _post(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "bqx-assets"}
        request = urllib.request.Request(self._address, body, headers, method="POST")  # noqa: S310 -- see AlertSettings
        try:
            with self._opener.open(request, timeout=RETRIES["alert"].call_seconds) as answer:
                body = answer.read(_SHOWN * 4)
                said = self._said(answer.status, body)
                if body.lstrip().lower().startswith((b"<!doctype", b"<html")):  # Slack calls its "ok" text/html
                    self._fail(f"{said}, a web page: a sign-in or another service answered", _NEW_WEBHOOK)
                return said
        except urllib.error.HTTPError as answer:
            with answer:
                self._refuse(answer.code, answer.headers.get("Retry-After"), _body(answer))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, ssl.SSLCertVerificationError):
                self._fail(f"no trust in its certificate: {reason.verify_message}", _TRUST)
            raise _Passing(f"no answer: {self._hidden(_why(reason))}", _AGAIN) from None

    def _refuse(self, status: int, asked: str | None, body: bytes) -> NoReturn:
        said = self._said(status, body)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Passing(said, _AGAIN, _retry_after(asked))
        if status < http.HTTPStatus.BAD_REQUEST:
            self._fail(
                f"{said}, a redirection, which is not followed: the address is a secret of its host", _NEW_WEBHOOK
            )
        if status in {http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
            self._fail(said, "The server must take Slack's JSON documents; on Discord the address ends with /slack.")
        self._fail(said, _NEW_WEBHOOK)

    def _fail(self, got: str, cure: str) -> NoReturn:
        raise AlertNotSent(self._subject, got=got, expected="a delivered message", cure=cure) from None

    def _said(self, status: int, body: bytes) -> str:
        lines = self._hidden(body.decode(errors="replace")).strip().splitlines()
        return f"{status} {printable(lines[0])[:_SHOWN] if lines else ''}".strip()

    def _hidden(self, text: str) -> str:
        """Return a text without the secret, which a server may quote."""
        for word in self._secrets:
            text = text.replace(word, "…")
        return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for an answer: the address is a secret, and another host must not get it."""

    def redirect_request(self, req: object, fp: object, code: int, msg: str, headers: object, newurl: str) -> None:
        """Return no request."""


class Mail:
    """A mail server that sends to some addresses."""

    name = "e-mail"

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._host, self._port, self._protection = settings.mail_server

    def send(self, message: Message) -> str:
        """Hand a message to the mail server. Raises AlertNotSent if it refuses it or does not answer."""
        letter = self._letter(message)
        return _repeated(self._subject, lambda: self._hand_over(letter))

    @property
    def _subject(self) -> str:
        return f"mail server {self._host}:{self._port}"

    def _letter(self, message: Message) -> EmailMessage:
        """Return the e-mail. Header lines hold printable texts alone, so that none can begin another one."""
        letter = EmailMessage()
        sender = self._settings.alert_from or ""
        letter["Subject"] = f"[bqx] {printable(message.title)[:_SHOWN]}"
        letter["From"], letter["To"] = sender, ", ".join(self._settings.receivers)
        letter["Date"] = format_datetime(datetime.now(UTC))
        letter["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
        letter["Auto-Submitted"] = "auto-generated"  # no holiday note in return
        letter.set_content(message.text(self._settings.ui_url))
        return letter

    def _hand_over(self, letter: EmailMessage) -> str:
        try:
            with self._connected() as server:
                if self._settings.alert_user is not None and self._settings.alert_password is not None:
                    server.login(self._settings.alert_user, self._settings.alert_password.get_secret_value())
                refused = server.send_message(letter)
        except smtplib.SMTPAuthenticationError as error:
            self._fail(f"{error.smtp_code}: name or password refused", _SIGN_IN)
        except smtplib.SMTPRecipientsRefused as error:
            self._fail(f"refused the receivers {', '.join(error.recipients)}", "Correct BQX_ALERT_TO.")
        except smtplib.SMTPResponseException as error:
            said = _answer(error.smtp_code, error.smtp_error)
            if error.smtp_code < 500:  # noqa: PLR2004 -- 4xx is for a time
                raise _Passing(said, _AGAIN) from None
            self._fail(said, "Correct BQX_ALERT_FROM, or let the server send for this address.")
        except smtplib.SMTPNotSupportedError as error:
            self._fail(first_line(error), "Use a port with STARTTLS, mostly 587, or smtps://host:port.")
        except ssl.SSLCertVerificationError as error:
            self._fail(f"no trust in its certificate: {error.verify_message}", _TRUST)
        except OSError as error:
            raise _Passing(f"no answer: {_why(error)}", _AGAIN) from None
        if refused:
            return f"taken, but not for {', '.join(refused)}"
        return f"taken for {len(self._settings.receivers)}"

    def _connected(self) -> smtplib.SMTP:
        """Return the open connection, protected by TLS unless the server is on this machine."""
        context = ssl.create_default_context()
        if self._protection == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=RETRIES["alert"].call_seconds, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=RETRIES["alert"].call_seconds)
        try:
            server.ehlo()
            if self._protection == "starttls" or server.has_extn("starttls"):
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _fail(self, got: str, cure: str) -> NoReturn:
        raise AlertNotSent(self._subject, got=got, expected="a delivered message", cure=cure) from None


def receivers(settings: AlertSettings) -> list[Receiver]:
    """Return the configured receivers; none where alerts are off."""
    found: list[Receiver] = []
    if settings.alert_webhook is not None:
        found.append(Webhook(settings))
    if settings.alert_smtp is not None:
        found.append(Mail(settings))
    return found


def deliver(
    receiver: Receiver, faults: Mapping[str, Fault], box: Mailbox, settings: AlertSettings, now: datetime
) -> tuple[Mailbox, int, AlertNotSent | None]:
    """Send a receiver what is due; return its mailbox, the number of delivered messages, and the error at the end.

    What a slow receiver has not taken in some seconds is due again at the next look.
    """
    told = {key: fault for key, fault in faults.items() if fault.kind in settings.kinds}
    box, sent = box.following(told, settings.kinds), 0
    if box.not_before is not None and now < box.not_before:
        return box, 0, None
    began = time.monotonic()
    for message in box.due(told, now, settings.alert_per_hour):
        if time.monotonic() - began > RETRIES["alert"].call_seconds:  # Dagster ends a sensor after 60 s
            break
        try:
            receiver.send(message)
        except AlertNotSent as error:
            return box.refused(now, error.asked_seconds), sent, error
        box, sent = box.after(message, now), sent + 1
    return box, sent, None


def _body(answer: urllib.error.HTTPError) -> bytes:
    """Return the beginning of a refusal's text; nothing if the connection breaks, because the status says enough."""
    try:
        return answer.read(_SHOWN * 4)
    except (OSError, http.client.HTTPException):
        return b""


def _repeated(subject: str, attempt: Callable[[], str]) -> str:
    """Return the answer of the first attempt that succeeds. Raises AlertNotSent after the last one."""
    policy, began, failures = RETRIES["alert"], time.monotonic(), 0
    while True:
        try:
            return _within(began + policy.patience_seconds - time.monotonic(), attempt)
        except _Passing as error:
            failures += 1
            wait = policy.wait_seconds(failures, error.asked_seconds)
            late = time.monotonic() - began + wait > policy.patience_seconds
            if failures >= policy.attempts or late or error.asked_seconds > policy.longest_asked_seconds:
                raise AlertNotSent(subject, got=error.got, expected="a delivered message", cure=error.cure).asking(
                    error.asked_seconds
                ) from None
        time.sleep(wait)


def _within(seconds: float, attempt: Callable[[], str]) -> str:
    """Return the answer of an attempt. Raises _Passing if it takes longer.

    A socket's timeout begins anew with each byte, so a server that sends one a second held a sensor for minutes. The
    thread of an attempt that is given up ends with its connection, or with the process.
    """
    answer: Future[str] = Future()

    def run() -> None:
        try:
            answer.set_result(attempt())
        except BaseException as error:  # noqa: BLE001 -- the caller raises it
            answer.set_exception(error)

    threading.Thread(target=run, name="alert", daemon=True).start()
    try:
        return answer.result(max(seconds, 0.0))
    except FutureTimeout:
        raise _Passing(f"no whole answer in {seconds:.0f} s", _AGAIN) from None


def _retry_after(text: str | None) -> float:
    """Return the seconds of a ``Retry-After`` header, which gives them or a moment; 0 for any other text."""
    try:
        seconds = float(text or 0)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text or "") - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            seconds = 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS) if seconds == seconds else 0.0  # noqa: PLR0124 -- NaN


def _why(error: object) -> str:
    """Return the reason of a refusal of the network, without an address."""
    text = getattr(error, "strerror", None) or error
    return printable(str(text) or type(error).__name__)[:_SHOWN]


def _answer(code: int, text: bytes | str) -> str:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {printable(' '.join(said.split()))[:_SHOWN]}"
