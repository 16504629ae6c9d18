"""Cleans the words of a refusal for display, and finds the permission, resource, project and account in them."""

from __future__ import annotations

import re

from bqx_assets.base.printable import printable

LONGEST = 500
"""Characters of a service's words that are shown; more if an important part comes later."""

_IS = r"(?:=|:|%3d|%253d|\\*u003d|&#61;|&#x3d;)"
"""An equals sign, and its escaped forms in addresses, JSON and pages."""
_SECRETS = (
    (re.compile(r"ya29\.[\w.~+/=-]+|eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|\b1//[\w-]{10,}|GOCSPX-[\w-]+"), "..."),
    (re.compile(r"-----BEGIN.*?(?:-----END[A-Z ]*-----|$)", re.DOTALL), "..."),
    (re.compile(r"\bAIza[\w-]{20,}|\b4/0[\w-]{8,}"), "..."),  # an API key; a login's code
    (re.compile(r"(?i)(\bbearer +)(?!tokens?\b)[^\s\"',]+"), r"\1..."),
    (re.compile(r"(?i)(\bauthorization[\"']?\s*[=:]\s*[\"']?(?:basic|digest|negotiate|ntlm) +)[^\s\"',]+"), r"\1..."),
    (re.compile(rf"(?i)upload_?id[\"']?\s*{_IS}\s*[\"']?[^&\s\"',}}]+"), "..."),
    (
        re.compile(
            r"(?i)((?:access_token|refresh_token|id_token|subject_token|client_secret|private_key|assertion"
            rf"|x-goog-signature|x-goog-credential|signature|password)[\"']?\s*{_IS}\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[\"']?[^&\s\"',}]+)"
        ),
        r"\1...",
    ),
    (re.compile(r"(://)[^/@\s]+:[^/@\s]+@"), r"\1...@"),
    (re.compile(r"https?://\S*/upload/\S*"), "the upload's address"),
)
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_ACCOUNT_END = ".gserviceaccount.com"
_QUOTE = r"[\"'`\u2018\u2019\u201c\u201d\\]*"
_NAME = r"(?<![\w@./-])[a-z][a-zA-Z]*(?:\.[a-zA-Z]+){2}(?![\w@/-]|\.\w)"
_SHAPES = (
    re.compile(rf"(?i:permissions?|have|has|lacks?|requires?|missing|needs?):? +(?:the +)?{_QUOTE}({_NAME}){_QUOTE}"),
    re.compile(rf"{_QUOTE}({_NAME}){_QUOTE} +(?:denied|permission|access)"),
)
_NO_PERMISSION = re.compile(r"googleapis|gserviceaccount|(?:^|\.)google\.|\.com\b|\.com$")
_THING = r"(?:table|view|dataset|project|policy tag|service account|secret|bucket|object|repository|job|key)"
_RESOURCES = (
    re.compile(rf"denied (?:on|for)(?: resource)?:? (?:(?i:{_THING}):? )?{_QUOTE}([^\s\"'`(),\\]+)"),
    re.compile(rf"on resource:? {_QUOTE}([^\s\"'`(),\\]+)"),
    re.compile(rf"permission (?:for|in|on|to query) (?:(?i:{_THING}):? )?{_QUOTE}([^\s\"'`(),\\]+)"),
    re.compile(r"full access for (?:table|view) ([^\s\"'`(),]+)"),
    re.compile(rf"access to (?:(?i:{_THING}):? )?{_QUOTE}((?:projects/|//|gs://|[\w-]+[:.]\w+\.)[^\s\"'`(),\\]+)"),
)
_NO_RESOURCE = {"resource", "the", "this", "a", "an", "it", "or", "its", "cloud", "one", "some", "any"}
_PROJECT = re.compile(
    rf"(?:\bin project |\bprojects/|\bProject(?= [\w.:-]+(?:: | \(#)) ?|\bproject (?=[\"'`])|\b[Pp]roject #?(?=\d)"
    rf"|\b[Pp]roject (?=[a-z][\w.:]*[-\d])){_QUOTE}([a-z\d][\w.:-]*\w)"
)
_PRINCIPAL = re.compile(rf"({_EMAIL.pattern}) (?:does not have|lacks|is not authorized|has no)")


def shown(text: str) -> str:
    """Return ``text`` on one line without tokens, keys, addresses of uploads, and people's e-mail addresses.

    A service account's address stays, because it is needed to grant a role; so does that of the refused account.
    """
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    refused = _PRINCIPAL.search(text)
    kept = refused.group(1) if refused else ""

    def person(found: re.Match[str]) -> str:
        address = found.group()
        return address if address == kept or address.endswith(_ACCOUNT_END) else "(an e-mail address)"

    return printable(" ".join(_EMAIL.sub(person, text).split()))


def cut(text: str, *important: str | None) -> str:
    """Return the beginning of ``text``, at least up to the end of its last important part."""
    ends = [text.find(part) + len(part) for part in important if part and part in text]
    least = max([LONGEST, *ends])
    if len(text) <= least:
        return text
    end = text.find(" ", least)
    return text if end < 0 else f"{text[:end]} ..."


def permission_in(text: str) -> str | None:
    """Return the missing permission if the words name it, in a form that Google's services use, in any quotes."""
    for shape in _SHAPES:
        for found in shape.finditer(text):
            if not _NO_PERMISSION.search(found.group(1)):
                return found.group(1)
    return None


def resource_in(text: str) -> str | None:
    """Return the resource on which the permission is missing, if the words name it."""
    for shape in _RESOURCES:
        for found in shape.finditer(text):
            name = found.group(1).rstrip(".:;")
            if name.lower() not in _NO_RESOURCE:
                return name
    return None


def project_in(text: str) -> str | None:
    """Return the project, if the words name it."""
    found = next((each for each in _PROJECT.findall(text) if each != "_"), None)
    return found or None


def principal_in(text: str) -> str | None:
    """Return the refused account, if the words name it."""
    found = _PRINCIPAL.search(text)
    return found.group(1) if found else None
