"""Where an expectations file is found: as a file, or in a folder, of this machine or of a bucket.

Belongs here: reading the text at a place, and the errors where none is there. Does not: what the file may say
(``expectations``).
"""

from __future__ import annotations

from pathlib import Path

from bqx_assets.base.errors import BadSetting, ObjectMissing
from bqx_assets.base.files import read_regular, write_atomic
from bqx_assets.base.store.naming import GCS_SCHEME
from bqx_assets.base.store.open_store import object_at
from bqx_assets.base.store.protocol import version_of

EXPECTATIONS_FILE = "expectations.toml"
"""Its name in a folder."""
_SUFFIX = ".toml"
_MOST_BYTES = 16 << 20
"""28 pairs of 667 tables take 2 MB. What is larger is another file, perhaps a training file of 9 GB."""


def read_text(place: str | Path) -> tuple[str, str]:
    """Return where exactly an expectations file is, and its text.

    Raises:
        BadSetting: there is none, or what is there is no text of such a size.
        StoreError: the bucket could not deliver, or refused.
    """
    if str(place).startswith(GCS_SCHEME):
        where, data = _from_bucket(str(place))
    else:
        path = Path(place)
        path = path / EXPECTATIONS_FILE if path.is_dir() else path
        where = str(path)
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise _too_large(where, path.stat().st_size)
            data = read_regular(path)
        except OSError as error:
            raise bad_expectations(where, error.strerror or str(error)) from error
    if not data.strip():  # a failed upload; taken as it is, it would mean the packaged numbers under another name
        raise bad_expectations(where, "an empty file")
    try:
        return where, data.decode()
    except UnicodeDecodeError as error:
        raise bad_expectations(where, "bytes that are no text") from error


def write_text(where: str, text: str) -> None:
    """Write an expectations file where ``read_text`` found it, or where there was none, whole or not at all.

    Raises:
        PreconditionFailed: somebody else wrote the object meanwhile.
        StoreError: the bucket could not take it, or refused.
    """
    if not where.startswith(GCS_SCHEME):
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(where), text.encode())
        return
    store, name = object_at(where, "expectations")
    info = store.head(name)
    store.put_bytes(name, text.encode(), only_if=version_of(info))


def is_there(place: str) -> bool:
    """Return whether a file, or object, of exactly this name is there. Raises StoreError."""
    if not place.startswith(GCS_SCHEME):
        return Path(place).exists()
    store, name = object_at(place, "expectations")
    return store.head(name) is not None


def _from_bucket(uri: str) -> tuple[str, bytes]:
    where = uri if uri.endswith(_SUFFIX) else f"{uri.rstrip('/')}/{EXPECTATIONS_FILE}"
    store, name = object_at(where, "BQX_EXPECTATIONS")
    info = store.head(name)
    if info is not None and info.size_bytes > _MOST_BYTES:
        raise _too_large(where, info.size_bytes)
    try:
        if info is not None:
            return where, store.read(name)
    except ObjectMissing:  # deleted between the look and the reading
        pass
    raise BadSetting(
        f"expectations {where}",
        got="no such object",
        expected="an expectations file, as bqx expectations propose writes one",
        cure=f"Bring it there: gcloud storage cp {EXPECTATIONS_FILE} {where}; or correct BQX_EXPECTATIONS.",
    )


def _too_large(where: str, size_bytes: int) -> BadSetting:
    return bad_expectations(where, f"{size_bytes:,} bytes")


def bad_expectations(where: str, got: str) -> BadSetting:
    """Return the refusal of a file that is none, or a wrong one."""
    return BadSetting(
        f"expectations {where}",
        got=got,
        expected="a TOML file with the keys of the packaged expectations.toml",
        cure="Correct the file, or name another one in BQX_EXPECTATIONS. All keys: bqx expectations show --text",
    )
