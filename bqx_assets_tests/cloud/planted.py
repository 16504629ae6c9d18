"""Credentials made for a test, and the search for them in everything that a run leaves.

Belongs here: planting and searching. Does not: running anything.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bqx_assets_tests.servers.gcs.server import GcsServer


@cache
def _private_key() -> str:
    """Return one key for all credentials of this process: making it takes 0.1 s and more."""
    private = rsa.generate_private_key(65537, 2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return private.private_bytes(encoding, form, serialization.NoEncryption()).decode()


@dataclass(frozen=True, slots=True)
class Planted:
    """A service account's key file, a token, a database password, a signed URL."""

    key_file: Path
    token: str
    password: str
    postgres_url: str
    signed_url: str

    @classmethod
    def into(cls, folder: Path, token_uri: str, postgres: tuple[str, str] | None = None) -> Planted:
        """Make them; the key file lies in ``folder``. ``postgres``: the URL of a true server and its password."""
        facts = {
            "type": "service_account",
            "project_id": "bqx-ml",
            "private_key_id": secrets.token_hex(20),
            "private_key": _private_key(),
            "client_email": "bqx-run@bqx-ml.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }
        file = folder / "key.json"
        file.write_text(json.dumps(facts))
        signature = secrets.token_hex(32)
        url = f"https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature={signature}"
        password = secrets.token_urlsafe(16)
        postgres = postgres or (f"postgresql://bqx:{password}@127.0.0.1/dagster", password)
        return cls(file, f"ya29.{secrets.token_urlsafe(24)}", postgres[1], postgres[0], url)

    def environment(self) -> dict[str, str]:
        """Where processes have such things."""
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.key_file),
            "CLOUDSDK_AUTH_ACCESS_TOKEN": self.token,
            "DAGSTER_POSTGRES_URL": self.postgres_url,
            "SIGNED_URL": self.signed_url,
        }

    def words(self) -> list[bytes]:
        """What must be found nowhere."""
        facts = json.loads(self.key_file.read_text())
        key = [line for line in facts["private_key"].splitlines() if "-----" not in line]
        signature = self.signed_url.rpartition("=")[2]
        passwords = {self.password, quote(self.password, safe="")}
        words = (self.token, *passwords, signature, facts["private_key_id"], *key[:-1])
        return [word.encode() for word in words]

    def found_in(self, things: Iterable[tuple[str, bytes]]) -> list[str]:
        """Return the names of the things that hold one of the words."""
        words = self.words()
        return [name for name, data in things if any(word in data for word in words)]


def files_of(folder: Path) -> Iterable[tuple[str, bytes]]:
    """Yield every file under a folder."""
    return ((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def objects_of(server: GcsServer) -> Iterable[tuple[str, bytes]]:
    """Yield every object of every bucket, earlier versions left out, with its metadata."""
    for bucket in server.buckets.values():
        for name, stored in list(bucket.live.items()):
            yield name, stored.data + json.dumps(stored.metadata).encode()
