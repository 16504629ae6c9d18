"""``deploy/up.sh``: what it runs in a fresh, a finished and a half-made project, and how it stops."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.pairs import CURRENCIES
from bqx_assets.base.settings import parse_last
from bqx_assets.catalogue.families import FEATURES_DATASET, TARGETS_DATASET
from bqx_assets_tests.deploy.fake_programs import EVERYTHING, FILLED, Player
from bqx_assets_tests.deploy.recipe import DEPLOY, rendered, shipped_variables

COMMANDS = DEPLOY / "commands.txt"
ALL = re.findall(r"^phase_(\w+)\(\)", (DEPLOY / "phases.sh").read_text(), re.MULTILINE)
_GIVEN = re.compile(r" (?:3<<<|<<<|<deploy/).*")
"""How the script shows what goes by standard input or a descriptor."""


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(tmp_path)


def shown_commands(text: str) -> list[str]:
    """The commands of a listing, without quotes: as the programs write down what they were called with."""
    lines = [_GIVEN.sub("", line) for line in text.splitlines() if line and not line.startswith("#")]
    return [" ".join(shlex.split(line)) for line in lines]


def test_the_listed_commands_are_those_that_a_dry_run_prints(player: Player) -> None:
    """Made anew with: python -m bqx_assets_tests.deploy.listing"""
    done = player.up("--dry-run", *ALL)
    assert (done.code, done.said, done.calls) == (0, "", [])
    listed = COMMANDS.read_text().split("\n\n", 1)[1]
    assert done.shown.strip() == listed.strip()


def test_a_fresh_project_gets_exactly_the_listed_commands_in_their_order(player: Player) -> None:
    done = player.up(*ALL)
    assert done.code == 0, done.said
    assert done.made == shown_commands(COMMANDS.read_text().replace("=LOCATION ", "=EU "))


def test_where_everything_is_there_nothing_is_made_and_no_password_changes(player: Player) -> None:
    done = player.up(there=EVERYTHING)
    assert done.code == 0, done.said
    assert not [call for call in done.made if " create " in call or "builds submit" in call or "push" in call]
    assert done.given == ""
    assert any("google_metadata_script_runner startup" in call for call in done.calls)
    # What is left are statements of how things are to be: roles, APIs, jobs, the bucket's rules, the machine's files.
    kinds = (
        r"add-iam-policy-binding|GRANT|services enable|jobs replace|store init|add-metadata|compute ssh|jobs execute"
    )
    assert [call for call in done.made if not re.search(kinds, call)] == []


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("ERROR: NOT_FOUND: Unknown service account projects/140312/bqx-403-run.", True),
        ("ERROR: HTTPError 403: something, as of an object that is not found.", False),
    ],
)
def test_a_thing_that_is_not_there_is_told_from_a_refusal_whatever_its_number(
    player: Player, words: str, *, made: bool
) -> None:
    done = player.up("registry", refused="repositories describe", words_of_refusal=words)
    assert (done.code == 0) == made
    assert any("repositories create" in call for call in done.calls) == made


@pytest.mark.parametrize("there", ["sql instances|sql databases", "users list", "secrets describe"])
def test_a_database_that_a_run_left_half_made_is_finished_with_a_new_password(player: Player, there: str) -> None:
    done = player.up("database", there=there)
    assert done.code == 0, done.said
    verb = "set-password" if there == "users list" else "create"
    assert any(f"sql users {verb} dagster" in call for call in done.made)
    assert any("secrets create" in call for call in done.made) == ("secrets" not in there)
    assert any("secrets versions add" in call for call in done.made)
    assert any("sql instances create" in call for call in done.made) == ("instances" not in there)


def test_the_password_is_on_no_command_line_and_on_no_screen(player: Player) -> None:
    done = player.up("database")
    password = re.search(r"^--password: ([0-9a-f]{48})$", done.given, re.MULTILINE)
    assert password is not None
    url = f"postgresql+psycopg2://dagster:{password[1]}@/dagster?host=/cloudsql/example-runs:us-central1:bqx-dagster"
    assert done.given.endswith(url)
    assert password[1] not in done.shown + done.said + "".join(done.calls)


@pytest.mark.parametrize(
    "refused",
    [
        "services enable bigquery",
        "service-accounts describe bqx-ml-pipeline",
        "buckets create gs://example-logs",
        "GRANT `roles/bigquery.metadataViewer`",
        "builds submit",
        "sql users list",
        "secrets versions add",
        "roles/cloudsql.client",
        "jobs replace",
        "store init",
        "compute instances create",
        "jobs execute bqx-doctor",
        "exec -T code true",
        "exec -T code bqx doctor",
    ],
)
def test_a_refused_call_is_the_last_one_and_says_what_to_do(player: Player, refused: str) -> None:
    done = player.up(refused=refused)
    assert done.code == 1
    assert refused in done.calls[-1]
    assert "PERMISSION_DENIED" in done.said
    assert re.search(r"^To do: .{20,}", done.said, re.MULTILINE)
    assert "run the same command again" in done.said


def test_an_account_that_is_not_known_everywhere_yet_is_granted_its_role_a_little_later(player: Player) -> None:
    unknown = "ERROR: INVALID_ARGUMENT: Service account bqx-build@example-runs.iam.gserviceaccount.com does not exist."
    done = player.up("image", refused="roles/artifactregistry.writer", words_of_refusal=unknown, times=3)
    assert done.code == 0, done.said
    assert sum("roles/artifactregistry.writer" in call for call in done.calls) == 4


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"BQX_OUTPUT": "gs://change-me"}, "BQX_OUTPUT is still gs://change-me"),
        ({"BQX_OUTPUT": "my-bucket"}, "BQX_OUTPUT is my-bucket"),
        ({"BQX_PROJECT": '"quoted"'}, "line 1: not NAME=value"),
        ({"BQX_PROJECT": "$(touch x)"}, "line 1: not NAME=value"),
        ({"BQX_PROJECT": "p # a remark"}, "line 1: not NAME=value"),
        ({"BQX_PROJCT": "p"}, "BQX_PROJCT is no variable"),
        ({"BQX_END": "2024-01-01"}, "BQX_LAST is set together with"),
        ({"BQX_DATA_OWNER": "somebody"}, "BQX_DATA_OWNER is somebody"),
        ({"BQX_BUILD": "podman"}, "BQX_BUILD is podman"),
        ({"BQX_PROJECT": "example-runs "}, "line 1: the value of BQX_PROJECT begins or ends with a space"),
        ({"BQX_PROJECT": "example-runs\r"}, "line 1: the line ends as on Windows (CRLF)"),
        ({"BQX_PROJECT": "example-runs\nBQX_PROJECT=other"}, "line 2: BQX_PROJECT is set a second time"),
        ({"BQX_REGION": "EU"}, "BQX_REGION is EU, which is no region"),
        ({"BQX_REGION": ""}, "BQX_REGION is empty"),
        ({"BQX_ZONE": "europe-west1-b"}, "BQX_ZONE is europe-west1-b, which is no zone of us-central1"),
        ({"BQX_LOG_BUCKET": "gs://example-logs"}, "BQX_LOG_BUCKET is gs://example-logs"),
        ({"BQX_MAX_BYTES": "50 GB"}, "BQX_MAX_BYTES is 50 GB"),
        ({"BQX_MONTHLY_BUDGET_USD": "25-"}, "BQX_MONTHLY_BUDGET_USD is 25-"),
        ({"BQX_WAY": "ask"}, "BQX_WAY is ask"),
        ({"BQX_FLEET": "EURUSD"}, "BQX_FLEET is EURUSD"),
        ({"BQX_FRESH_DAYS": "a week"}, "BQX_FRESH_DAYS is a week"),
        ({"BQX_MAX_BYTES": "-1"}, "BQX_MAX_BYTES is -1"),
        ({"BQX_ENCODING": "smallest"}, "BQX_ENCODING is smallest"),
        ({"BQX_PERIOD": "week"}, "BQX_PERIOD is week"),
        ({"BQX_FIRST_PAIR": "usdeur"}, "BQX_FIRST_PAIR is usdeur"),
        ({"BQX_FIRST_PAIR": "EURUSD"}, "BQX_FIRST_PAIR is EURUSD"),
        ({"BQX_FIRST_PAIR": "eureur"}, "BQX_FIRST_PAIR is eureur"),
        ({"BQX_FIRST_PAIR": "eurusd,gbpusd"}, "BQX_FIRST_PAIR is eurusd,gbpusd"),
        ({"BQX_MACHINE_ADDRESS": "none"}, "BQX_MACHINE_ADDRESS is none"),
    ],
)
def test_variables_that_cannot_be_are_refused_before_anything_is_called(
    player: Player, changed: dict[str, str], named: str
) -> None:
    done = player.up(changed=changed)
    assert done.code == 1
    assert named in done.said
    assert done.said.endswith("\nThen run the same command again.\n")  # nothing is there yet that could be left
    assert done.calls == []
    assert not (player.folder / "x").exists()


@pytest.mark.parametrize(
    "last",
    [
        "100000 rows",
        "1row",
        "100,000 Rows",
        "100_000 rows",
        "1e5 rows",
        "1000000000000 rows",
        "1000000000001 rows",
        "0395 d",
        "1D",
    ],
)
def test_the_last_rows_or_days_are_read_as_a_run_reads_them(player: Player, last: str) -> None:
    try:
        parse_last(last, "BQX_LAST")
        fits = True
    except BadSetting:
        fits = False
    done = player.up("--dry-run", "check", changed={"BQX_LAST": last})
    assert (done.code == 0, f"BQX_LAST is {last}" in done.said) == (fits, not fits)


def test_the_pairs_are_those_of_the_currencies_in_their_order() -> None:
    assert f"\nreadonly CURRENCIES='{' '.join(CURRENCIES)}' " in (DEPLOY / "up.sh").read_text()


@pytest.mark.parametrize(("encoding", "cure"), [("utf-8-sig", "sed -i"), ("utf-16", "iconv -f UTF-16")])
def test_a_byte_order_mark_is_named_with_the_command_that_takes_it_away(
    player: Player, encoding: str, cure: str
) -> None:
    file = player.folder / "marked.env"
    file.write_text((DEPLOY / "bqx.env").read_text(), encoding)
    command = [str(DEPLOY / "up.sh"), "--env", str(file), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "line 1: the file begins with a byte-order mark" in done.stderr
    assert f"{cure} " in done.stderr
    if encoding == "utf-8-sig":
        subprocess.run(done.stderr.partition("To do: ")[2].partition("\n")[0], shell=True, check=True)  # noqa: S602 -- the cure is a line for a shell
        assert file.read_text() == (DEPLOY / "bqx.env").read_text()


def test_a_missing_variable_and_an_unknown_phase_are_refused(player: Player) -> None:
    player.up("--dry-run", "check")
    file = player.folder / "bqx.env"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "BQX_REGION" not in line))
    command = [str(DEPLOY / "up.sh"), "--env", str(file), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "BQX_REGION is missing" in done.stderr) == (1, True)
    done = player.up("buckets", "bukets")
    assert (done.code, "no phase bukets" in done.said, done.calls) == (1, True, [])


@pytest.mark.parametrize(
    ("words", "said"), [(("with",), "`with` needs a command"), (("apis", "--dry-run"), "--dry-run")]
)
def test_words_that_say_less_than_they_mean_run_nothing(player: Player, words: tuple[str, ...], said: str) -> None:
    done = player.up(*words)
    assert (done.code, said in done.said, done.calls) == (1, True, [])


def test_a_placeholder_is_shipped_for_what_nobody_can_guess() -> None:
    left = {name for name, value in shipped_variables().items() if "change-me" in value}
    assert left == {"BQX_PROJECT", "BQX_OUTPUT", "BQX_LOG_BUCKET"}


def test_another_payer_and_a_docker_engine_of_ones_own_change_the_commands_that_they_concern(player: Player) -> None:
    done = player.up("apis", "roles", "image", changed={"BQX_BILLING_PROJECT": "payer-project", "BQX_BUILD": "docker"})
    assert done.code == 0, done.said
    payers = [call for call in done.calls if "roles/bigquery." in call or "bigquery.googleapis.com" in call]
    assert payers
    assert all("payer-project" in call for call in payers)
    assert any(call.startswith("docker push ") for call in done.calls)
    assert not any("builds submit" in call for call in done.calls)


def test_what_only_the_owner_of_the_data_may_grant_is_printed_for_that_person_and_not_run(player: Player) -> None:
    mine = player.up("apis", "data", "roles")
    theirs = player.up("apis", "data", "roles", changed={"BQX_DATA_OWNER": "another"})
    assert theirs.code == 0, theirs.said
    printed = [line for line in theirs.shown.splitlines() if line.startswith("# for the owner of the data: ")]
    left = set(shown_commands("\n".join(line.partition(": ")[2] for line in printed)))
    assert len(left) == len(printed) == 7
    assert set(mine.made) - set(theirs.made) == left
    assert set(theirs.made) < set(mine.made)
    assert all("--project=bqx-ml" in each or "binding bqx-ml" in each or "=bqx-ml " in each for each in left)


def test_a_grant_on_data_names_the_place_of_the_dataset_and_without_it_nothing_is_granted(player: Player) -> None:
    done = player.up("data")
    granted = [call for call in done.made if "GRANT" in call]
    assert len(granted) == 4
    assert all(call.startswith("bq --project_id=bqx-ml --location=EU query ") for call in granted)
    done = player.up("data", refused=" show bqx-ml:bqx_ml_v3_analytics_v2")
    assert (done.code, sum("GRANT" in call for call in done.calls)) == (1, 2)
    assert "To do: Correct BQX_BIGQUERY_PROJECT" in done.said
    assert "existing things stay as they are" in done.said


def test_who_may_not_see_the_data_hands_on_the_command_that_tells_their_place(player: Player) -> None:
    done = player.up("data", refused=" show ", changed={"BQX_DATA_OWNER": "another"})
    assert (done.code, done.made) == (0, [])
    assert done.shown.count("bq --format=prettyjson show bqx-ml:") == 2
    assert done.shown.count(" --location=LOCATION query ") == 4


def test_a_machine_stands_in_the_network_that_is_named_and_needs_no_address_of_its_own(player: Player) -> None:
    changed = {
        "BQX_NETWORK": "projects/net-host/global/networks/shared",
        "BQX_SUBNET": "projects/net-host/regions/us-central1/subnetworks/runs",
        "BQX_MACHINE_ADDRESS": "no",
    }
    rule, machine = player.up("machine", changed=changed).made
    assert f" --network={changed['BQX_NETWORK']} --subnet={changed['BQX_SUBNET']} --no-address " in machine
    assert "firewall-rules create bqx-tunnel-shared --project=net-host --network=shared --allow=tcp:22 " in rule
    plain = player.up("machine", there="firewall-rules", changed={"BQX_MACHINE_ADDRESS": ""}).made
    assert len(plain) == 1  # the rule is there
    assert "-address" not in plain[0]
    assert "network" not in plain[0]


def test_expectations_in_a_bucket_of_their_own_are_readable_by_both_accounts(player: Player) -> None:
    done = player.up("roles", changed={"BQX_EXPECTATIONS": "gs://elsewhere/expectations/eurusd.toml"})
    found = [call for call in done.made if "gs://elsewhere " in call and "roles/storage.objectViewer" in call]
    assert len(found) == 2
    same = player.up("roles", changed={"BQX_EXPECTATIONS": "gs://example-training-files/expectations.toml"})
    assert not any("gs://elsewhere" in call for call in same.made)


def test_a_secret_of_alerts_is_readable_by_the_machine_alone(player: Player) -> None:
    done = player.up("roles", changed={"BQX_ALERT_SECRET": "bqx-alerts"})
    (grant,) = [call for call in done.made if " bqx-alerts " in call]
    assert "bqx-dagster@" in grant
    assert "roles/secretmanager.secretAccessor" in grant


def test_jobs_are_rendered_as_the_tests_render_them_and_the_machine_gets_the_same_variables(player: Player) -> None:
    done = player.up("jobs", "machine")
    image = "us-central1-docker.pkg.dev/example-runs/bqx/bqx:v1"
    values = FILLED | {"BQX_IMAGE": image}
    files = ("job.yaml", "job-large.yaml", "doctor.yaml")
    assert done.jobs == "".join(rendered(name, values) for name in files)
    assert all(yaml.safe_load(rendered(name, values)) for name in files)
    machine = dict(line.split("=", 1) for line in done.machine.splitlines())
    assert machine == values | {"BQX_SQL_CONNECTION": "example-runs:us-central1:bqx-dagster"}


def test_a_command_of_this_machine_gets_the_variables(player: Player) -> None:
    code = "import os; print(os.environ['BQX_LAST'], os.environ['BQX_OUTPUT'], os.environ['BQX_START'] == '')"
    done = player.up("with", sys.executable, "-c", code)
    assert done.shown.strip() == "100000 rows gs://example-training-files True"


def test_the_datasets_that_are_granted_are_those_that_are_read() -> None:
    text = COMMANDS.read_text()
    assert f"`{FILLED['BQX_BIGQUERY_PROJECT']}`.{FEATURES_DATASET} " in text
    assert f"`{FILLED['BQX_BIGQUERY_PROJECT']}`.{TARGETS_DATASET} " in text
