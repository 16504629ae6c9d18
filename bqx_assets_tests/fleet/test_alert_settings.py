"""Settings of alerts are refused when no message could be sent by them, and never show a secret."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bqx_assets.base.errors import BadSetting
from bqx_assets.fleet.alert_settings import AlertSettings

SECRET = "dZkq8vJx0LmNw2"  # noqa: S105 -- of nothing


@pytest.mark.parametrize(
    "address",
    [
        f"http://hooks.example.com/services/{SECRET}",
        f"https://bqx:{SECRET}@hooks.example.com/services/x",
        f"ftp://hooks.example.com/{SECRET}",
        f"https://hooks.example.com\n/{SECRET}",
        f"https://[hooks/{SECRET}",
        "https://hooks.example.com",
        SECRET,
    ],
)
def test_an_address_that_would_betray_the_secret_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("BQX_ALERT_WEBHOOK", address)
    with pytest.raises(BadSetting, match=r"BQX_ALERT_WEBHOOK: .* http:// only on this machine") as refused:
        AlertSettings()
    assert SECRET not in f"{refused.value!r}{refused.value.__context__!r}"


@pytest.mark.parametrize("address", ["https://hooks.slack.com/services/T/B/x", "http://127.0.0.1:8065/hooks/x"])
def test_an_address_of_a_webhook_is_taken(address: str) -> None:
    found = AlertSettings.model_validate({"alert_webhook": address})
    assert found.alert_webhook is not None
    assert found.alert_webhook.get_secret_value() == address


@pytest.mark.parametrize(
    ("server", "meant"),
    [
        ("smtp.example.com:587", ("smtp.example.com", 587, "starttls")),
        ("smtp.example.com:465", ("smtp.example.com", 465, "tls")),
        ("smtps://smtp.example.com:2465", ("smtp.example.com", 2465, "tls")),
        ("localhost:25", ("localhost", 25, "own machine")),
        ("[::1]:25", ("::1", 25, "own machine")),
    ],
)
def test_only_a_mail_server_of_this_machine_may_do_without_tls(server: str, meant: tuple[str, int, str]) -> None:
    both = {"alert_from": "a@example.com", "alert_to": "b@example.com"}
    assert AlertSettings.model_validate({"alert_smtp": server, **both}).mail_server == meant


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"BQX_ALERT_SMTP": f"bqx:{SECRET}@smtp.example.com:25"}, "BQX_ALERT_SMTP: a text that is no mail server"),
        ({"BQX_ALERT_SMTP": "smtp.example.com"}, "BQX_ALERT_SMTP"),
        ({"BQX_ALERT_SMTP": "smtp.example.com:99999"}, "BQX_ALERT_SMTP"),
        ({"BQX_ALERT_SMTP": "a.example.com:587"}, "BQX_ALERT_FROM and BQX_ALERT_TO: not set"),
        ({"BQX_ALERT_PASSWORD": SECRET}, "only one of name and password"),
        ({"BQX_ALERT_TO": "a@example.com, nobody"}, "BQX_ALERT_TO: 'nobody'"),
        ({"BQX_ALERT_FROM": "a@example.com\r\nBcc: b@example.com"}, "BQX_ALERT_FROM"),
        ({"BQX_ALERT_ON": "run, fire"}, "BQX_ALERT_ON: 'fire'"),
        ({"BQX_UI_URL": "javascript:alert(1)"}, "BQX_UI_URL"),
    ],
)
def test_settings_by_which_nothing_could_be_sent_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refused:
        AlertSettings()
    assert named in str(refused.value)
    assert SECRET not in f"{refused.value!r}{refused.value.__context__!r}"


def test_no_text_of_the_settings_shows_a_secret() -> None:
    found = AlertSettings.model_validate(
        {"alert_webhook": f"https://a.example.com/{SECRET}", "alert_user": "bqx", "alert_password": SECRET}
    )
    assert SECRET not in f"{found} {found!r} {found.model_dump()} {found.model_dump_json()}"
    with pytest.raises(ValidationError) as refused:
        AlertSettings.model_validate({"alert_per_hour": SECRET})
    assert SECRET not in str(refused.value)
