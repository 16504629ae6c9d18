"""``deploy/machine.sh``: what the machine does as it starts, with programs that stand for curl, docker and apt-get."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from bqx_assets_tests.deploy.fake_programs import FILLED
from bqx_assets_tests.deploy.recipe import DEPLOY

TOKEN, PASSWORD = "ya29.a-token", "5ecret"
URL = f"postgresql+psycopg2://dagster:{PASSWORD}@/dagster?host=/cloudsql/p:r:i"
_CURL = r"""#!/bin/sh
printf 'curl %s\n' "$*" >>"$PLAYED/calls"
for url; do :; done
case $url in
  */attributes/bqx-env) cat "$PLAYED/bqx.env" ;;
  */attributes/bqx-compose) echo 'services: {}' ;;
  */token) cat "$PLAYED/token" ;;
  *bqx-alerts*) exec cat "$PLAYED/alerts" ;;
  *secretmanager*) cat <&3 >"$PLAYED/header"; cat "$PLAYED/secret" ;;
esac
"""
_OTHER = r"""#!/bin/sh
printf '%s %s\n' "${0##*/}" "$*" >>"$PLAYED/calls"
case "$*" in
  *password-stdin*) cat >"$PLAYED/login" ;;
  "compose version") [ -e "$PLAYED/docker-is-there" ] ;;
  *" up "*) exit "$UP_CODE" ;;
esac
"""


@pytest.fixture
def played(tmp_path: Path) -> Path:
    made = tmp_path / "played"
    made.mkdir()
    (made / "bqx.env").write_text("".join(f"{name}={value}\n" for name, value in FILLED.items()))
    (made / "token").write_text(json.dumps({"access_token": TOKEN, "expires_in": 3599}))
    (made / "secret").write_text(json.dumps({"payload": {"data": base64.b64encode(URL.encode()).decode()}}))
    for name in ("curl", "docker", "apt-get", "chown"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(_CURL if name == "curl" else _OTHER)
        program.chmod(0o755)
    # Only root may give a folder to somebody else.
    (tmp_path / "bin" / "install").write_text('#!/bin/sh\nfor folder; do :; done\nmkdir -p "$folder"\n')
    (tmp_path / "bin" / "install").chmod(0o755)
    return made


def _start(played: Path, up_code: int = 0) -> tuple[int, str, list[str]]:
    environment = {
        "PATH": f"{played.parent / 'bin'}:{os.environ['PATH']}",
        "PLAYED": str(played),
        "BQX_ETC": str(played.parent / "etc"),
        "BQX_VAR": str(played.parent / "var"),
        "UP_CODE": str(up_code),
    }
    done = subprocess.run([str(DEPLOY / "machine.sh")], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr, (played / "calls").read_text().splitlines()


def test_a_new_machine_installs_docker_takes_its_files_and_starts_the_services(played: Path) -> None:
    code, said, calls = _start(played)
    assert code == 0, said
    etc = played.parent / "etc"
    assert "apt-get install -qy docker.io docker-compose-v2" in calls
    assert (etc / "bqx.env").read_text() == (played / "bqx.env").read_text()
    assert (etc / "secret.env").read_text() == f"DAGSTER_POSTGRES_URL={URL}\n"
    (secret,) = [call for call in calls if "secretmanager" in call]
    assert secret.endswith("/projects/example-runs/secrets/bqx-postgres-url/versions/latest:access")
    up = [call for call in calls if " up --detach " in call]
    assert up == [f"docker compose --env-file {etc}/bqx.env --file {etc}/compose.yaml {up[0].partition('.yaml ')[2]}"]


def test_the_secrets_of_alerts_come_from_a_secret_of_their_own_and_never_keep_the_machine_from_starting(
    played: Path,
) -> None:
    variables = (played / "bqx.env").read_text().replace("BQX_ALERT_SECRET=", "BQX_ALERT_SECRET=bqx-alerts")
    (played / "bqx.env").write_text(variables)
    file = played.parent / "etc" / "secret.env"
    code, said, _ = _start(played)
    assert (code, file.read_text()) == (0, f"DAGSTER_POSTGRES_URL={URL}\n"), said
    assert "the secret of the alerts cannot be read" in said
    kept = [f"BQX_ALERT_WEBHOOK=https://hooks.example.com/{PASSWORD}", "BQX_ALERT_PASSWORD='a $b'"]
    secret = "\n".join([kept[0], "DAGSTER_HOME=/elsewhere", kept[1]])
    held = {"payload": {"data": base64.b64encode(secret.encode()).decode()}}
    (played / "alerts").write_text(json.dumps(held))
    code, said, calls = _start(played)
    assert code == 0, said
    assert file.read_text().splitlines()[1:] == kept
    assert PASSWORD not in said + "\n".join(calls)


def test_a_later_start_installs_nothing(played: Path) -> None:
    (played / "docker-is-there").touch()
    code, said, calls = _start(played)
    assert code == 0, said
    assert not [call for call in calls if call.startswith("apt-get")]


def test_token_and_password_are_in_one_file_for_root_and_on_no_command_line_or_screen(played: Path) -> None:
    _, said, calls = _start(played)
    assert (played / "header").read_text() == f"Authorization: Bearer {TOKEN}\n"
    assert (played / "login").read_text() == f"{TOKEN}\n"
    assert not any(secret in said + "\n".join(calls) for secret in (TOKEN, PASSWORD))
    for name in ("secret.env", "bqx.env"):
        assert stat.S_IMODE((played.parent / "etc" / name).stat().st_mode) == 0o600


def test_services_that_do_not_become_healthy_show_their_last_lines_and_fail_the_start(played: Path) -> None:
    code, _, calls = _start(played, up_code=1)
    assert code == 1
    assert calls[-1].endswith("logs --tail 50")
