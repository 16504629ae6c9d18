"""Makes the texts that are published beside a training file: manifest, report, expectations and dictionary.

The manifest names the dictionary's objects, and the dictionary names the file's bytes, so that neither can be taken for
that of another publication.
"""

from __future__ import annotations

from dataclasses import dataclass

from bqx_assets.base.artifacts import DictionaryRecord, Manifest
from bqx_assets.base.pairs import parse_pair
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.dictionary.columns_page import dictionary_page
from bqx_assets.dictionary.files import Dictionary
from bqx_assets.quality.report import Report
from bqx_assets.release.published import Kind, companion_name


@dataclass(frozen=True, slots=True)
class Beside:
    """The companions of a published file besides its manifest and its report, as far as there are any."""

    expectations: Expectations | None = None
    """Those of the report."""
    dictionary: Dictionary | None = None

    def texts(self, manifest: Manifest, report: Report) -> tuple[Manifest, dict[Kind, bytes]]:
        """Return the manifest to publish, which names expectations and dictionary, and the bytes of every companion."""
        pair, found = parse_pair(manifest.pair), dict[Kind, bytes]()
        judged = record = None
        if self.expectations is not None:
            judged = self.expectations.judged_by(pair)
            found["expectations"] = self.expectations.of(pair).text().encode()
        if self.dictionary is not None:
            described: dict[Kind, bytes] = {
                "dictionary": self.dictionary.as_parquet(),
                "dictionary_page": dictionary_page(self.dictionary).encode(),
            }
            record = DictionaryRecord(
                objects={kind: companion_name(pair, kind, text) for kind, text in described.items()},
                size_bytes=sum(map(len, described.values())),
                counts=self.dictionary.counts(),
            )
            found |= described
        stated = manifest.model_copy(update={"expectations": judged, "dictionary": record})
        return stated, {"manifest": stated.as_json(), "report": report.as_json(), **found}


def kept_alike(own: Manifest, published: Manifest) -> bool:
    """Return whether a published file of the same bytes needs no other companions than it has.

    It was checked against the same expectations, or one of the two does not state its own; and it has a dictionary, or
    there is none to publish.
    """
    ours, theirs = own.expectations, published.expectations
    judged_alike = ours is None or theirs is None or ours.sha256 == theirs.sha256
    return judged_alike and (own.dictionary is None or published.dictionary is not None)
