"""Records as objects: JSON in and out, conditional, and told apart from damage.

Belongs here: load and save of a ``Record`` in a store. Does not: what a record says.
"""

from __future__ import annotations

from typing import TypeVar

from bqx_assets.base.artifacts import Record
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat, ObjectMissing
from bqx_assets.base.printable import first_line
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, version_of

_R = TypeVar("_R", bound=Record)


def load_record(store: ObjectStore, name: str, kind: type[_R]) -> _R:
    """Return the record that object ``name`` is. Raises CheckpointCorrupt when it is missing or no such record."""
    try:
        return kind.model_validate_json(store.read(name))
    except NewerFormat as error:
        raise error.about(store.uri(name)) from error
    except (ObjectMissing, OSError, ValueError) as error:
        raise CheckpointCorrupt(
            store.uri(name),
            got=first_line(error),
            expected=f"a record {kind.__name__} as JSON",
            cure="Make it again.",
        ) from error


def save_record(store: ObjectStore, name: str, record: Record) -> ObjectInfo:
    """Store the record as ``name``, whatever was there. Conditional, and so safe to repeat.

    Raises:
        PreconditionFailed: somebody else wrote it between the look and the write.
    """
    found = version_of(store.head(name))
    return store.put_bytes(name, record.model_dump_json(indent=1).encode(), only_if=found)
