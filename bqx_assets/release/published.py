"""Finds and judges a pair's published object, the companions that it names, and the time of its last verification.

The published object is swapped in one step. Its metadata names its manifest, report, expectations and dictionary, which
are immutable objects named by the SHA-256 of their bytes. The plain-named copies beside it are for people and trainers;
they belong to this version only if their bytes are those of the named objects. An older publication has only
plain-named ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from bqx_assets.base.artifacts import MANIFEST_SUFFIX, REPORT_SUFFIX, Manifest, Record
from bqx_assets.base.checksums import Sums, same_bytes, size_and_crc, sums_of_blocks
from bqx_assets.base.errors import BadSetting, CheckpointCorrupt, ObjectMissing
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import first_line
from bqx_assets.base.progress import Progress, at_work, waiting
from bqx_assets.base.settings import training_name
from bqx_assets.base.store.protocol import ObjectInfo, ObjectStore, VerifiedBy, head_with_crc32c
from bqx_assets.catalogue.expectations import EXPECTATIONS_FILE
from bqx_assets.dictionary.files import Described, Dictionary
from bqx_assets.dictionary.schema import DICTIONARY_PAGE_SUFFIX, DICTIONARY_SUFFIX
from bqx_assets.quality.report import Verdict

COMPANIONS = "companions/"
"""The folder of manifests, reports, expectations and dictionaries that are named by their content, with one folder for
each pair."""
Kind = Literal["manifest", "report", "expectations", "dictionary", "dictionary_page"]
"""The kind of a companion; also the key of the published object's metadata that names it."""
COMPANION_SUFFIXES: dict[Kind, str] = {
    "manifest": MANIFEST_SUFFIX,
    "report": REPORT_SUFFIX,
    "expectations": f".{EXPECTATIONS_FILE}",
    "dictionary": DICTIONARY_SUFFIX,
    "dictionary_page": DICTIONARY_PAGE_SUFFIX,
}
_LATER: tuple[Kind, ...] = ("expectations", "dictionary", "dictionary_page")
"""Kinds that earlier versions of this package did not keep."""
_ENDS = "|".join(map(re.escape, COMPANION_SUFFIXES.values()))
_NAME = re.compile(rf"{COMPANIONS}([a-z]{{6}})/([0-9a-f]{{64}})({_ENDS})")
INTACT_RULE = "object_equals_manifest"
_FRESH = timedelta(hours=1)
_LOOK_BYTES = 64 << 20
"""Largest file that ``look`` reads if it could have changed since it was last read; that takes 0.1 s."""

State = Literal["none", "partial", "done", "stale", "failed", "unverified"]
"""``stale``: the stage before has made something else since. ``unverified``: the bytes could have changed since they
were last read."""


@dataclass(frozen=True, slots=True)
class Companions:
    """The manifest and the report of a published object, and expectations and dictionary where they were kept."""

    manifest: Manifest
    texts: dict[Kind, bytes]
    """The stored bytes of each companion."""
    named: bool
    """Whether the object itself names them; else they were found under the plain names."""
    unread: dict[Kind, ObjectInfo] = field(default_factory=dict[Kind, ObjectInfo])
    """Companions that were only looked for, in place of their bytes."""

    def are_of(self, info: ObjectInfo) -> bool:
        """Return whether there is a report and the manifest states the object's bytes."""
        return "report" in self.texts and same_bytes(info, self.manifest.file)


class Standing(Record):
    """The state of a pair's published object, and the last verification of its bytes."""

    pair: str
    uri: str
    state: State
    """``partial``: the object is whole, but a plain-named copy beside it is of another version."""
    got: str
    expected: str
    cure: str = ""
    size_bytes: int | None = None
    verified_at: datetime | None = None
    verified_by: VerifiedBy | None = None
    manifest: Manifest | None = None


def verified_text(at: datetime | None, by: VerifiedBy | None) -> str:
    """Return the time and the way of a verification in words; empty if the bytes could have changed since."""
    return f"{at:%Y-%m-%d %H:%M} UTC by {by}" if at and by else ""


def companion_name(pair: Pair, kind: Kind, text: bytes) -> str:
    """Return the name of the object that keeps these bytes."""
    return f"{COMPANIONS}{pair}/{hashlib.sha256(text).hexdigest()}{COMPANION_SUFFIXES[kind]}"


def is_companion(store: ObjectStore, name: str) -> bool:
    """Return whether an object's content fits its name, so that a publication wrote it. **Cost**: reads the object."""
    found = _NAME.fullmatch(name)
    return found is not None and hashlib.sha256(store.read(name)).hexdigest() == found[2]


