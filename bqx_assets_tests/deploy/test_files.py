"""The recipe's files are what their readers accept: shells, gcloud, compose, Cloud Build, systemd, Dagster."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import run_v2

from bqx_assets_tests.deploy.fake_programs import FILLED, Player
from bqx_assets_tests.deploy.gcloud_tree import FLAGS, calls_in, command_of
from bqx_assets_tests.deploy.recipe import DEPLOY, rendered, shipped_variables
from bqx_assets_tests.deploy.test_up import ALL
from bqx_assets_tests.servers.cloud_run.sizes import refusal

BIN = Path(sys.executable).parent
JOBS = ("job.yaml", "job-large.yaml", "doctor.yaml")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VALUES = FILLED | {"BQX_IMAGE": "us-central1-docker.pkg.dev/example-runs/bqx/bqx:v1", "BQX_SQL_CONNECTION": "p:r:i"}


def _done(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([str(word) for word in words], env=env, capture_output=True, text=True, check=False)


def _compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    done = _done(BIN / "shellcheck", "-x", "-P", "SCRIPTDIR", *sorted(DEPLOY.glob("*.sh")))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("schema", "name"), [("compose-spec", "compose.yaml"), ("cloudbuild", "cloudbuild.yaml")])
def test_a_file_is_of_its_readers_published_schema(schema: str, name: str) -> None:
    done = _done(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", DEPLOY / name)
    assert done.returncode == 0, done.stdout


def _known() -> dict[str, Any]:
    """The tree that ``gcloud_flags.json`` is a part of."""
    tree: dict[str, Any] = {"commands": {}}
    for name, flags in json.loads(FLAGS.read_text()).items():
        place = tree
        for word in name.split():
            place = place.setdefault("commands", {}).setdefault(word, {})
        place["flags"] = flags
    return tree


def _unknown_flags(words: list[str], tree: dict[str, Any]) -> set[str]:
    path, entry = command_of(words, tree)
    assert "flags" in entry, words
    flags = {word.partition("=")[0] for word in words[len(path) :] if word.startswith("--")}
    known = {*entry["flags"], *tree["flags"], "--"}
    return {
        f"{' '.join(path)} {flag}" for flag in flags if flag not in known and flag.replace("--no-", "--") not in known
    }


def test_gcloud_knows_every_command_and_flag_that_is_called(tmp_path: Path) -> None:
    """``gcloud_flags.json`` is of Google Cloud CLI 528; where gcloud changes, it is made anew by ``gcloud_tree``."""
    tree, player = _known(), Player(tmp_path)
    calls = {call for there in ("^$", ".") for call in player.up(*ALL, there=there).calls}
    calls |= set(player.up("database", there="users list").calls)
    unknown: set[str] = set()
    for call in calls:
        program, *words = call.partition(" --command=")[0].split()
        unknown |= _unknown_flags(words, tree) if program == "gcloud" else set()
    assert unknown <= {"secrets versions describe --secret"}  # an argument's own flag, which that table leaves out


def test_gcloud_knows_every_command_and_flag_that_the_readme_names() -> None:
    tree = _known()
    lines = [line for line in (DEPLOY / "README.md").read_text().splitlines() if line.startswith("gcloud ")]
    found = [words for line in lines for words in calls_in(line.partition("#")[0])]
    assert len(found) > 8
    assert set().union(*(_unknown_flags(words, tree) for words in found)) == set()


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="no gcloud here")
@pytest.mark.parametrize("name", ["job.yaml", "doctor.yaml"])
def test_gcloud_takes_a_job_as_far_as_the_login(name: str, tmp_path: Path) -> None:
    """It reads and checks the file before it asks who is there. Nobody is, and there is no way out."""
    file = tmp_path / name
    file.write_text(rendered(name, VALUES))
    alone = {
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = ["gcloud", "run", "jobs", "replace", str(file), "--project=example-runs", "--region=us-central1"]
    assert "do not currently have an active account" in _done(*command, **alone).stderr
    if name == "job.yaml":
        file.write_text(file.read_text().replace("maxRetries:", "maxRetriez:"))
        assert "maxRetriez" in _done(*command, **alone).stderr


@pytest.mark.parametrize("name", JOBS)
def test_a_jobs_fields_are_those_of_the_api_and_its_size_is_one(name: str) -> None:
    """The v1 form that gcloud takes has its own names; beneath are the messages of Cloud Run's API."""
    document = yaml.safe_load(rendered(name, VALUES))
    task = document["spec"]["template"]["spec"]["template"]["spec"]
    assert task.keys() <= {"serviceAccountName", "maxRetries", "timeoutSeconds", "containers"}
    (container,) = task["containers"]
    fields = {_snake(key) for key in container}
    assert fields <= set(run_v2.Container.pb().DESCRIPTOR.fields_by_name)
    limits = container["resources"]["limits"]
    assert refusal(limits["cpu"], limits["memory"]) is None
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))
    assert all(isinstance(each["value"], str) for each in container["env"] if "value" in each)


