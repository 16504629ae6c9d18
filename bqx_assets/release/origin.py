"""Where a training file's numbers come from, and which published file it may replace.

Belongs here: that comparison, and the word that allows it all the same. Does not: the publication (``publish``).
"""

from __future__ import annotations

from bqx_assets.base.artifacts import SIMULATED, Manifest
from bqx_assets.base.errors import ReplacementRefused
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectInfo

_FACT = "origin"
"""Metadata of a published object: the origin its manifest states, known without reading the manifest."""


def with_the_word(manifest: Manifest, settings: Settings) -> Manifest:
    """Return the manifest, which records that a file of another source may be replaced where the settings say so."""
    return manifest.model_copy(update={"replace_source": True}) if settings.replace_source else manifest


def origin_fact(manifest: Manifest) -> dict[str, str]:
    """Return what an object's metadata says of its origin: nothing where that is not known."""
    return {_FACT: manifest.extraction.origin} if manifest.extraction.origin else {}


def refuse_other_source(manifest: Manifest, uri: str, published: ObjectInfo | None) -> None:
    """Refuse to put a training file in the place of one made of another source.

    Simulated numbers replace nothing but simulated ones: one run of a demonstration with ``BQX_OUTPUT`` still set has
    put made-up prices under the name that trainers read. Simulated ones may be replaced by any.

    Raises:
        ReplacementRefused: the sources differ, or the published one is not known and the new one is simulated.
    """
    if published is None or manifest.replace_source:
        return
    own, theirs = manifest.extraction.origin, published.metadata.get(_FACT, "")
    if theirs in {own, SIMULATED} or (not theirs and own != SIMULATED):
        return
    raise ReplacementRefused(
        uri,
        got=f"a file made of {own or 'an unknown source'}, to replace one made of {theirs or 'an unknown source'}",
        expected="the same source",
        cure=f"Nothing was published. Name another output with BQX_OUTPUT; or, if the published file may go: "
        f"bqx publish {manifest.pair} --replace-source",
    )