def plain_name(pair: Pair, kind: Kind) -> str:
    """Return the name of the plain-named copy, which is for people."""
    return training_name(pair).removesuffix(".parquet") + COMPANION_SUFFIXES[kind]


def has_text(store: ObjectStore, name: str, text: bytes) -> bool:
    """Return whether an object has the size and the CRC32C of a text."""
    return _has(store, name, sums_of_blocks([text]))


def _has(store: ObjectStore, name: str, sums: Sums | ObjectInfo) -> bool:
    info = head_with_crc32c(store, name)
    return info is not None and same_bytes(info, sums)


def companions_of(
    store: ObjectStore, pair: Pair, metadata: Mapping[str, str], *, small: bool = False
) -> Companions | str:
    """Return the companions that a published object's metadata names, or the reason why there are none, "no ...".

    With ``small`` the dictionary, which has a row for each column, is only looked for, and its page is not.
    """
    names: dict[Kind, str] = {kind: metadata.get(kind, "") for kind in COMPANION_SUFFIXES}
    named = any(names.values())
    for kind in _LATER:
        if not names[kind] or (small and kind == "dictionary_page"):
            del names[kind]
    texts: dict[Kind, bytes] = {}
    unread: dict[Kind, ObjectInfo] = {}
    for kind, stated in names.items():
        name = stated if named else plain_name(pair, kind)
        parts = _NAME.fullmatch(name)
        # A name in metadata is trusted only if its form, its pair and its content are right.
        if named and (parts is None or (parts[1], parts[3]) != (pair.name, COMPANION_SUFFIXES[kind])):
            return f"no {kind}: the object names {name[:120]!r}"
        found = _read(store, name, facts_alone=small and kind == "dictionary")
        if isinstance(found, ObjectInfo):
            unread[kind] = found
        elif found is not None:
            texts[kind] = found
        elif named or kind == "manifest":  # without named companions, a publication could die between the two
            return f"no {kind}: no object {name}"
        if parts is not None and kind in texts and hashlib.sha256(texts[kind]).hexdigest() != parts[2]:
            return f"no {kind}: {name} holds other bytes than its name says"
    manifest = _manifest(texts["manifest"], pair)
    return manifest if isinstance(manifest, str) else Companions(manifest, texts, named, unread)


def _read(store: ObjectStore, name: str, *, facts_alone: bool) -> bytes | ObjectInfo | None:
    if facts_alone:
        return head_with_crc32c(store, name)
    try:
        return store.read(name)
    except ObjectMissing:
        return None


def _manifest(text: bytes, pair: Pair) -> Manifest | str:
    try:
        manifest = Manifest.model_validate_json(text)
    except ValueError as error:
        return f"no manifest: {first_line(error)}"
    return manifest if manifest.pair == pair.name else f"no manifest: it is of {manifest.pair}"


def published_dictionary(store: ObjectStore, pair: Pair) -> Dictionary:
    """Return the dictionary that a pair's published object names. **Cost**: reads the object's companions.

    Raises:
        CheckpointCorrupt: nothing is published, or it has no dictionary, or that of another file.
    """
    name = training_name(pair)
    info = store.head(name)
    found = companions_of(store, pair, info.metadata) if info is not None else "no such object"
    text = found.texts.get("dictionary") if isinstance(found, Companions) else None
    got = "no dictionary: an earlier version published it" if isinstance(found, Companions) else found
    if text is not None and isinstance(found, Companions):
        dictionary = Dictionary.read(text)
        if dictionary.file == Described.of(found.manifest):
            return dictionary
        got = f"the dictionary of another file: {dictionary.file}"
    raise CheckpointCorrupt(
        store.uri(name),
        got=got,
        expected="a published file with its dictionary",
        cure=f"Publish it: bqx publish {pair}",
    )


def look(store: ObjectStore, pair: Pair) -> Standing:
    """Return the state of a pair's published object, without reading large files.

    **Cost**: reads facts, one manifest and one report, and of the dictionary its facts alone. A file of up to 64 MiB is
    read if it could have changed since it was last read; a larger one is then ``unverified``.
    """
    name = training_name(pair)
    info = store.head(name)
    if info is not None and info.verified is None and info.size_bytes <= _LOOK_BYTES:
        info = store.verify(name)
    return _judge(store, pair, info, small=True)


def verify(store: ObjectStore, pair: Pair, *, since: datetime | None = None) -> Standing:
    """Return the state of a pair's published object, its bytes verified now, or after ``since`` and unchanged.

    **Cost**: in a folder, reads the file; a bucket is asked for the CRC32C that it made of the bytes.
    """
    return _judge(store, pair, store.verify(training_name(pair), since=since))