def test_the_doctors_job_differs_from_a_runs_in_command_name_and_patience_alone() -> None:
    made = [yaml.safe_load((DEPLOY / name).read_text()) for name in ("job.yaml", "doctor.yaml")]
    for document in made:
        document["metadata"].pop("name")
        task = document["spec"]["template"]["spec"]["template"]["spec"]
        del task["maxRetries"], task["timeoutSeconds"], task["containers"][0]["command"]
    assert made[0] == made[1]


def test_every_variable_of_a_template_is_one_of_the_deployments() -> None:
    known = {*shipped_variables(), "BQX_IMAGE", "BQX_SQL_CONNECTION"}
    for file in (*(DEPLOY / name for name in JOBS), DEPLOY / "compose.yaml", *UNITS):
        assert set(re.findall(r"\$\{(BQX_\w+)\}", file.read_text())) <= known, file.name


def test_a_service_is_watched_bounded_and_started_again_and_its_logs_rotate() -> None:
    services = _compose()["services"]
    assert services.keys() == {"proxy", "code", "web", "daemon"}
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
        assert service["mem_limit"]
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
        assert service.get("network_mode") == "host"
        assert "ports" not in service


def test_nothing_of_the_machine_listens_beyond_itself() -> None:
    commands = [" ".join(service["command"]) for service in _compose()["services"].values()]
    commands += re.findall(r"^ExecStart=(.*)", "\n".join(unit.read_text() for unit in UNITS), re.MULTILINE)
    listening = [command for command in commands if " -p " in command]
    assert len(listening) == 4
    assert all(" -h 127.0.0.1 " in command for command in listening)


def test_units_and_compose_start_the_same_programs() -> None:
    composed = {name: " ".join(service["command"]) for name, service in _compose()["services"].items()}
    for name in ("code", "web", "daemon"):
        text = (DEPLOY / "systemd" / f"bqx-{name}.service").read_text()
        assert f"ExecStart=/opt/bqx/.venv/bin/{composed[name]}\n" in text
    proxy = (DEPLOY / "systemd" / "bqx-sql-proxy.service").read_text()
    assert f"ExecStart=/usr/local/bin/cloud-sql-proxy {composed['proxy']}\n" in proxy


@pytest.mark.parametrize("program", ["bqx-webserver", "dagster-daemon", "dagster"])
def test_the_programs_that_services_start_are_installed(program: str) -> None:
    assert (BIN / program).is_file()
    text = (DEPLOY / "compose.yaml").read_text()
    assert f"[{program}, " in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_in_the_units_but_that_bqx_is_not_installed(tmp_path: Path) -> None:
    for unit in UNITS:
        shutil.copy(unit, tmp_path)
    done = _done("systemd-analyze", "verify", *(tmp_path / unit.name for unit in UNITS))
    ours = "|".join(unit.name for unit in UNITS)
    said = [line for line in done.stderr.splitlines() if re.search(ours, line)]
    assert [line for line in said if "is not executable: No such file or directory" not in line] == []


def test_a_machines_variables_are_read_alike_by_a_shell_compose_and_systemd() -> None:
    """None of the three takes anything in these values for more than a character."""
    for name, value in FILLED.items():
        assert shlex.split(f"{name}={shlex.quote(value)}") == [f"{name}={value}"]
        assert not set(value) & set("\"'\\$#;`")
        assert value == value.strip()


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
