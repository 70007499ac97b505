"""Fetches that go in circles, noticed within two pages: the places and pages of one fetch in, `PaginationLoop` out.

A place that is named again is a circle at once. A page with the records of an earlier one may be chance (rows inserted while the
pages were read shift the others); two such pages in a row are not. The same records are those with the same keys: some servers
write the time of the answer, or a counter, into each record.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from kasparro.core.errors import PaginationLoop
from kasparro.ingestion.identity import Identify
from kasparro.ingestion.sources.json_records import Element, Flaw
from kasparro.ingestion.sources.places import Place
from kasparro.schemas.ingest import ApiOrigin, Keyed, RawRecord

MOST_EMPTY: Final = 1_000
"""Pages in a row that may be empty and still name a next one, as those of filtered lists do."""

MOST_EMPTY_COUNTED: Final = 1
"""The same for pages that are counted: the address of the next one is known whether it exists or not, and proves nothing."""

REPEATS: Final = 2
"""So many pages in a row, all of them seen before, are a circle."""

_DIGEST: Final = 16
_AT_ONCE: Final = 100
_NOWHERE: Final = ApiOrigin("", 0, 0)


class LoopWatch:
    """Remembers 16 bytes of every place and of every page, so memory stays small in long fetches."""

    def __init__(self) -> None:
        self._places: set[bytes] = set()
        self._contents: set[bytes] = set()
        self._repeats = 0
        self._empty = 0

    def enter(self, place: Place) -> None:
        """Called before a page is fetched."""
        digest = blake2b(repr(place.at).encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
        if digest in self._places:
            message = f"page {place.ordinal} was fetched before in this run: the source names it as the next one again"
            raise PaginationLoop(message, hint="Check `pagination`; what was fetched so far is kept")
        self._places.add(digest)

    def knows(self, content: bytes) -> bool:
        return content in self._contents

    def see(self, place: Place, content: bytes | None) -> bool:
        """Called with the digest of what a page holds, before it is handed on; says whether an earlier page held the same."""
        if content is None:
            self._empty += 1
            if self._empty > (MOST_EMPTY_COUNTED if isinstance(place.at, int) else MOST_EMPTY):
                raise PaginationLoop(
                    f"{self._empty:,} pages in a row are empty, and there is always said to be a next one",
                    hint="What was fetched so far is kept; check `pagination.has_more`",
                )
            return False
        self._empty = 0
        if content not in self._contents:
            self._contents.add(content)
            self._repeats = 0
            return False
        self._repeats += 1
        if self._repeats >= REPEATS:
            raise PaginationLoop(
                f"page {place.ordinal} and the one before hold the same records as earlier pages: "
                "the source does not heed the paging, or repeats its last page for ever",
                hint="Check the parameter names in `pagination`; with a size declared, a short last page ends the fetch",
            )
        return True


def page_digest(elements: Sequence[Element], identify: Identify) -> bytes | None:
    """Of how many records there are and of the keys of the first and the last, which a page shares with no other one.

    Where they have no keys, or one and the same, of their texts. `None` where there are no records.
    """
    if not elements:
        return None
    edges = [elements[0], elements[-1]][: len(elements)]
    records = [RawRecord(edge, _NOWHERE) for edge in edges if not isinstance(edge, Flaw)]
    keys = [found.external_id for found in identify(records) if isinstance(found, Keyed)]
    if len(keys) < len(edges) or len(set(keys)) < len(keys):
        return content_digest(elements)
    text = repr((len(elements), keys)).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_DIGEST).digest()


def content_digest(elements: Sequence[Element]) -> bytes | None:
    """Of the texts with a byte between them that no JSON text contains; `None` where there are none."""
    if not elements:
        return None
    hasher = blake2b(digest_size=_DIGEST)
    for first in range(0, len(elements), _AT_ONCE):
        some = elements[first : first + _AT_ONCE]
        hasher.update(b"\0".join([e.payload if isinstance(e, Flaw) else e for e in some]) + b"\0")
    return hasher.digest()