def verify_pairs(store: ObjectStore, pairs: Sequence[Pair], progress: Progress, *, every: bool) -> list[Standing]:
    """Return the verified state of each pair's published object; ``every`` stands for all published pairs.

    Raises:
        BadSetting: there are neither pairs nor ``every``, or both.
    """
    if bool(pairs) == every:
        raise BadSetting(
            "pairs", got="none" if not pairs else "pairs and --all", expected="pairs, or --all", cure="bqx verify --all"
        )
    began = datetime.now(UTC)
    chosen = [pair for pair in ALL_PAIRS if store.head(training_name(pair)) is not None] if every else pairs
    progress.start("verify", len(chosen))
    if not chosen:
        progress.warn("verify", f"nothing is published: there is no {store.uri('training_PAIR.parquet')} of any pair")
    found: list[Standing] = []
    for pair in chosen:
        with waiting(progress, "verify", at_work(store.uri(training_name(pair)))):
            found.append(verify(store, pair, since=began))
        progress.advance("verify", pair.name, found[-1].state)
    return found


def intact(store: ObjectStore, pair: Pair) -> Verdict:
    """Return the verdict whether the published object has the bytes that its manifest states.

    **Cost**: in a folder, reads the file unless it was read within the last hour, as by the publication just before.
    """
    found = verify(store, pair, since=datetime.now(UTC) - _FRESH)
    verified = verified_text(found.verified_at, found.verified_by)
    return Verdict(
        rule=INTACT_RULE,
        passed=is_whole(found),
        got=f"{found.got}, verified {verified}" if verified else found.got,
        expected=found.expected,
        cure=found.cure,
    )


def is_whole(standing: Standing) -> bool:
    """Return whether the object, its manifest and its report are as they were published."""
    return standing.state == "done"


def _judge(store: ObjectStore, pair: Pair, info: ObjectInfo | None, *, small: bool = False) -> Standing:
    name = training_name(pair)
    uri, expected = store.uri(name), f"an object {name} with its manifest and report"
    if info is None:
        return _standing(uri, pair, None, "none", ("no such object", expected))
    companions = companions_of(store, pair, info.metadata, small=small)
    if isinstance(companions, str):
        return _standing(uri, pair, info, "failed", (companions, expected))
    file = companions.manifest.file
    got, expected = size_and_crc(info.size_bytes, info.crc32c), size_and_crc(file.size_bytes, file.crc32c)
    state: State = "done" if info.verified else "unverified"
    if not same_bytes(info, file):
        state = "failed"
    elif info.verified is None:
        got, expected = f"{got}, as recorded: the file could have changed since it was read", f"{expected}, as read"
    elif other := _of_another_version(store, pair, companions):
        state = "partial"
        got = f"no {' and no '.join(other)}; the file itself: {got}"
    return _standing(uri, pair, info, state, (got, expected), companions.manifest)


def _of_another_version(store: ObjectStore, pair: Pair, companions: Companions) -> list[str]:
    """Return the kinds of plain-named copies that are not of the published object: a publication died before them."""
    stated: dict[Kind, Sums | ObjectInfo] = {kind: sums_of_blocks([text]) for kind, text in companions.texts.items()}
    return [
        f"{kind} of this version under the name {plain_name(pair, kind)}"
        for kind, sums in (stated | companions.unread).items()
        if companions.named and not _has(store, plain_name(pair, kind), sums)
    ]


def _standing(
    uri: str, pair: Pair, info: ObjectInfo | None, state: State, said: tuple[str, str], manifest: Manifest | None = None
) -> Standing:
    cures: dict[State, str] = {
        "done": "",
        "unverified": f"Read it: bqx verify {pair}",
        "partial": f"Publish again, which finishes it: bqx publish {pair}. The published file itself is whole.",
    }
    word = "" if info and "origin" in info.metadata else " --replace-source"  # its source is unknown
    again = f"Publish it again: bqx publish {pair}{word}; or copy back an earlier version, which the store keeps."
    return Standing(
        pair=pair.name,
        uri=uri,
        state=state,
        got=said[0],
        expected=said[1],
        cure=cures.get(state, f"Publish it: bqx publish {pair}" if info is None else again),
        size_bytes=info.size_bytes if info else None,
        verified_at=info.verified.at if info and info.verified else None,
        verified_by=info.verified.by if info and info.verified else None,
        manifest=manifest,
    )
