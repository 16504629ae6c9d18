"""Messages reach real receivers, and neither a refusal nor a hostile text betrays a secret or becomes markup."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from bqx_assets.base.errors import AlertNotSent
from bqx_assets.base.retry import RETRIES
from bqx_assets.fleet.alert_settings import AlertSettings
from bqx_assets.fleet.mailbox import Mailbox
from bqx_assets.fleet.messages import Fault, Message, of_faults, trial
from bqx_assets.fleet.notify import Mail, Webhook, deliver, receivers
from bqx_assets_tests.servers.receivers import WebhookServer, mail_server, make_certificate

SECRET = "T0123/B4567/dZkq8vJx0LmNw2"  # noqa: S105 -- of no channel
NOW = datetime(2026, 1, 4, 5, tzinfo=UTC)
TO = "a@example.com, b@example.com"
HOSTILE = "<!channel> @channel @everyone <https://evil|ok> `x` & \r\nBcc: all@example.com \u202e"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETRIES, "alert", replace(RETRIES["alert"], first_wait_seconds=0.0, call_seconds=2.0))


@pytest.fixture
def hook() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def _webhook(server: WebhookServer) -> Webhook:
    return Webhook(AlertSettings.model_validate({"alert_webhook": f"{server.url}/services/{SECRET}"}))


def _mail(port: int, **more: str) -> Mail:
    found = {
        "alert_smtp": f"127.0.0.1:{port}",
        "alert_from": "bqx@example.com",
        "alert_to": "a@example.com, b@example.com",
    }
    return Mail(AlertSettings.model_validate(found | more))


def _hostile() -> Fault:
    return Fault(kind="run", subject="eurusd", what="feature_slabs failed", parts=("x",), got=HOSTILE, cure=HOSTILE)


def test_without_a_receiver_there_is_none() -> None:
    assert receivers(AlertSettings()) == []


@pytest.mark.usefixtures("trusted")
def test_a_message_reaches_a_webhook_over_tls_that_is_trusted(certificate: Path) -> None:
    with WebhookServer(certificate=certificate) as server:
        assert _webhook(server).send(trial()) == "200 ok"
    assert server.paths == [f"/services/{SECRET}"]
    assert server.texts[0].startswith("*Test of the alerts of bqx*")


def test_a_webhook_whose_certificate_is_not_trusted_gets_nothing(certificate: Path) -> None:
    with (
        WebhookServer(certificate=certificate) as server,
        pytest.raises(AlertNotSent, match=r"no trust in its certificate: .*SSL_CERT_FILE"),
    ):
        _webhook(server).send(trial())
    assert server.paths == []


def test_what_passes_is_tried_again_and_a_short_wait_is_heeded(hook: WebhookServer) -> None:
    hook.answers = [(503, "later", {}), (429, "slowly", {"Retry-After": "0"})]
    assert _webhook(hook).send(trial()) == "200 ok"
    assert len(hook.paths) == 3


def test_a_long_wait_is_left_to_a_later_look(hook: WebhookServer) -> None:
    hook.answers = [(429, "slowly", {"Retry-After": "600"})]
    with pytest.raises(AlertNotSent, match="429 slowly") as refused:
        _webhook(hook).send(trial())
    assert (refused.value.asked_seconds, len(hook.paths)) == (600.0, 1)


@contextmanager
def answering(beginning: bytes, *, reset_seconds: float | None = None) -> Generator[str]:
    """A server that answers a request by ``beginning``, then resets the connection, or sends a byte in 50 ms."""
    over = threading.Event()

    def answer(server: socket.socket) -> None:
        with suppress(OSError):
            taken, _ = server.accept()
            with taken:
                taken.sendall(beginning)
                if reset_seconds is not None:
                    over.wait(reset_seconds)
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                while not over.wait(0.05):
                    taken.sendall(b"y")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/services/{SECRET}"
        over.set()
        thread.join()


def test_a_refusal_whose_text_breaks_off_is_still_that_refusal() -> None:
    with (
        answering(b"HTTP/1.1 404 none\r\nContent-Length: 900\r\n\r\nno", reset_seconds=0.2) as address,
        pytest.raises(AlertNotSent, match="404"),
    ):
        Webhook(AlertSettings.model_validate({"alert_webhook": address})).send(trial())


def test_a_receiver_that_answers_byte_by_byte_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETRIES, "alert", replace(RETRIES["alert"], patience_seconds=0.5))
    with answering(b"HTTP/1.1 500 broken\r\nX: ") as address:
        began = time.monotonic()
        with pytest.raises(AlertNotSent, match="no whole answer in 0 s"):
            Webhook(AlertSettings.model_validate({"alert_webhook": address})).send(trial())
        assert time.monotonic() - began < 3


def test_a_slow_receiver_gets_the_rest_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        name = "slow"

        def send(self, message: Message) -> str:
            clock[0] += 1.5
            return message.title

    clock = [0.0]
    monkeypatch.setattr("bqx_assets.fleet.notify.time", SimpleNamespace(monotonic=lambda: clock[0]))
    faults = {each.key: each for each in (_fault(pair) for pair in ("eurusd", "gbpusd", "usdjpy", "usdchf"))}
    box, sent, error = deliver(Slow(), faults, Mailbox(), AlertSettings(), NOW)
    assert (sent, box.waiting(faults), error) == (2, 2, None)
    assert deliver(Slow(), faults, box, AlertSettings(), NOW)[1] == 2


def _fault(pair: str) -> Fault:
    return Fault(kind="run", subject=pair, what=f"{pair} failed", parts=("x",))


def test_attempts_are_few(hook: WebhookServer) -> None:
    hook.answers = [(500, "broken", {})] * 9
    with pytest.raises(AlertNotSent, match="500 broken"):
        _webhook(hook).send(trial())
    assert len(hook.paths) == RETRIES["alert"].attempts


@pytest.mark.parametrize("page", ["<!DOCTYPE html><title>Sign in</title>", "\n<html lang=en>"])
def test_a_web_page_is_no_delivery(hook: WebhookServer, page: str) -> None:
    hook.answers = [(200, page, {})]
    with pytest.raises(AlertNotSent, match=r"200 <.*a web page"):
        _webhook(hook).send(trial())
    assert len(hook.paths) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(hook: WebhookServer, status: int) -> None:
    with WebhookServer() as other:
        hook.answers = [(status, "moved", {"Location": f"{other.url}/{SECRET}"})]
        with pytest.raises(AlertNotSent, match=f"{status} moved, a redirection, which is not followed"):
            _webhook(hook).send(trial())
    assert (other.paths, len(hook.paths)) == ([], 1)


@pytest.mark.parametrize(
    ("status", "said", "cure"),
    [
        (404, "no_service", "new webhook"),
        (403, "invalid_token", "new webhook"),
        (400, "no_text", "Slack's JSON"),
    ],
)
def test_a_lasting_refusal_is_told_as_it_was_answered_with_a_cure(
    hook: WebhookServer, status: int, said: str, cure: str
) -> None:
    hook.answers = [(status, f"{said}\n<html>", {})]
    with pytest.raises(AlertNotSent, match=f"webhook of 127.0.0.1:.*{status} {said}, expected .*{cure}"):
        _webhook(hook).send(trial())
    assert len(hook.paths) == 1


def test_no_text_of_a_failure_holds_the_secret(
    hook: WebhookServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = list[str]()
    hook.answers = [(404, f"no page {hook.url}/services/{SECRET} and {SECRET.rpartition('/')[2]}", {})]
    receiver = _webhook(hook)
    for _ in range(2):
        with pytest.raises(AlertNotSent) as refused:
            receiver.send(trial())
        said += [
            str(refused.value),
            repr(refused.value),
            repr(refused.value.__cause__),
            repr(refused.value.__context__),
        ]
        hook.shutdown()
        hook.server_close()
    captured = capfd.readouterr()
    for word in SECRET.split("/")[2:]:
        assert word not in "".join([*said, caplog.text, captured.out, captured.err])
    settings = AlertSettings.model_validate({"alert_webhook": f"{hook.url}/services/{SECRET}"})
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_texts_of_others_mention_nobody_and_are_no_markup(hook: WebhookServer) -> None:
    _webhook(hook).send(of_faults([_hostile()]))
    (document,) = hook.documents
    for text in (document["text"], *(block["text"]["text"] for block in document["blocks"] if "text" in block)):
        assert not any(bad in text for bad in ("<!", "<https://evil", "@channel", "@everyone", "\r", "\u202e", "`x`"))
    assert "&lt;!channel&gt;" in document["text"]
    assert len(document["text"]) < 2_000


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.usefixtures("trusted")
def test_an_e_mail_goes_over_tls_with_its_password(certificate: Path, *, tls: bool) -> None:
    with mail_server(certificate=certificate, tls=tls) as server:
        address = f"{'smtps://' if tls else ''}127.0.0.1:{server.port}"
        mail = _mail(server.port, alert_smtp=address, alert_user="bqx", alert_password="right-horse")  # noqa: S106
        assert mail.send(of_faults([_hostile()])) == "taken for 2"
    assert server.signed_in == [("bqx", "right-horse")]
    (letter,) = server.letters
    assert server.to == [["a@example.com", "b@example.com"]]
    assert letter["Subject"] == "[bqx] eurusd: feature_slabs failed"
    assert (letter["Bcc"], letter["Auto-Submitted"]) == (None, "auto-generated")
    assert "http://localhost:3000" in letter.get_content()


def test_a_subject_cannot_begin_another_header() -> None:
    with mail_server() as server:
        _mail(server.port).send(trial().model_copy(update={"title": HOSTILE}))
    (letter,) = server.letters
    assert letter["Bcc"] is None
    assert "\\r\\nBcc" in letter["Subject"]


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_is_told_without_it(certificate: Path) -> None:
    with mail_server(certificate=certificate) as server:
        mail = _mail(server.port, alert_user="bqx", alert_password="wrong-horse")  # noqa: S106
        with pytest.raises(AlertNotSent, match=r"535: name or password refused.*BQX_ALERT_USER") as refused:
            mail.send(trial())
    assert "wrong-horse" not in f"{refused.value}{refused.value.__context__!r}"


def test_a_mail_server_of_another_machine_must_offer_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    own = socket.getaddrinfo

    def here(host: str, *rest: object, **more: object) -> object:
        return own("127.0.0.1" if host == "mail.example.com" else host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", here)
    with mail_server() as server, pytest.raises(AlertNotSent, match=r"STARTTLS extension not supported.*587"):
        _mail(server.port, alert_smtp=f"mail.example.com:{server.port}").send(trial())
    assert server.letters == []


def test_a_mail_server_without_trust_gets_nothing(certificate: Path) -> None:
    with mail_server(certificate=certificate) as server, pytest.raises(AlertNotSent, match="no trust"):
        _mail(server.port, alert_user="bqx", alert_password="right-horse").send(trial())  # noqa: S106
    assert (server.letters, server.signed_in) == ([], [])


def test_refusals_of_a_mail_server_are_told_as_they_were_answered() -> None:
    with mail_server() as server:
        server.refusal = "554 no such sender"
        with pytest.raises(AlertNotSent, match=r"554 no such sender.*BQX_ALERT_FROM"):
            _mail(server.port).send(trial())
        server.refusal = "451 later"
        with pytest.raises(AlertNotSent, match=r"451 later.*next look"):
            _mail(server.port).send(trial())


def test_nobody_there_is_an_error_soon() -> None:
    with pytest.raises(AlertNotSent, match=r"mail server 127.0.0.1:9: no answer: Connection refused"):
        _mail(9).send(trial())
    address = {"alert_webhook": f"http://127.0.0.1:9/services/{SECRET}"}
    with pytest.raises(AlertNotSent, match=r"webhook of 127.0.0.1:9: no answer: Connection refused"):
        Webhook(AlertSettings.model_validate(address)).send(trial())
