"""The settings of alerts, read from ``BQX_*`` environment variables: who is told, of which faults and how often.

They are apart from ``Settings``, which commands print and runs carry along: a run needs no secret of a receiver.
"""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.settings import variable_of

Kind = Literal["run", "check", "warning", "stale", "budget"]
_SERVER = re.compile(r"(?P<tls>smtps://)?(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_TLS_PORT = 465
_LAST_PORT = 65_535
_OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}


class AlertSettings(BaseSettings):
    """Settings of alerts. Secrets are hidden in every text of this object.

    It raises BadSetting for values that no message could be sent by, and does not show secrets in it.
    """

    model_config = SettingsConfigDict(
        env_prefix="BQX_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    alert_webhook: SecretStr | None = None
    """Address of an incoming webhook of Slack, Mattermost, Rocket.Chat or Discord (there with ``/slack`` at its end).
    Secret: whoever knows it can write to the channel."""
    alert_smtp: str | None = None
    """Mail server, ``host:port``. Port 465 and ``smtps://host:port`` are TLS from the first byte; on other ports
    STARTTLS is required, except of a server on this machine."""
    alert_user: str | None = None
    """Name by which the mail server is signed in to; empty where it asks for none."""
    alert_password: SecretStr | None = None
    """Password of that name. Secret."""
    alert_from: str | None = None
    """Sender of the e-mails."""
    alert_to: str | None = None
    """Receivers of the e-mails, separated by commas."""
    alert_on: str = "run,check,stale,budget"
    """Faults that are told, separated by commas: ``run`` (failed), ``check`` (failed with severity "error"),
    ``warning`` (failed with severity "warn"), ``stale`` (pair), ``budget`` (of the month)."""
    alert_per_hour: int = Field(default=6, ge=1)
    """Largest number of messages to one receiver in an hour; what is above it is told together later."""
    ui_url: str = "http://localhost:3000"
    """Address at which people open the web server, for the links in messages."""

    @field_validator("alert_webhook")
    @classmethod
    def _is_safe(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return None if value is None else SecretStr(_webhook(value.get_secret_value(), variable_of(info.field_name)))

    @field_validator("alert_smtp")
    @classmethod
    def _is_a_server(cls, value: str | None, info: ValidationInfo) -> str | None:
        found = _SERVER.fullmatch(value or "")
        if value is None or (found and 0 < int(found["port"]) <= _LAST_PORT):
            return value
        raise BadSetting(
            variable_of(info.field_name),
            got="a text that is no mail server",  # it may hold a password
            expected="host:port or smtps://host:port",
            cure="For example smtp.example.com:587. Name and password are settings of their own.",
        )

    @field_validator("alert_from", "alert_to")
    @classmethod
    def _are_addresses(cls, value: str | None, info: ValidationInfo) -> str | None:
        for each in _listed(value):
            _refuse_other_than_address(each, variable_of(info.field_name))
        return value

    @field_validator("alert_on")
    @classmethod
    def _are_kinds(cls, value: str, info: ValidationInfo) -> str:
        unknown = sorted({*_listed(value)} - {*get_args(Kind)})
        if unknown or not _listed(value):
            raise BadSetting(
                variable_of(info.field_name),
                got=repr(", ".join(unknown)[:80]),
                expected=f"some of {', '.join(get_args(Kind))}, separated by commas",
                cure=f"For example {cls.model_fields['alert_on'].default}. Leave the receivers empty for no alerts.",
            )
        return value

    @field_validator("ui_url")
    @classmethod
    def _is_a_page(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(value)
        if value.isprintable() and " " not in value and parts.scheme in {"http", "https"} and parts.hostname:
            return value.rstrip("/")
        raise BadSetting(
            variable_of(info.field_name),
            got=repr(value[:80]),
            expected="the address of the web server, http:// or https://",
            cure="For example http://localhost:3000",
        )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needs = {"BQX_ALERT_FROM": self.alert_from, "BQX_ALERT_TO": self.alert_to}
        lacking = [name for name, value in needs.items() if value is None]
        if self.alert_smtp is not None and lacking:
            raise BadSetting(
                " and ".join(lacking),
                got="not set",
                expected="sender and receivers of e-mails, since BQX_ALERT_SMTP is set",
                cure="Set both, or leave BQX_ALERT_SMTP empty.",
            )
        if (self.alert_user is None) != (self.alert_password is None):
            raise BadSetting(
                "BQX_ALERT_PASSWORD",
                got="only one of name and password",
                expected="both BQX_ALERT_USER and BQX_ALERT_PASSWORD, or neither",
                cure="Set the other one, or leave both empty.",
            )
        return self

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of faults that are told."""
        return frozenset(_listed(self.alert_on))

    @property
    def receivers(self) -> list[str]:
        """The addresses that get e-mails."""
        return _listed(self.alert_to)

    @property
    def mail_server(self) -> tuple[str, int, Literal["tls", "starttls", "own machine"]]:
        """Host, port and protection of the mail server, which must be set."""
        found = _SERVER.fullmatch(self.alert_smtp or "")
        assert found is not None  # noqa: S101 -- validated
        host, port = found["host"].strip("[]"), int(found["port"])
        if found["tls"] or port == _TLS_PORT:
            return host, port, "tls"
        return host, port, "own machine" if host in _OWN_MACHINE else "starttls"


def alert_settings() -> AlertSettings:
    """Return the settings of the environment.

    Raises:
        BadSetting: a variable has a value that is not allowed; the value is not shown, since it may be a secret.
    """
    try:
        return AlertSettings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise BadSetting(
            variable_of(str(first["loc"][0])),
            got="another value",
            expected=first["msg"],
            cure="Correct the environment variable.",
        ) from error


def _listed(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _webhook(text: str, subject: str) -> str:
    """Return the address of a webhook. Raises BadSetting, without the address, for one that would betray the secret."""
    try:
        parts = urlsplit(text)
        host, path, _ = parts.hostname, parts.path, parts.port
    except ValueError:
        host, path, parts = None, "", urlsplit("")
    local = parts.scheme == "http" and host in _OWN_MACHINE
    plain = text.isascii() and text.isprintable() and " " not in text and parts.username is None
    if plain and host and path.strip("/") and (parts.scheme == "https" or local):
        return text
    raise BadSetting(
        subject,
        got="an address of another form (it is a secret and not shown)",
        expected="https://, a host and a path; http:// only on this machine",
        cure="Copy it once more from the settings of the webhook.",
    )


def _refuse_other_than_address(text: str, subject: str) -> None:
    try:
        found = Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):
        found = None
    if found is None or not found.domain or not (text.isascii() and text.isprintable()) or " " in text:
        raise BadSetting(
            subject,
            got=repr(text[:80]),
            expected="addresses such as data@example.com, separated by commas",
            cure="Correct it; a name beside the address is not allowed.",
        )
