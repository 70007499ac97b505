"""Fetches that go in circles, noticed within one lap: the places and pages of one fetch in, `PaginationLoop` out."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from kasparro.core.errors import PaginationLoop
from kasparro.ingestion.sources.json_records import Element, Flaw
from kasparro.ingestion.sources.places import Place

MOST_EMPTY: Final = 1_000
"""Pages in a row that may be empty and still name a next one, as those of filtered lists do."""

_DIGEST: Final = 16
_AT_ONCE: Final = 100


class LoopWatch:
    """Remembers 16 bytes of every place, so memory stays small in long fetches."""

    def __init__(self) -> None:
        self._places: set[bytes] = set()
        self._last: bytes | None = None
        self._empty = 0

    def enter(self, place: Place) -> None:
        """Called before a page is fetched."""
        digest = blake2b(repr(place.at).encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
        if digest in self._places:
            message = f"page {place.ordinal} was fetched before in this run: the source names it as the next one again"
            raise PaginationLoop(message, hint="Check `pagination`; what was fetched so far is kept")
        self._places.add(digest)

    def see(self, place: Place, elements: Sequence[Element]) -> None:
        """Called with what a page holds, before it is handed on."""
        content = _digest(elements)
        if content is None:
            self._empty += 1
            if self._empty > MOST_EMPTY:
                raise PaginationLoop(f"{MOST_EMPTY} pages in a row are empty, and there is always a next one")
            return
        if content == self._last:
            raise PaginationLoop(
                f"page {place.ordinal} holds the same records as the page before: the source does not heed the paging",
                hint="Check the parameter names in `pagination`; with a size declared, a short last page ends the fetch",
            )
        self._last, self._empty = content, 0


def _digest(elements: Sequence[Element]) -> bytes | None:
    """Of the texts with a byte between them that no JSON text contains."""
    if not elements:
        return None
    hasher = blake2b(digest_size=_DIGEST)
    for first in range(0, len(elements), _AT_ONCE):
        some = elements[first : first + _AT_ONCE]
        hasher.update(b"\0".join([e.payload if isinstance(e, Flaw) else e for e in some]) + b"\0")
    return hasher.digest()
