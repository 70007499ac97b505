"""A JSON answer taken apart while it arrives: text in, piece by piece, its records out, verbatim, at last what is around them.

Nearly always a piece is cut at the last place that looks like the beginning of another record, and msgspec, reading the records
before it, proves that it is one. Where that fails the ends are told by brackets. `large_answers` feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kasparro.core.errors import ResponseTooLarge, TruncatedContent
from kasparro.ingestion.http.body import MIB
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_place import list_begins
from kasparro.ingestion.sources.json_records import Element, Flaw
from kasparro.ingestion.sources.json_scan import elements_in, skip

LARGEST_RECORD: Final = 32 * MIB
LARGEST_ENVELOPE: Final = 16 * MIB
"""What may stand before the records, and what may stand behind them."""

_GUESSES: Final = 3
_SEPARATOR: Final = 24


class JsonStream:
    """*names* lead to the list of records; `None`: the answer itself, or its first *usual* member that is one."""

    def __init__(self, names: Sequence[str] | None, usual: Sequence[str]) -> None:
        self._place = (names, usual)
        self._pieces: list[bytes] = []
        self._size = 0
        self._enough = 0
        self._head: bytes | None = None
        self._tail: list[bytes] | None = None
        self._separator = b""
        self._after_comma = False
        self._last = b""

    def feed(self, text: bytes) -> list[Element]:
        """The records that are whole with *text*. Raises `UnexpectedContent`, `ResponseTooLarge`."""
        if self._tail is not None:
            self._tail.append(text)
            self._size += len(text)
            self._bound(LARGEST_ENVELOPE, "what stands behind the records")
            return []
        self._pieces.append(text)
        self._size += len(text)
        if (
            self._size < self._enough
        ):  # what was there did not hold a whole record: look again when there is twice as much
            return []
        return self._look(b"".join(self._pieces))

    def end(self) -> list[Element]:
        """The rest of the records. Raises `TruncatedContent` when the list has not ended."""
        found = self._look(b"".join(self._pieces)) if self._head is None else []
        while self._head is not None and self._tail is None:
            more = self._look(b"".join(self._pieces))
            if not more and self._tail is None:
                raise TruncatedContent("the JSON ends early, within the list of records")
            found += more
        return found

    def around(self) -> bytes:
        """The answer with only the last of its records in it, or all of it where no list was found."""
        if self._head is None:
            return b"".join(self._pieces)
        return b"".join([self._head, self._last, b"]", *(self._tail or ())])

    def array(self) -> bytes:
        """The list as `around` shows it."""
        return b"[" + self._last + b"]"

    def _look(self, text: bytes) -> list[Element]:
        if self._head is None:
            begins = list_begins(text, *self._place)
            if begins is None:
                hint = "Say with `records` where the records are, if it is not where they are looked for"
                self._bound(LARGEST_ENVELOPE, "what stands before the records", hint)
                self._keep(text)
                self._enough = 2 * self._size
                return []
            self._head, text = text[:begins], text[begins:]
        found = self._guessed(text)
        if found is None:
            found = self._scanned(text)
        if found:
            last = found[-1]
            self._last = last.payload if isinstance(last, Flaw) else last
        return found

    def _guessed(self, text: bytes) -> list[Element] | None:
        """The elements before the last separator that is one; `None` if it is none of the last few."""
        if not self._separator:
            return None
        at = len(text)
        for _ in range(_GUESSES):
            at = text.rfind(self._separator, 0, at)
            if at < 0:
                return None
            comma = text.index(b",", at)
            found = json_records.quick_elements(b"[" + text[:comma] + b"]")
            if found is not None:
                self._keep(text[comma + 1 :])
                self._after_comma = True
                return found
        return None

    def _scanned(self, text: bytes) -> list[Element]:
        places = elements_in(text)
        cut = places.comma if places.end is None else places.end
        if cut is None:
            self._bound(LARGEST_RECORD, "a record")
            self._keep(text)
            self._enough = 2 * self._size
            return []
        # beside a comma there must be an element: nothing is as wrong there as in an answer that comes at once
        needed = self._after_comma or places.end is None
        array = b"".join([b"[null," if needed else b"[", text[:cut], b"]"])
        found = json_records.elements(array)[1 if needed else 0 :]
        if places.end is not None:
            self._pieces, self._tail = [], [text[cut + 1 :]]
            self._size = len(self._tail[0])
        else:
            self._after_comma = True
            self._separator = _separator(text, cut)
            self._keep(text[cut + 1 :])
        return found

    def _keep(self, text: bytes) -> None:
        self._pieces, self._size, self._enough = [text], len(text), 0

    def _bound(self, most: int, what: str, hint: str | None = None) -> None:
        if self._size > most:
            raise ResponseTooLarge(f"{what} in the answer comes to more than {most // MIB} MiB", hint=hint)


def _separator(text: bytes, comma: int) -> bytes:
    """How one record ends and the next begins, its first key included, which tells it from what is nested in it."""
    ends = len(text[:comma].rstrip())
    begins = skip(text, comma + 1)
    key = skip(text, begins + 1) if text[begins : begins + 1] == b"{" else begins
    quote = text.find(b'"', key + 1, key + _SEPARATOR)
    return text[max(0, ends - 1) : quote + 1 if quote > 0 else begins + 1]
