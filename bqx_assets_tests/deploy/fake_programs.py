"""Programs named ``gcloud``, ``bq``, ``docker`` and ``bqx`` that write down how they were called, and play a project.

Belongs here: what they answer, in the words of the real ones. Does not: what a caller should have asked for.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bqx_assets_tests.deploy.recipe import DEPLOY, variables

NAMES = ("bq", "bqx", "docker", "gcloud")
EVERYTHING = "."
NOTHING = "^$"
LOOKS = (" describe ", " list ", " show ", " print-access-token")
FILLED = variables(
    BQX_PROJECT="example-runs",
    BQX_OUTPUT="gs://example-training-files",
    BQX_LOG_BUCKET="example-logs",
    BQX_IMAGE_TAG="v1",
)
_SCRIPT = r"""#!/bin/sh
# A call is one line, its words apart by spaces; what comes on standard input and descriptor 3 lies beside it.
call="${0##*/} $*"
printf '%s\n' "$call" >>"$PLAYED/calls"
case $call in *"--flags-file=/dev/fd/3"*) cat <&3 >>"$PLAYED/given" ;; *=/dev/fd/3*) cat <&3 >"$PLAYED/machine" ;; esac
case $call in *"jobs replace -"*) cat >>"$PLAYED/jobs" ;; *"--data-file=/dev/stdin"*) cat >>"$PLAYED/given" ;; esac
case $call in
  *"$REFUSED"*)
    [ "$(grep -cF -- "$REFUSED" "$PLAYED/calls")" -gt "$REFUSED_TIMES" ] || { printf '%s\n' "$WORDS" >&2; exit 1; } ;;
esac
# Everything and nothing, which most tests ask for, take no process.
is_there() { case $THERE in .) ;; '^$') false ;; *) printf '%s' "$call" | grep -qE -- "$THERE" ;; esac; }
case $call in
  "bq "*" show "*) printf '{\n  "labels": {\n    "location": "here"\n  },\n  "location": "EU",\n  "type": "D"\n}\n' ;;
  *"auth list"*) echo operator@example.com ;;
  *"billing projects describe"*) echo True ;;
  *" projects describe"* | *print-access-token*) ;;
  *"users list"*) is_there && echo dagster ; true ;;
  *" describe "*) is_there || { echo "NOT_FOUND: not found: 404." >&2; exit 1; } ;;
esac
"""


@dataclass(frozen=True)
class Done:
    """What a call of the script left."""

    code: int
    shown: str
    said: str
    calls: list[str]
    given: str
    """What came by a descriptor instead of the command line: passwords."""
    machine: str
    jobs: str

    @property
    def made(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls if not any(look in f"{call} " for look in LOOKS)]


@dataclass(frozen=True)
class Player:
    """A folder with the programs and a variables file."""

    folder: Path

    def __post_init__(self) -> None:
        for name in NAMES:
            program = self.folder / "bin" / name
            program.parent.mkdir(exist_ok=True, parents=True)
            program.write_text(_SCRIPT)
            program.chmod(0o755)

    def up(
        self,
        *words: str,
        there: str = NOTHING,
        refused: str = "no call says this",
        words_of_refusal: str = "ERROR: PERMISSION_DENIED: Permission denied on resource (or it may not exist).",
        times: int = 1_000,
        changed: Mapping[str, str] | None = None,
    ) -> Done:
        """Call ``deploy/up.sh``; ``there`` is an expression for what is there already, ``refused`` a part of a call."""
        played = self.folder / "played"
        played.mkdir(exist_ok=True)
        for name in ("calls", "given", "machine", "jobs"):
            (played / name).write_text("")
        file = self.folder / "bqx.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in (FILLED | dict(changed or {})).items()))
        environment = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "PLAYED": str(played),
            "THERE": there,
            "REFUSED": refused,
            "REFUSED_TIMES": str(times),
            "WORDS": words_of_refusal,
            "BQX_UP_WAIT_SECONDS": "0",
        }
        command = [str(DEPLOY / "up.sh"), "--env", str(file), *words]
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        left = {name: (played / name).read_text() for name in ("calls", "given", "machine", "jobs")}
        return Done(
            done.returncode,
            done.stdout,
            done.stderr,
            left["calls"].splitlines(),
            left["given"],
            left["machine"],
            left["jobs"],
        )
