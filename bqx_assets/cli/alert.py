"""Defines ``bqx alert``: who is told of faults and of which, and a test message to each receiver."""

from __future__ import annotations

from typing import Annotated

import typer

from bqx_assets.base.errors import AlertNotSent, BadSetting
from bqx_assets.cli.options import Json
from bqx_assets.cli.session import Session
from bqx_assets.fleet.alert_settings import AlertSettings, alert_settings
from bqx_assets.fleet.messages import trial
from bqx_assets.fleet.notify import Receiver, receivers

alert_app = typer.Typer()


@alert_app.command()
def alert(
    ctx: typer.Context,
    *,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to each receiver.")] = False,
    as_json: Json = False,
) -> None:
    """Show who is told when a run or a check fails, and with --test send them a message and show their answers."""
    session: Session = ctx.obj
    session.as_json = as_json
    settings = alert_settings()
    found = _found(settings)
    answers = [_answer(each, send=test) for each in found]
    told: list[dict[str, object]] = []
    for receiver, (answer, error) in zip(found, answers, strict=True):
        session.say(f"{receiver.name}: {error or answer}")
        said = answer if error is None else error.got
        told.append({"receiver": receiver.name, "delivered": test and error is None, "answer": said})
    session.say(f"told of: {', '.join(sorted(settings.kinds))}; at most {settings.alert_per_hour} messages an hour")
    session.answer({"receivers": told, "kinds": sorted(settings.kinds)})
    if not test:
        session.suggest("alert", "--test")
    for _, error in answers:
        if error is not None:
            raise error


def _found(settings: AlertSettings) -> list[Receiver]:
    """Return the receivers. Raises BadSetting if there are none."""
    found = receivers(settings)
    if not found:
        raise BadSetting(
            "BQX_ALERT_WEBHOOK and BQX_ALERT_SMTP",
            got="not set, so nobody is told",
            expected="a webhook, a mail server, or both",
            cure="Set one where the code server is started, and here to try it.",
        )
    return found


def _answer(receiver: Receiver, *, send: bool) -> tuple[str, AlertNotSent | None]:
    try:
        return receiver.send(trial()) if send else "set", None
    except AlertNotSent as error:
        return "", error
