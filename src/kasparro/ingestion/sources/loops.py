"""Fetches that go in circles, noticed within two pages: the places and pages of one fetch in, `PaginationLoop` out.

A place that is named again is a circle at once. A page with the records of an earlier one may be chance (rows inserted while the
pages were read shift the others); two such pages in a row are not. `page_digest` says which records are the same.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from kasparro.core.errors import PaginationLoop
from kasparro.ingestion.sources.places import Place

MOST_EMPTY: Final = 1_000
"""Pages in a row that may be empty and still name a next one, as those of filtered lists do."""

MOST_EMPTY_COUNTED: Final = 1
"""The same for pages that are counted: the address of the next one is known whether it exists or not, and proves nothing."""

REPEATS: Final = 2
"""So many pages in a row, all of them seen before, are a circle."""

_DIGEST: Final = 16


class LoopWatch:
    """Remembers a few bytes of every place and of every page, so memory stays small in long fetches."""

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
