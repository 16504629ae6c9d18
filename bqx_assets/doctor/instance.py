"""Examines the deployed Dagster instance: ``dagster.yaml``, the Postgres that it names, and the schema there.

Dagster itself takes 2 s to import and is not imported. A password is never shown.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import sqlalchemy
import yaml
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from bqx_assets.doctor.case import NOT_DEPLOYED, Case, Finding, Probe, missing, noted, passed, skipped

THEME = "dagster"
FILE, DRIVER, POSTGRES, SCHEMA = "dagster.yaml", "driver", "postgres", "schema"
_CONNECT_SECONDS = 8


def instance_probes(_: Case) -> Iterator[Probe]:
    """Yield the probes of the file and of Postgres."""
    yield Probe(THEME, FILE, _read_file)
    yield Probe(THEME, DRIVER, _driver, needs=(FILE,))
    yield Probe(THEME, POSTGRES, _connect, needs=(DRIVER,))
    yield Probe(THEME, SCHEMA, _schema, needs=(POSTGRES,))


def _read_file(case: Case) -> Finding:
    home = case.environment.get("DAGSTER_HOME")
    if not home:
        return skipped(NOT_DEPLOYED)
    file = Path(home) / "dagster.yaml"
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        return missing(f"{file}: {why}", f"Copy deploy/dagster.yaml to {file}, or correct DAGSTER_HOME.")
    lost: list[str] = []
    filled = _filled(document or {}, case.environment, lost)
    if lost:
        named = ", ".join(sorted(set(lost)))
        return missing(f"{file} takes from the environment what is not set there: {named}", f"Set {named}.")
    case.instance = cast("Mapping[str, Any]", filled)
    return passed(f"{file}: {_storage(case)[0]}")


def _filled(node: object, environment: Mapping[str, str], lost: list[str]) -> object:
    """Return the document with each ``{env: NAME}`` replaced, as Dagster does; append unset names to ``lost``."""
    if isinstance(node, dict):
        facts = cast("dict[str, object]", node)
        name = facts.get("env")
        if len(facts) == 1 and isinstance(name, str):
            if name not in environment:
                lost.append(name)
            return environment.get(name, "")
        return {key: _filled(value, environment, lost) for key, value in facts.items()}
    if isinstance(node, list):
        return [_filled(each, environment, lost) for each in cast("list[object]", node)]
    return node


def _storage(case: Case) -> tuple[str, str]:
    """Return the kind of the instance's storage, and the URL if it is Postgres."""
    storage = _mapping(case.instance.get("storage"))
    if "postgres" not in storage:
        return next(iter(storage), "SQLite"), ""
    postgres = _mapping(storage["postgres"])
    if "postgres_url" in postgres:
        return "Postgres", str(postgres["postgres_url"])
    parts = {name: str(value) for name, value in _mapping(postgres.get("postgres_db")).items()}
    url = sqlalchemy.URL.create(
        "postgresql",
        username=parts.get("username"),
        password=parts.get("password"),
        host=parts.get("hostname"),
        port=int(parts.get("port", 5432)),
        database=parts.get("db_name"),
    )
    return "Postgres", url.render_as_string(hide_password=False)


def _mapping(node: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", node) if isinstance(node, Mapping) else {}


def _engine(case: Case) -> sqlalchemy.Engine:
    _, url = _storage(case)
    return sqlalchemy.create_engine(url, connect_args={"connect_timeout": _CONNECT_SECONDS})


def _driver(case: Case) -> Finding:
    kind, url = _storage(case)
    if not url:
        return skipped(f"the instance is stored in {kind}, not in Postgres")
    try:
        made = sqlalchemy.make_url(url)
        engine = _engine(case)
    except ModuleNotFoundError as error:
        return missing(
            f"the URL asks for {error.name}, which is not installed",
            "Begin the URL with postgresql+psycopg2:// (the secret bqx-postgres-url, or DAGSTER_POSTGRES_URL).",
        )
    except (SQLAlchemyError, ValueError):
        return missing(
            "the URL of Postgres cannot be read", "Write it as postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"
        )
    return passed(f"{engine.driver}, {made.username or ''}@{_where(made)}")


def _where(url: sqlalchemy.URL) -> str:
    """Return host and database of a URL, without user and password."""
    host = url.host or url.query.get("host") or "the local socket"
    return f"{host if isinstance(host, str) else host[0]}/{url.database or ''}"


def _connect(case: Case) -> Finding:
    engine = _engine(case)
    try:
        with engine.connect() as connection:
            version = str(connection.execute(sqlalchemy.text("SHOW server_version")).scalar_one())
            return passed(f"version {version.partition(' ')[0]} answers")
    except SQLAlchemyError as error:
        where = _where(engine.url)
        said = _said(error, engine.url)
        return missing(f"{where}: {said}", _cure(said, where), reason="postgres")
    finally:
        engine.dispose()


def _said(error: SQLAlchemyError, url: sqlalchemy.URL) -> str:
    """Return the first line of the driver's message; if it repeats the URL, the password is left out."""
    first = next((line for line in str(getattr(error, "orig", None) or error).splitlines() if line.strip()), "refused")
    return first.replace(str(url.password), "...") if url.password else first


def _cure(said: str, where: str) -> str:
    """Return how to mend a connection that was refused, by the words of the refusal and the place."""
    if "authentication failed" in said or "no password" in said or ("role" in said and "does not exist" in said):
        return "Correct user and password in DAGSTER_POSTGRES_URL (the secret bqx-postgres-url)."
    if "database" in said and "does not exist" in said:
        return f"Create the database: gcloud sql databases create {where.rpartition('/')[2]} --instance INSTANCE"
    if "/cloudsql/" in where:
        instance = where.partition("/cloudsql/")[2].rpartition("/")[0]
        return (
            f"Name {instance} in the job (run.googleapis.com/cloudsql-instances) or start the Auth Proxy, and give its"
            " account roles/cloudsql.client."
        )
    return "Start the server, or correct host and port in DAGSTER_POSTGRES_URL."


def _schema(case: Case) -> Finding:
    head = schema_head()
    engine = _engine(case)
    try:
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return noted("empty: Dagster creates its tables when it first starts")
            found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalars().all()
    finally:
        engine.dispose()
    if list(found) == [head]:
        return passed(f"{head}, that of the installed Dagster")
    return missing(
        f"{', '.join(map(str, found)) or 'no version'}, but the installed Dagster has {head}",
        f"Stop the daemon and web server, then: {_dagster()} instance migrate",
    )


def _dagster() -> str:
    """Return the command that starts Dagster in a shell: its name if it is on PATH, else the path of its program."""
    return "dagster" if shutil.which("dagster") else shlex.quote(str(Path(sys.executable).with_name("dagster")))


def schema_head() -> str:
    """Return the latest schema of the installed Dagster, read from its migration scripts."""
    spec = importlib.util.find_spec("dagster")
    folder = Path(str(spec.origin if spec else "")).parent / "_core" / "storage" / "alembic"
    return str(ScriptDirectory(str(folder)).get_current_head())
